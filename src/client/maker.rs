//! The maker bot: quotes both sides of the demo instruments, as any client could.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use trading_engine_protocol::binary::NULL_PRICE;
use trading_engine_protocol::binary::message::{
    Fill, InstrumentDefinition, NewOrder, OrderAccepted, OrderCanceled, OrderRejected,
};

use super::credentials::BinaryCredentials;
use super::{Place, Session};

/// Ticks between the reference price and the first quote.
const SPREAD_TICKS: i64 = 2;
/// Quotes on each side.
const LEVELS: i64 = 3;
/// Lots in each quote.
const LOTS: i64 = 100;

/// Runs until `stop`; reconnects when the venue goes away.
pub fn run(
    address: SocketAddr,
    credentials: &BinaryCredentials,
    references: &[(&str, i64)],
    stop: &Arc<AtomicBool>,
) {
    let mut place = Place::BEGINNING;
    let mut quotes = Quotes::default();
    while !stop.load(Ordering::Acquire) {
        match quote(
            address,
            credentials,
            references,
            stop,
            &mut place,
            &mut quotes,
        ) {
            Ok(()) => return,
            Err(error) => {
                tracing::info!(%error, "maker bot reconnects");
                if error.kind() == io::ErrorKind::PermissionDenied {
                    // A new day: its numbers begin again, and yesterday's quotes are gone.
                    place = Place::BEGINNING;
                    quotes = Quotes::default();
                }
                std::thread::park_timeout(Duration::from_millis(500));
            }
        }
    }
}

/// A quote that rests, or is on its way.
#[derive(Clone, Copy)]
struct Quote {
    instrument: u32,
    side: u8,
    price: i64,
    open: i64,
}

#[derive(Default)]
struct Quotes {
    live: HashMap<u64, Quote>,
    last_id: u64,
}

impl Quotes {
    /// Takes a message of the venue into account; what was filled or ended is quoted again.
    fn apply(&mut self, message: &super::Received, again: &mut Vec<Quote>) {
        if let Some(accepted) = message.read::<OrderAccepted>() {
            self.last_id = self.last_id.max(accepted.cl_ord_id);
            self.live.insert(
                accepted.cl_ord_id,
                Quote {
                    instrument: accepted.instrument_id,
                    side: accepted.side,
                    price: accepted.price,
                    open: accepted.leaves_qty,
                },
            );
        } else if let Some(fill) = message.read::<Fill>() {
            if fill.leaves_qty == 0 {
                again.extend(self.live.remove(&fill.cl_ord_id));
            } else if let Some(quote) = self.live.get_mut(&fill.cl_ord_id) {
                quote.open = fill.leaves_qty;
            }
        } else if let Some(canceled) = message.read::<OrderCanceled>() {
            again.extend(self.live.remove(&canceled.orig_cl_ord_id));
        } else if let Some(rejected) = message.read::<OrderRejected>() {
            self.last_id = self.last_id.max(rejected.cl_ord_id);
            tracing::warn!(reason = rejected.reason, "maker bot's quote was rejected");
        }
    }
}

fn quote(
    address: SocketAddr,
    credentials: &BinaryCredentials,
    references: &[(&str, i64)],
    stop: &Arc<AtomicBool>,
    place: &mut Place,
    quotes: &mut Quotes,
) -> io::Result<()> {
    let mut again = Vec::new();
    let mut session = Session::logon(address, credentials, *place, 5_000, |message| {
        quotes.apply(message, &mut again);
    })?;
    again.clear();
    let instruments = session.instruments.clone();
    for (symbol, units) in references {
        let Some(instrument) = find(&instruments, symbol) else {
            continue;
        };
        for level in 0..LEVELS {
            for side in [1, 2] {
                let away = (SPREAD_TICKS + level) * instrument.tick;
                let middle = units * instrument.tick;
                let price = if side == 1 {
                    middle - away
                } else {
                    middle + away
                };
                let quote = Quote {
                    instrument: instrument.instrument_id,
                    side,
                    price,
                    open: LOTS * instrument.lot,
                };
                let there = quotes.live.values().any(|live| {
                    live.instrument == quote.instrument
                        && live.side == quote.side
                        && live.price == quote.price
                });
                if !there {
                    again.push(quote);
                }
            }
        }
    }
    while !stop.load(Ordering::Acquire) {
        for quote in again.drain(..) {
            let lot = instruments
                .iter()
                .find(|instrument| instrument.instrument_id == quote.instrument)
                .map_or(0, |instrument| instrument.lot);
            quotes.last_id += 1;
            session.queue(&NewOrder {
                cl_ord_id: quotes.last_id,
                price: quote.price,
                qty: LOTS * lot,
                stop_price: NULL_PRICE,
                instrument_id: quote.instrument,
                side: quote.side,
                ord_type: 2,
                ..NewOrder::default()
            });
        }
        session.flush()?;
        if let Some(message) = session.next(Duration::from_millis(200))? {
            quotes.apply(&message, &mut again);
        }
        *place = Place {
            from_seq: session.next_expected(),
            epoch: session.accepted.session_epoch,
        };
    }
    session.logout()
}

fn find<'a>(
    instruments: &'a [InstrumentDefinition],
    symbol: &str,
) -> Option<&'a InstrumentDefinition> {
    instruments.iter().find(|instrument| {
        let bytes = &instrument.symbol;
        let length = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        &bytes[..length] == symbol.as_bytes()
    })
}
