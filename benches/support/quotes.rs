//! The `quotes` stream of the seeded workload, prepared for the clock: one mass quote of 20
//! two-sided entries is one command. Applied once with every answer looked at, trade hash checked.
//!
//! Full apply only: the bare book has no names of quotes to look up.
#![allow(dead_code, unreachable_pub, reason = "each bench uses its own part")]

use std::collections::HashMap;

use trading_engine::engine::Engine;
use trading_engine::engine::command::{MassQuoteHead, QuoteEntry};
use trading_engine::engine::event::EventBody;
use trading_engine::limits::EngineLimits;
use trading_engine_protocol::types::{
    ClientOrderId, InstrumentId, OrderId, Price, Quantity, SessionId,
};

use crate::ours::{Buffer, SEED};
use crate::venue::{self, Driver};
use crate::workload::{Fnv, Message, Shape, Stream};

/// Instruments and the trades that are known of them.
pub const LINES: &[(&str, u32, u64)] = &[
    ("quotes 1 1000", 1, 0x086e_8438_f8d4_3a33),
    ("quotes 100 1000", 100, 0x6bc2_d79e_5c33_904f),
];
pub const MESSAGES: usize = 100_000;
/// Sides of a message.
pub const SIDES: usize = 40;
const PREFILL: u64 = 1_000;
const MAKERS: u32 = 8;

fn limits() -> EngineLimits {
    EngineLimits {
        orders: 1 << 16,
        client_order_ids: 1 << 17,
        instruments: 128,
        price_pages: 1 << 13,
        ..EngineLimits::default()
    }
}

/// A stream ready to be timed.
pub struct Prepared {
    instruments: u32,
    /// Aligned bytes of each mass quote.
    pub log: Vec<Vec<u64>>,
    prefill: Vec<(u64, u32, u8, i64, u64)>,
    pub state_hash: u64,
}

fn entry(entry: &crate::workload::TwoSided) -> QuoteEntry {
    QuoteEntry {
        instrument: InstrumentId(entry.instrument + 1),
        layer: entry.layer,
        bid_price: Price(entry.bid.0),
        bid_quantity: Quantity(entry.bid.1),
        ask_price: Price(entry.ask.0),
        ask_quantity: Quantity(entry.ask.1),
        ..QuoteEntry::default()
    }
}

/// The workload's ids of the venue's orders, and the hash of what traded.
#[derive(Default)]
struct Trades {
    names: HashMap<OrderId, u64>,
    maker: u64,
    hash: Fnv,
}

impl Trades {
    fn learn(&mut self, events: &[u8], message: &Message) {
        venue::for_each_event(events, |_, body| {
            let (fill, id) = match body {
                EventBody::MassQuoteAnswered(answer) => {
                    for (result, entry) in answer.results.iter().zip(&message.entries) {
                        self.names.insert(result.bid_order, entry.id);
                        self.names.insert(result.ask_order, entry.id + 1);
                    }
                    return;
                }
                EventBody::QuoteFill(quote) => {
                    (&quote.fill, self.names[&quote.fill.order.order_id])
                }
                EventBody::Fill(fill) => {
                    let id = fill.order.client_order_id.as_u64();
                    (fill, id.expect("a number"))
                }
                _ => return,
            };
            if fill.liquidity == 1 {
                self.maker = id;
            } else {
                self.hash
                    .trade(self.maker, id, fill.last_price.0, fill.last_quantity.0);
            }
        });
    }
}

/// Draws the stream, applies it once and checks the trades.
pub fn prepare(instruments: u32, trade_hash: u64, messages: usize) -> Prepared {
    let mut stream = Stream::new(Shape::Quotes, SEED, instruments, PREFILL);
    let mut driver = Driver::world(limits(), instruments, MAKERS);
    let mut prepared = Prepared {
        instruments,
        log: Vec::with_capacity(messages),
        prefill: Vec::new(),
        state_hash: 0,
    };
    let mut out = Vec::with_capacity(1 << 20);
    for _ in 0..PREFILL {
        let step = stream.next_step();
        let order = (
            step.id,
            step.instrument + 1,
            step.side + 1,
            step.price,
            step.quantity,
        );
        prepared.prefill.push(order);
        enter(&mut driver, order);
    }
    let mut trades = Trades::default();
    for number in 0..messages {
        let message = stream.next_message();
        let head = MassQuoteHead {
            quote_id: ClientOrderId::from_u64(number as u64 + 1),
            protection_group: message.group + 1,
            ..MassQuoteHead::default()
        };
        let entries: Vec<QuoteEntry> = message.entries.iter().map(entry).collect();
        let words = driver.mass_quote(SessionId(message.maker + 1), &head, &entries);
        out.clear();
        driver.apply_words(&words, &mut out);
        trades.learn(&out, &message);
        prepared.log.push(words);
    }
    if messages == MESSAGES {
        assert_eq!(trades.hash.0, trade_hash, "trades of quotes");
    }
    prepared.state_hash = driver.engine.state_hash();
    prepared
}

fn enter(driver: &mut Driver, (id, instrument, side, price, lots): (u64, u32, u8, i64, u64)) {
    let order = venue::enter(id, instrument, side, 0, price, lots);
    driver.apply(SessionId(1), order, &mut Vec::with_capacity(1 << 12));
}

/// The engine after the prefill.
pub fn engine(prepared: &Prepared) -> Engine {
    let mut driver = Driver::world(limits(), prepared.instruments, MAKERS);
    for &order in &prepared.prefill {
        enter(&mut driver, order);
    }
    driver.engine
}

/// One mass quote.
#[inline(always)]
pub fn apply(engine: &mut Engine, words: &[u64], sink: &mut Buffer) {
    crate::ours::apply(engine, zerocopy::IntoBytes::as_bytes(words), sink);
}
