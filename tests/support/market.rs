//! An engine, its event ring and the market-data agent, on the test's own thread.

use trading_engine::agent::Agent;
use trading_engine::engine::command::Body;
use trading_engine::engine::event::EventSink;
use trading_engine::engine::{Engine, Progress};
use trading_engine::limits::{EngineLimits, STEP_BYTES_MAX, STEP_EVENTS_MAX};
use trading_engine::market_data::agent::MarketDataAgent;
use trading_engine::market_data::feed::{Life, MarketData};
use trading_engine::market_data::market::Market;
use trading_engine::ring::{self, Cursor, Writer};
use trading_engine_protocol::types::SessionId;
use zerocopy::IntoBytes;

use super::venue::{self, Driver};

/// Smaller than what one command may cause.
pub const RING_BYTES: usize = 1 << 20;

pub struct Rig {
    pub engine: Engine,
    pub agent: MarketDataAgent,
    pub market_data: MarketData,
    pub durable: Cursor,
    pub applied: Cursor,
    ring: Writer,
}

/// Events go to the ring as the engine's agent puts them there, and to the test.
struct Both<'a> {
    ring: &'a mut Writer,
    copy: &'a mut Vec<u8>,
}

impl EventSink for Both<'_> {
    fn write(&mut self, parts: [&[u8]; 3]) {
        let stamp = [0; 8];
        self.ring
            .write(&[&stamp, parts[0], parts[1], parts[2]])
            .unwrap();
        self.copy.write(parts);
    }
}

/// Market data of an engine as it is, as after a start.
pub fn market_of(engine: &Engine) -> Market {
    let mut orders = Vec::new();
    engine.open_orders_in_full(|order| orders.push(*order));
    let instruments: Vec<_> = engine.instrument_states().collect();
    let mut market = Market::default();
    market.begin_with(
        engine.sequence(),
        engine.trading_day(),
        engine.first_trade_of_day(),
        &instruments,
        &orders,
    );
    market
}

impl Rig {
    pub fn new(engine: Engine) -> Self {
        let market = market_of(&engine);
        Self::with(engine, market)
    }

    pub fn with(engine: Engine, market: Market) -> Self {
        let (ring, mut readers) = ring::channel(RING_BYTES, 1);
        let durable = Cursor::new(engine.sequence().0);
        let applied = Cursor::new(engine.sequence().0);
        let (agent, market_data) = MarketDataAgent::new(
            readers.pop().unwrap(),
            durable.clone(),
            applied.clone(),
            market,
            Life {
                log_id: 1,
                epoch: 1,
                instruments: engine.limits().instruments,
            },
        );
        Self {
            engine,
            agent,
            market_data,
            durable,
            applied,
            ring,
        }
    }

    /// The command's events are in the ring; not yet durable, not yet read.
    pub fn apply_only(&mut self, command: &[u64], events: &mut Vec<u8>) {
        self.steps(command, events, |_| ());
    }

    /// The same, with a look after each step of the core.
    pub fn apply_in_steps(&mut self, command: &[u64], look: impl FnMut(&mut MarketDataAgent)) {
        self.steps(command, &mut Vec::new(), look);
    }

    fn steps(
        &mut self,
        command: &[u64],
        events: &mut Vec<u8>,
        mut look: impl FnMut(&mut MarketDataAgent),
    ) {
        let mut started = false;
        loop {
            while !self
                .ring
                .has_room_for(STEP_EVENTS_MAX, STEP_BYTES_MAX + 8 * STEP_EVENTS_MAX)
            {
                self.agent.do_work();
            }
            let mut sink = Both {
                ring: &mut self.ring,
                copy: events,
            };
            let progress = if started {
                self.engine.resume(&mut sink)
            } else {
                self.engine
                    .apply_bytes(command.as_bytes(), &mut sink)
                    .unwrap()
            };
            started = true;
            self.ring.publish();
            if progress == Progress::Done {
                break;
            }
            look(&mut self.agent);
        }
        self.applied.publish(self.engine.sequence().0);
    }

    /// The command happens, is durable and published.
    pub fn apply(&mut self, command: &[u64], events: &mut Vec<u8>) {
        self.apply_only(command, events);
        self.durable.publish(self.engine.sequence().0);
        self.settle();
    }

    /// The agent does all there is.
    pub fn settle(&mut self) {
        while self.agent.do_work() > 0 {}
    }
}

/// A rig whose sessions enter orders; their commands are numbered by a driver.
pub struct Floor {
    pub rig: Rig,
    driver: Driver,
    orders: u64,
}

impl Floor {
    pub fn new(instruments: u32) -> Self {
        Self {
            rig: Rig::new(Driver::world(LIMITS, instruments, 2).engine),
            driver: Driver::world(LIMITS, instruments, 2),
            orders: 0,
        }
    }

    /// An order, published; its number.
    pub fn enter(&mut self, session: u32, on: u32, side: u8, price: i64, lots: u64) -> u64 {
        let command = self.order(session, on, side, price, lots);
        self.rig.apply(&command, &mut Vec::new());
        self.orders
    }

    /// A trade of the two sessions, published.
    pub fn trade(&mut self, on: u32, price: i64, lots: u64) {
        self.enter(1, on, 2, price, lots);
        self.enter(2, on, 1, price, lots);
    }

    /// The command of the next order.
    pub fn order(&mut self, session: u32, on: u32, side: u8, price: i64, lots: u64) -> Vec<u64> {
        self.orders += 1;
        let order = venue::enter(self.orders, on, side, 0, price, lots);
        self.words(SessionId(session), order)
    }

    /// The next command of the log, aligned.
    pub fn words<B: Body>(&mut self, session: SessionId, body: B) -> Vec<u64> {
        let bytes = self.driver.command(session, body).to_bytes();
        let mut words = vec![0u64; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        words
    }
}

const LIMITS: EngineLimits = EngineLimits {
    orders: 1 << 12,
    client_order_ids: 1 << 18,
    price_pages: 1 << 10,
    instruments: 1 << 10,
    firms: 8,
    sessions: 8,
    quotes: 256,
    quotes_per_firm: 256,
    protection_groups: 8,
    protection_groups_per_firm: 8,
    risk_limits: 16,
    accounts: 8,
};
