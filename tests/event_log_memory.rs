//! Ten million events of one day: every one of them can be sent again, at once and after a
//! restart, and neither memory nor open files grow with their number.
//!
//! `EVENTS` chooses another number.

use std::sync::Arc;

use trading_engine::engine::event::{Event, EventHeader, OrderCanceled};
use trading_engine::journal::disk::{Disk, OsDisk};
use trading_engine::journal::event_log::{self, EventLog};
use trading_engine_protocol::types::{Epoch, OrderId, Sequence, SessionId, SessionSequence};
use zerocopy::IntoBytes;

const SESSIONS: u64 = 50;
const LOG_ID: u64 = 7;
/// What the process may grow by while ten times as many events come as it held before.
const GROWTH_MAX: usize = 48 << 20;
/// Files it may hold open, of more than a hundred.
const OPEN_MAX: usize = 8;

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kib.parse::<usize>().unwrap() << 10
}

/// Descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn open(disk: &Arc<dyn Disk>, sequence: u64) -> EventLog {
    EventLog::open(Arc::clone(disk), LOG_ID, sequence, event_log::FILE_BYTES).unwrap()
}

/// The whole stream of a session, in answers as a resend asks for them.
fn check_stream(log: &mut EventLog, session: u64, events: u64) -> u64 {
    let id = SessionId(u32::try_from(session + 1).unwrap());
    let last = (events - session).div_ceil(SESSIONS);
    let mut next = 1;
    while next <= last {
        let bytes = log.read(id, Epoch(1), next, last, 1 << 18).unwrap();
        assert!(!bytes.is_empty(), "number {next} of session {session}");
        for (header, body, _) in event_log::events(&bytes) {
            assert_eq!((header.session, header.session_seq.0), (id, next));
            let event_log_body = match body {
                trading_engine::engine::event::EventBody::OrderCanceled(body) => body,
                other => panic!("{other:?}"),
            };
            assert_eq!(
                event_log_body.order.order_id.0,
                (next - 1) * SESSIONS + session
            );
            next += 1;
        }
    }
    last
}

#[test]
fn ten_million_events_are_all_resendable_from_flat_memory() {
    let events: u64 = std::env::var("EVENTS").map_or(10_000_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path()).unwrap());
    let open_before = descriptors();
    let few_open = |when: &str| {
        let more = descriptors().saturating_sub(open_before);
        assert!(more <= OPEN_MAX, "{when}: {more} files are open");
    };
    let mut log = open(&disk, 0);
    let mut bytes = Vec::new();
    let mut early = 0;
    for at in 0..events {
        let header = EventHeader {
            sequence: Sequence(at + 1),
            session: SessionId(u32::try_from(at % SESSIONS + 1).unwrap()),
            session_seq: SessionSequence(at / SESSIONS + 1),
            epoch: Epoch(1),
            ..EventHeader::default()
        };
        let mut body = OrderCanceled::default();
        body.order.order_id = OrderId(at);
        let event = Event::new(header, body);
        bytes.clear();
        bytes.extend_from_slice(event.header.as_bytes());
        bytes.extend_from_slice(event.body.as_bytes());
        log.append(&event.header, &bytes).unwrap();
        log.complete(at + 1).unwrap();
        if at == events / 10 {
            early = resident();
        }
    }
    let grown = resident().saturating_sub(early);
    println!(
        "{events} events, grown by {} KiB since the first tenth",
        grown >> 10
    );
    assert!(grown < GROWTH_MAX, "grew by {grown} bytes");
    few_open("written");

    let found: u64 = (0..SESSIONS)
        .map(|session| check_stream(&mut log, session, events))
        .sum();
    assert_eq!(found, events);
    few_open("read");
    assert!(resident().saturating_sub(early) < GROWTH_MAX);
    drop(log);

    // After a restart what was sealed is there; the rest is what replay appends again.
    let mut log = open(&disk, events);
    let known = log.sequence();
    few_open("reopened");
    assert!(known <= events && events - known < 1_000_000, "{known}");
    for session in [0, SESSIONS / 2, SESSIONS - 1] {
        check_stream(&mut log, session, known);
    }
    assert!(resident().saturating_sub(early) < GROWTH_MAX, "reopened");
    few_open("read again");
}
