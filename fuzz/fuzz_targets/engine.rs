//! Any well-formed commands in any order: the engine answers each and never panics, and no more is
//! open than was let in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trading_engine::engine::command::{
    self, CommandHeader, CommandKind, MassQuoteHead, QUOTE_ENTRIES_MAX, QuoteEntry,
};
use trading_engine::engine::{Engine, Progress};
use trading_engine::limits::{COMMAND_LENGTH_MAX, EngineLimits};
use trading_engine_protocol::types::{Sequence, UtcNanos};
use zerocopy::{FromZeros, IntoBytes};

#[path = "../../tests/support/venue.rs"]
#[allow(dead_code)]
mod venue;

const LIMITS: EngineLimits = EngineLimits {
    orders: 64,
    client_order_ids: 256,
    price_pages: 8,
    instruments: 4,
    firms: 4,
    sessions: 4,
    quotes: 64,
    quotes_per_firm: 48,
    protection_groups: 8,
    protection_groups_per_firm: 6,
    risk_limits: 16,
    accounts: 8,
};

fuzz_target!(|data: &[u8]| {
    let mut driver = venue::Driver::world(LIMITS, 2, 2);
    let engine: &mut Engine = &mut driver.engine;
    let mut rest = data;
    let mut out = Vec::new();
    let mut inbound = [1u64; 5];
    while let Some(([kind, session, flags, span], tail)) = rest.split_first_chunk::<4>() {
        let kind = CommandKind::ALL[usize::from(*kind) % CommandKind::ALL.len()];
        if kind == CommandKind::SetCapacities {
            // All memory there is can be asked for, by the venue's own settings alone.
            rest = tail;
            continue;
        }
        let mut span = usize::from(*span);
        let mut length = kind.body_length();
        if kind == CommandKind::MassQuote {
            // The only one whose length varies.
            length = size_of::<MassQuoteHead>()
                + (1 + span % QUOTE_ENTRIES_MAX) * size_of::<QuoteEntry>();
            span *= 8;
        }
        let mut header = CommandHeader::new_zeroed();
        header.length = u32::try_from(size_of::<CommandHeader>() + length).unwrap();
        header.kind = kind as u8;
        header.version = command::COMMAND_VERSION;
        header.sequence = Sequence(engine.sequence().0 + 1);
        header.sequenced_at = UtcNanos(engine.sequenced_at().0 + u64::from(*flags));
        let at = usize::from(*session % 5);
        header.session.0 = at as u32;
        header.generation.0 = u32::from(*flags % 3);
        header.inbound_seq = inbound[at] + u64::from(*flags & 0x40 != 0);
        inbound[at] += 1;
        // Small numbers from short inputs: mostly zeros with some bytes set.
        let mut words = [0u64; COMMAND_LENGTH_MAX / 8];
        let bytes = words.as_mut_bytes();
        let given = span.min(length).min(tail.len());
        bytes[..size_of::<CommandHeader>()].copy_from_slice(header.as_bytes());
        bytes[size_of::<CommandHeader>()..][..given].copy_from_slice(&tail[..given]);
        rest = &tail[given..];
        let Ok(mut progress) = engine.apply_bytes(&bytes[..header.length as usize], &mut out)
        else {
            continue;
        };
        while progress == Progress::More {
            progress = engine.resume(&mut out);
        }
        venue::for_each_event(&out, |_, _| {});
        out.clear();
        assert!(engine.open_orders() <= LIMITS.orders);
    }
    let _ = engine.state_hash();
});
