//! Our two engines on the seeded workload, prepared for the clock: commands drawn, put into the
//! form that each engine takes, applied once with every answer looked at, both trade hashes checked.
//!
//! `full` is [`Engine::apply_bytes`] as the engine agent calls it; `bare` is the slab and the
//! ladders alone. The bench that uses this also has `venue` and `workload` at its root.
#![allow(dead_code, unreachable_pub, reason = "each bench uses its own part")]

use trading_engine::engine::command::{self, Command};
use trading_engine::engine::event::{EventBody, EventSink};
use trading_engine::engine::ladder::Ladders;
use trading_engine::engine::order::{Flags, NIL, Orders};
use trading_engine::engine::{Ahead, Engine, Progress};
use trading_engine::limits::EngineLimits;
use trading_engine::ring::{prefer_large_pages, prefetch};
use trading_engine_protocol::types::OrderId;

use crate::venue::{self, Driver, SESSION};
use crate::workload::{Fnv, Kind, Shape, Step, Stream};

pub struct Line {
    pub name: &'static str,
    pub shape: Shape,
    pub instruments: u32,
    pub resting: u32,
    pub trade_hash: u64,
}

pub const LINES: &[Line] = &[
    line(
        "mixed 1 1000",
        Shape::Mixed,
        1,
        1_000,
        0x5a29_87fa_fd13_69ec,
    ),
    line(
        "mixed 1 10000",
        Shape::Mixed,
        1,
        10_000,
        0xaa1d_6428_c694_92d2,
    ),
    line(
        "mixed 1 100000",
        Shape::Mixed,
        1,
        100_000,
        0x2f39_7fbd_be03_872a,
    ),
    line(
        "mixed 1 1000000",
        Shape::Mixed,
        1,
        1_000_000,
        0xe663_628b_47e0_8970,
    ),
    line(
        "mixed 100 10000",
        Shape::Mixed,
        100,
        10_000,
        0x3457_fbf6_7302_b244,
    ),
    line(
        "cancel-heavy 1 1000",
        Shape::CancelHeavy,
        1,
        1_000,
        0xacbf_ee57_ad7f_2790,
    ),
    line(
        "cancel-heavy 100 10000",
        Shape::CancelHeavy,
        100,
        10_000,
        0x4ca9_13bb_2d7d_90c8,
    ),
    line(
        "sweep 1 1000",
        Shape::Sweep,
        1,
        1_000,
        0x056c_2bad_fb76_887f,
    ),
    line(
        "sweep 100 10000",
        Shape::Sweep,
        100,
        10_000,
        0x4ae0_a419_a335_0700,
    ),
];

const fn line(
    name: &'static str,
    shape: Shape,
    instruments: u32,
    resting: u32,
    trade_hash: u64,
) -> Line {
    Line {
        name,
        shape,
        instruments,
        resting,
        trade_hash,
    }
}

pub const SEED: u64 = 42;
pub const COMMANDS: usize = 1_000_000;

pub fn limits(resting: u32) -> EngineLimits {
    EngineLimits {
        orders: (resting * 2).max(1 << 16),
        client_order_ids: 1 << 22,
        instruments: 128,
        price_pages: 1 << 13,
        ..EngineLimits::default()
    }
}

/// Command bytes one after the other, 8-aligned as in the ring.
#[derive(Default)]
pub struct Log {
    words: Vec<u64>,
    /// First word of each command, and the end.
    starts: Vec<u32>,
}

impl Log {
    pub fn push<B: command::Body>(&mut self, command: &Command<B>) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        for part in command.parts() {
            let words = part.as_chunks::<8>().0;
            self.words
                .extend(words.iter().map(|word| u64::from_le_bytes(*word)));
        }
        self.starts
            .push(u32::try_from(self.words.len()).expect("a log in 32 GiB"));
    }

    pub fn get(&self, at: usize) -> &[u8] {
        let (start, end) = (self.starts[at] as usize, self.starts[at + 1] as usize);
        zerocopy::IntoBytes::as_bytes(&self.words[start..end])
    }
}

/// A request to the bare book.
#[derive(Clone, Copy)]
pub enum Ask {
    Enter {
        instrument: u32,
        tick: u32,
        lots: u64,
        buy: bool,
        rests: bool,
    },
    Cancel(OrderId),
    /// New open lots.
    Replace {
        order: OrderId,
        tick: u32,
        lots: u64,
    },
}

/// maker, taker, tick, lots.
pub type Trade = (u64, u64, u32, u64);

/// Orders from which on looking ahead pays for a book alone, and how far it looks.
const MANY: u32 = 1 << 15;
const FAR: usize = 12;
const NEAR: usize = 5;

/// The engine's slab and ladders, and nothing around them.
pub struct Bare {
    pub orders: Orders,
    pub ladders: Ladders,
    pub last_tick: u32,
}

impl Bare {
    pub fn new(limits: EngineLimits) -> Self {
        Self {
            orders: Orders::new(limits.orders),
            ladders: Ladders::new(limits.instruments, limits.price_pages),
            last_tick: 199_999,
        }
    }

    fn ladder(&self, instrument: u32, buy: bool, tick: u32) -> (u32, u32) {
        if buy {
            (instrument * 4, tick)
        } else {
            (instrument * 4 + 1, self.last_tick - tick)
        }
    }

    /// The order's id, or nothing when the order to replace or cancel is not open.
    #[inline]
    pub fn ask(&mut self, ask: Ask, trades: &mut Vec<Trade>) -> Option<OrderId> {
        match ask {
            Ask::Enter {
                instrument,
                tick,
                lots,
                buy,
                rests,
            } => {
                let slot = self
                    .orders
                    .take(instrument as u16, tick, lots, Flags::default());
                let id = self.orders.order_id(slot);
                self.cross(slot, buy, rests, trades);
                Some(id)
            }
            Ask::Cancel(id) => {
                let slot = self.orders.find(id)?;
                self.take_off(slot);
                self.orders.put_back(slot);
                Some(id)
            }
            Ask::Replace { order, tick, lots } => {
                let slot = self.orders.find(order)?;
                let at_rest = self.orders.slots[slot as usize];
                let (hot, place) = (at_rest.hot, at_rest.place);
                if tick == hot.tick && lots <= hot.leaves {
                    self.ladders.at_mut(place).lots -= hot.leaves - lots;
                    self.orders.slots[slot as usize].hot.leaves = lots;
                } else {
                    self.take_off(slot);
                    let hot = &mut self.orders.slots[slot as usize].hot;
                    hot.tick = tick;
                    hot.leaves = lots;
                    self.cross(slot, place.side() & 1 == 0, true, trades);
                }
                Some(order)
            }
        }
    }

    /// With many orders, asks the cache for what requests a few places ahead will look at: the order
    /// or the level first, nearer to it the neighbours.
    #[inline(always)]
    pub fn look_ahead(&self, asks: &[Ask], at: usize) {
        if self.orders.live() >= MANY
            && let (Some(&far), Some(&near)) = (asks.get(at + FAR), asks.get(at + NEAR))
        {
            self.look(far, false);
            self.look(near, true);
        }
    }

    #[inline(always)]
    fn look(&self, ask: Ask, near: bool) {
        match ask {
            Ask::Enter {
                instrument,
                tick,
                buy,
                ..
            } => {
                let (side, key) = self.ladder(instrument, buy, tick);
                let (level, last) = self.ladders.look_at(side, key);
                match last.filter(|_| near) {
                    Some(last) => prefetch(self.orders.lines(last)[0]),
                    None => prefetch(level),
                }
            }
            Ask::Cancel(order) | Ask::Replace { order, .. } => {
                let slot = order.0 as u32 & 0xFF_FFFF;
                if near {
                    let [before, behind, ..] = self.orders.neighbours(slot);
                    prefetch(before);
                    prefetch(behind);
                } else {
                    prefetch(self.orders.lines(slot)[0]);
                }
            }
        }
    }

    #[inline]
    fn take_off(&mut self, slot: u32) {
        let place = self.orders.slots[slot as usize].place;
        self.ladders.remove(&mut self.orders, place, slot);
    }

    #[inline]
    fn cross(&mut self, taker: u32, buy: bool, rests: bool, trades: &mut Vec<Trade>) {
        let hot = self.orders.slots[taker as usize].hot;
        let (opposite, worst) = self.ladder(u32::from(hot.instrument), !buy, hot.tick);
        let mut open = hot.leaves;
        loop {
            let best = self.ladders.best(opposite);
            if open == 0 || best == NIL || best < worst {
                break;
            }
            let place = self.ladders.place(opposite, best);
            let maker = self.ladders.at(place).head;
            let resting = self.orders.slots[maker as usize].hot;
            let lots = open.min(resting.leaves);
            open -= lots;
            trades.push((
                self.orders.order_id(maker).0,
                self.orders.order_id(taker).0,
                resting.tick,
                lots,
            ));
            if lots == resting.leaves {
                self.ladders.remove(&mut self.orders, place, maker);
                self.orders.put_back(maker);
            } else {
                self.ladders.at_mut(place).lots -= lots;
                self.orders.slots[maker as usize].hot.leaves -= lots;
            }
        }
        if open > 0 && rests {
            self.orders.slots[taker as usize].hot.leaves = open;
            let (side, key) = self.ladder(u32::from(hot.instrument), buy, hot.tick);
            self.ladders.append(&mut self.orders, side, key, taker);
        } else {
            self.orders.put_back(taker);
        }
    }
}

/// Everything a line is timed with.
pub struct Prepared {
    pub limits: EngineLimits,
    pub instruments: u32,
    /// Prefill, then the stream.
    pub log: Log,
    /// Event bytes per command, for the floor.
    pub written: Vec<u32>,
    pub asks: Vec<Ask>,
    pub prefill: usize,
    /// The workload's id of each entry that the bare book numbered.
    pub entered: Vec<u64>,
    pub state_hash: u64,
}

impl Prepared {
    /// What the engine agent does before a command, with what is in its ring.
    #[inline(always)]
    pub fn look_ahead(&self, engine: &Engine, at: usize, found: &mut Found) {
        found.look(engine, self.later(at));
    }

    /// The command to look ahead to, or nothing.
    #[inline(always)]
    pub fn later(&self, at: usize) -> &[u8] {
        if at + AHEAD + 1 < self.log.starts.len() {
            self.log.get(at + AHEAD)
        } else {
            &[]
        }
    }
}

/// As the engine agent has it.
const AHEAD: usize = 4;

/// What was found of the commands to come.
#[derive(Default)]
pub struct Found([Ahead; AHEAD]);

impl Found {
    #[inline(always)]
    pub fn look(&mut self, engine: &Engine, later: &[u8]) {
        self.0.rotate_right(1);
        self.0[0] = engine.look_ahead(later, prefetch);
        engine.look_closer(self.0[AHEAD / 2], prefetch);
        engine.look_around(self.0[AHEAD - 1], prefetch);
    }
}

/// Draws the stream, applies it once with every answer looked at, and checks both trade hashes.
pub fn prepare(line: &Line, commands: usize) -> Prepared {
    let limits = limits(line.resting);
    let mut log = Log::default();
    let mut driver = Driver::world(limits, line.instruments, 1);
    let mut stream = Stream::new(line.shape, SEED, line.instruments, u64::from(line.resting));
    let steps = line.resting as usize + commands;
    let (mut current, mut filled) = (Vec::<u64>::new(), Vec::<u64>::new());
    let mut bare = Bare::new(limits);
    let mut named: Vec<OrderId> = vec![OrderId(0)];
    let mut client_of_entry: Vec<u64> = vec![0];
    let mut trades = Vec::new();
    let mut asks = Vec::with_capacity(steps);
    let mut written = Vec::with_capacity(steps);
    let (mut full_hash, mut bare_hash) = (Fnv::default(), Fnv::default());
    let mut renamed = 0;
    let mut out: Vec<u8> = Vec::with_capacity(1 << 20);
    for _ in 0..steps {
        let step = stream.next_step();
        let at = usize::try_from(step.id).expect("a small id");
        out.clear();
        match step.kind {
            Kind::New => {
                current.resize(at + 1, 0);
                filled.resize(at + 1, 0);
                current[at] = step.id;
                let tif = if step.tif == 1 { 3 } else { 0 };
                let (instrument, side) = (step.instrument + 1, step.side + 1);
                let order = venue::enter(step.id, instrument, side, tif, step.price, step.quantity);
                let command = driver.command(SESSION, order);
                log.push(&command);
                driver.apply_command(&command, &mut out);
            }
            Kind::Cancel => {
                let command = driver.command(SESSION, venue::cancel(1, current[at]));
                log.push(&command);
                driver.apply_command(&command, &mut out);
            }
            Kind::Replace => {
                renamed += 1;
                let id = renamed << 32 | step.id;
                let total = step.quantity + filled[at];
                let instrument = step.instrument + 1;
                let body = venue::replace(id, current[at], instrument, step.price, total);
                let command = driver.command(SESSION, body);
                log.push(&command);
                driver.apply_command(&command, &mut out);
            }
        }
        written.push(u32::try_from(out.len()).expect("events of one command"));
        let mut maker = 0;
        venue::for_each_event(&out, |_, body| match body {
            EventBody::OrderReplaced(replaced) => {
                let id = replaced.order.client_order_id.as_u64().expect("a number");
                current[(id & 0xFFFF_FFFF) as usize] = id;
            }
            EventBody::Fill(fill) => {
                let id = fill.order.client_order_id.as_u64().expect("a number") & 0xFFFF_FFFF;
                filled[id as usize] += fill.last_quantity.0;
                if fill.liquidity == 1 {
                    maker = id;
                } else {
                    full_hash.trade(maker, id, fill.last_price.0, fill.last_quantity.0);
                }
            }
            _ => {}
        });

        let ask = ask(&step, &named);
        asks.push(ask);
        trades.clear();
        if matches!(ask, Ask::Enter { .. }) {
            client_of_entry.push(step.id);
        }
        let id = bare.ask(ask, &mut trades);
        if step.kind == Kind::New {
            named.push(id.expect("an entered order has an id"));
        }
        let client = |id: u64| client_of_entry[(id >> 24) as usize];
        for &(maker, taker, tick, lots) in &trades {
            bare_hash.trade(client(maker), client(taker), i64::from(tick) + 1, lots);
        }
    }
    if commands == COMMANDS {
        assert_eq!(
            full_hash.0, line.trade_hash,
            "{}: trades of full",
            line.name
        );
        assert_eq!(
            bare_hash.0, line.trade_hash,
            "{}: trades of bare",
            line.name
        );
    }
    Prepared {
        limits,
        instruments: line.instruments,
        log,
        written,
        asks,
        prefill: line.resting as usize,
        entered: client_of_entry,
        state_hash: driver.engine.state_hash(),
    }
}

fn ask(step: &Step, named: &[OrderId]) -> Ask {
    let tick = || u32::try_from(step.price - 1).expect("a price of the workload");
    match step.kind {
        Kind::New => Ask::Enter {
            instrument: step.instrument,
            tick: tick(),
            lots: step.quantity,
            buy: step.side == 0,
            rests: step.tif == 0,
        },
        Kind::Cancel => Ask::Cancel(named[step.id as usize]),
        Kind::Replace => Ask::Replace {
            order: named[step.id as usize],
            tick: tick(),
            lots: step.quantity,
        },
    }
}

/// Events one after the other in a buffer that starts anew when a step might not fit.
pub struct Buffer {
    pub bytes: Box<[u8]>,
    pub at: usize,
}

impl Buffer {
    pub fn new() -> Self {
        Self {
            bytes: vec![1; 1 << 20].into_boxed_slice(),
            at: 0,
        }
    }

    #[inline(always)]
    pub fn make_room(&mut self) {
        if self.at + trading_engine::limits::STEP_BYTES_MAX > self.bytes.len() {
            self.at = 0;
        }
    }
}

impl EventSink for Buffer {
    #[inline(always)]
    fn write(&mut self, parts: [&[u8]; 3]) {
        let [header, order, rest] = parts;
        let length = header.len() + order.len() + rest.len();
        let room = &mut self.bytes[self.at..][..length];
        let (at, room) = room.split_at_mut(header.len());
        at.copy_from_slice(header);
        let (at, room) = room.split_at_mut(order.len());
        at.copy_from_slice(order);
        room.copy_from_slice(rest);
        self.at += length;
    }
}

#[inline(always)]
pub fn apply(engine: &mut Engine, bytes: &[u8], sink: &mut Buffer) {
    sink.make_room();
    let mut progress = engine.apply_bytes(bytes, sink).expect("a command");
    while progress == Progress::More {
        sink.make_room();
        progress = engine.resume(sink);
    }
}

/// The engine with its instruments and one session, and no orders.
pub fn empty_engine(prepared: &Prepared) -> Engine {
    let mut engine = Driver::world(prepared.limits, prepared.instruments, 1).engine;
    engine.touch(prefer_large_pages);
    engine
}

/// The engine after the prefill.
pub fn engine(prepared: &Prepared, sink: &mut Buffer) -> Engine {
    let mut engine = empty_engine(prepared);
    for at in 0..prepared.prefill {
        apply(&mut engine, prepared.log.get(at), sink);
    }
    engine
}

/// The bare book without orders.
pub fn empty_bare(prepared: &Prepared) -> Bare {
    let mut bare = Bare::new(prepared.limits);
    bare.orders.memory(&mut prefer_large_pages);
    bare.ladders.memory(&mut prefer_large_pages);
    bare.orders.touch();
    bare.ladders.touch();
    bare
}

/// The bare book after the prefill.
pub fn bare(prepared: &Prepared, trades: &mut Vec<Trade>) -> Bare {
    let mut bare = empty_bare(prepared);
    for &ask in &prepared.asks[..prepared.prefill] {
        bare.ask(ask, trades);
    }
    bare
}
