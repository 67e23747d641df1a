//! Our two engines: the bare book and the full core, as `benches/engine.rs` times them.
//!
//! The bare book writes its trades to a list. The full core reads command bytes and writes event
//! bytes; its look-ahead, three commands on as in the engine agent, is on the clock.

use std::hint::black_box;
use std::rc::Rc;

use trading_engine::engine::event::EventBody;
use trading_engine::engine::{Engine, Progress};
use trading_engine_protocol::types::{InstrumentId, Side};

use super::{Open, Peer, Trade};
use crate::ours::{self, Buffer, Found, Prepared};
use crate::venue;

pub struct Bare {
    book: ours::Bare,
    trades: Vec<ours::Trade>,
}

impl Peer for Bare {
    type Requests = Rc<Prepared>;

    fn new(requests: &Self::Requests) -> Self {
        Self {
            book: ours::empty_bare(requests),
            trades: Vec::with_capacity(1 << 20),
        }
    }

    #[inline(always)]
    fn apply(&mut self, requests: &Self::Requests, at: usize) {
        self.book.look_ahead(&requests.asks, at);
        black_box(self.book.ask(requests.asks[at], &mut self.trades));
    }

    fn report(&mut self, requests: &Self::Requests, at: usize, each: &mut dyn FnMut(Trade)) {
        self.trades.clear();
        self.apply(requests, at);
        let client = |id: u64| requests.entered[(id >> 24) as usize];
        for &(maker, taker, tick, quantity) in &self.trades {
            each(Trade {
                maker: client(maker),
                taker: client(taker),
                price: i64::from(tick) + 1,
                quantity,
            });
        }
    }

    fn settle(&mut self) {
        self.trades.clear();
    }

    fn open(&self) -> Open {
        Open {
            orders: u64::from(self.book.orders.live()),
            lots: self
                .book
                .orders
                .slots
                .iter()
                .map(|slot| slot.hot.leaves)
                .sum(),
        }
    }
}

pub struct Full {
    engine: Engine,
    sink: Buffer,
    found: Found,
    instruments: u32,
}

impl Peer for Full {
    type Requests = Rc<Prepared>;

    fn new(requests: &Self::Requests) -> Self {
        Self {
            engine: ours::empty_engine(requests),
            sink: Buffer::new(),
            found: Found::default(),
            instruments: requests.instruments,
        }
    }

    #[inline(always)]
    fn apply(&mut self, requests: &Self::Requests, at: usize) {
        requests.look_ahead(&self.engine, at, &mut self.found);
        ours::apply(&mut self.engine, requests.log.get(at), &mut self.sink);
    }

    fn report(&mut self, requests: &Self::Requests, at: usize, each: &mut dyn FnMut(Trade)) {
        let mut events = Vec::new();
        let mut progress = self
            .engine
            .apply_bytes(requests.log.get(at), &mut events)
            .expect("a command");
        while progress == Progress::More {
            progress = self.engine.resume(&mut events);
        }
        let mut maker = 0;
        venue::for_each_event(&events, |_, body| {
            if let EventBody::Fill(fill) = body {
                let id = fill.order.client_order_id.as_u64().expect("a number") & 0xFFFF_FFFF;
                if fill.liquidity == 1 {
                    maker = id;
                } else {
                    each(Trade {
                        maker,
                        taker: id,
                        price: fill.last_price.0,
                        quantity: fill.last_quantity.0,
                    });
                }
            }
        });
    }

    fn open(&self) -> Open {
        let mut lots = 0;
        for instrument in 1..=self.instruments {
            for side in [Side::Buy, Side::Sell] {
                let levels = self.engine.levels(InstrumentId(instrument), side);
                lots += levels.map(|(_, quantity, _)| quantity.0).sum::<u64>();
            }
        }
        Open {
            orders: u64::from(self.engine.open_orders()),
            lots,
        }
    }
}
