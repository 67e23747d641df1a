//! What a command costs the matching core, on every stream of the seeded workload without quotes.
//!
//! * `full`: [`Engine::apply_bytes`] as the engine agent calls it: command bytes read, session
//!   number and ClientOrderId checked, limits checked, matched, events written to a 1 MiB buffer.
//! * `bare`: the slab and the ladders alone, one function a command: orders are named by the id
//!   that the book gave them, trades go to a list, nothing is checked or reported.
//! * `copy`: the floor: the same command bytes read and as many event bytes written, unmade.
//!
//! Commands are drawn and put into bytes before the clock starts. Trades are checked against the
//! published hash, for both books; every timed run ends in the state of the checked one.
//!
//! `ns` is the median over blocks of 10,000 commands, the three taking turns. Percentiles are of
//! single commands of `full`, less what reading the clock costs.
//!
//! `cargo bench --bench engine [-- --instructions] [FILTER]`

mod support;
#[path = "../tests/support/venue.rs"]
#[allow(dead_code)]
mod venue;
#[path = "../tests/support/workload.rs"]
mod workload;

use std::hint::black_box;
use std::time::Instant;

use trading_engine::engine::command::Command;
use trading_engine::engine::event::{EventBody, EventSink};
use trading_engine::engine::ladder::Ladders;
use trading_engine::engine::order::{NIL, Orders};
use trading_engine::engine::{Engine, Progress, command};
use trading_engine::limits::EngineLimits;
use trading_engine::ring::{prefer_large_pages, prefetch};
use trading_engine_protocol::types::{OrderId, SessionId, Side};
use venue::{Driver, SESSION};
use workload::{Fnv, Kind, Shape, Step, Stream};

struct Line {
    name: &'static str,
    shape: Shape,
    instruments: u32,
    resting: u32,
    trade_hash: u64,
}

const LINES: &[Line] = &[
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

const SEED: u64 = 42;
const COMMANDS: usize = 1_000_000;
const BLOCK: usize = 10_000;
/// How often a stream is run from its start.
const RUNS: usize = 5;

fn limits(resting: u32) -> EngineLimits {
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
struct Log {
    words: Vec<u64>,
    /// First word of each command, and the end.
    starts: Vec<u32>,
}

impl Log {
    fn push<B: command::Body>(&mut self, command: &Command<B>) {
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

    fn get(&self, at: usize) -> &[u8] {
        let (start, end) = (self.starts[at] as usize, self.starts[at + 1] as usize);
        zerocopy::IntoBytes::as_bytes(&self.words[start..end])
    }
}

/// A request to the bare book.
#[derive(Clone, Copy)]
enum Ask {
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
type Trade = (u64, u64, u32, u64);

/// The engine's slab and ladders, and nothing around them.
struct Bare {
    orders: Orders,
    ladders: Ladders,
    last_tick: u32,
}

impl Bare {
    fn new(limits: EngineLimits) -> Self {
        Self {
            orders: Orders::new(limits.orders),
            ladders: Ladders::new(limits.instruments, limits.price_pages),
            last_tick: 199_999,
        }
    }

    fn ladder(&self, instrument: u32, buy: bool, tick: u32) -> (u32, u32) {
        if buy {
            (instrument * 2, tick)
        } else {
            (instrument * 2 + 1, self.last_tick - tick)
        }
    }

    /// The order's id, or nothing when the order to replace or cancel is not open.
    #[inline]
    fn ask(&mut self, ask: Ask, trades: &mut Vec<Trade>) -> Option<OrderId> {
        match ask {
            Ask::Enter {
                instrument,
                tick,
                lots,
                buy,
                rests,
            } => {
                let slot = self.orders.take(instrument, tick, lots);
                let cold = &mut self.orders.cold[slot as usize];
                cold.session = SessionId(1);
                cold.state.side = if buy { 1 } else { 2 };
                cold.state.quantity.0 = lots;
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
                let hot = self.orders.hot[slot as usize];
                let buy = self.orders.cold[slot as usize].side() == Side::Buy;
                if tick == hot.tick && lots <= hot.leaves {
                    let (side, key) = self.ladder(hot.instrument, buy, tick);
                    let place = self.ladders.place(side, key);
                    self.ladders.at_mut(place).lots -= hot.leaves - lots;
                    self.orders.hot[slot as usize].leaves = lots;
                } else {
                    self.take_off(slot);
                    let hot = &mut self.orders.hot[slot as usize];
                    hot.tick = tick;
                    hot.leaves = lots;
                    self.cross(slot, buy, true, trades);
                }
                Some(order)
            }
        }
    }

    #[inline]
    fn take_off(&mut self, slot: u32) {
        let hot = self.orders.hot[slot as usize];
        let buy = self.orders.cold[slot as usize].side() == Side::Buy;
        let (side, key) = self.ladder(hot.instrument, buy, hot.tick);
        let place = self.ladders.place(side, key);
        self.ladders.remove(&mut self.orders, place, slot);
    }

    #[inline]
    fn cross(&mut self, taker: u32, buy: bool, rests: bool, trades: &mut Vec<Trade>) {
        let hot = self.orders.hot[taker as usize];
        let (opposite, worst) = self.ladder(hot.instrument, !buy, hot.tick);
        let mut open = hot.leaves;
        loop {
            let best = self.ladders.best(opposite);
            if open == 0 || best == NIL || best < worst {
                break;
            }
            let place = self.ladders.place(opposite, best);
            let maker = self.ladders.at(place).head;
            let resting = self.orders.hot[maker as usize];
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
                self.orders.hot[maker as usize].leaves -= lots;
            }
        }
        if open > 0 && rests {
            self.orders.hot[taker as usize].leaves = open;
            let (side, key) = self.ladder(hot.instrument, buy, hot.tick);
            self.ladders.append(&mut self.orders, side, key, taker);
        } else {
            self.orders.put_back(taker);
        }
    }
}

/// Everything a line is timed with.
struct Prepared {
    limits: EngineLimits,
    instruments: u32,
    /// Prefill, then the stream.
    log: Log,
    /// Event bytes per command, for the floor.
    written: Vec<u32>,
    asks: Vec<Ask>,
    prefill: usize,
    state_hash: u64,
}

impl Prepared {
    /// What the engine agent does before a command, with what is in its ring.
    #[inline(always)]
    fn look_ahead(&self, engine: &Engine, at: usize) {
        if at + 4 < self.log.starts.len() {
            engine.look_ahead(self.log.get(at + 3), prefetch);
        }
    }
}

/// Draws the stream, applies it once with every answer looked at, and checks both trade hashes.
fn prepare(line: &Line, commands: usize) -> Prepared {
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
struct Buffer {
    bytes: Box<[u8]>,
    at: usize,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: vec![1; 1 << 20].into_boxed_slice(),
            at: 0,
        }
    }

    #[inline(always)]
    fn make_room(&mut self) {
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
fn apply(engine: &mut Engine, bytes: &[u8], sink: &mut Buffer) {
    sink.make_room();
    let mut progress = engine.apply_bytes(bytes, sink).expect("a command");
    while progress == Progress::More {
        sink.make_room();
        progress = engine.resume(sink);
    }
}

fn engine(prepared: &Prepared, sink: &mut Buffer) -> Engine {
    let mut engine = Driver::world(prepared.limits, prepared.instruments, 1).engine;
    engine.memory(prefer_large_pages);
    engine.touch();
    for at in 0..prepared.prefill {
        apply(&mut engine, prepared.log.get(at), sink);
    }
    engine
}

fn bare(prepared: &Prepared, trades: &mut Vec<Trade>) -> Bare {
    let mut bare = Bare::new(prepared.limits);
    bare.orders.memory(&mut prefer_large_pages);
    bare.ladders.memory(&mut prefer_large_pages);
    bare.orders.touch();
    bare.ladders.touch();
    for &ask in &prepared.asks[..prepared.prefill] {
        bare.ask(ask, trades);
    }
    bare
}

fn copy(bytes: &[u8], written: usize, sink: &mut Buffer) {
    let command = command::read(bytes).expect("a command");
    black_box(&command);
    sink.make_room();
    let (at, end) = (sink.at, sink.at + written);
    if end < sink.bytes.len() {
        sink.bytes[at..end].fill(bytes[0]);
        sink.at = end;
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn measure(line: &Line) {
    let prepared = prepare(line, COMMANDS);
    let mut sink = Buffer::new();
    let mut trades: Vec<Trade> = Vec::with_capacity(1 << 20);
    let (mut of_copy, mut of_bare, mut of_full) = (Vec::new(), Vec::new(), Vec::new());
    let timed = |times: &mut Vec<f64>, block: &mut dyn FnMut()| {
        let started = Instant::now();
        block();
        times.push(started.elapsed().as_nanos() as f64 / BLOCK as f64);
    };
    for _ in 0..RUNS {
        let mut engine = engine(&prepared, &mut sink);
        let mut book = bare(&prepared, &mut trades);
        for start in (0..COMMANDS).step_by(BLOCK) {
            let block = start..start + BLOCK;
            trades.clear();
            timed(&mut of_bare, &mut || {
                for at in block.clone() {
                    black_box(book.ask(prepared.asks[prepared.prefill + at], &mut trades));
                }
            });
            timed(&mut of_full, &mut || {
                for at in block.clone() {
                    let at = prepared.prefill + at;
                    prepared.look_ahead(&engine, at);
                    apply(&mut engine, prepared.log.get(at), &mut sink);
                }
            });
            timed(&mut of_copy, &mut || {
                for at in block.clone() {
                    let bytes = prepared.log.get(prepared.prefill + at);
                    copy(
                        bytes,
                        prepared.written[prepared.prefill + at] as usize,
                        &mut sink,
                    );
                }
            });
        }
        assert_eq!(engine.state_hash(), prepared.state_hash, "{}", line.name);
    }
    let (floor, bare, full) = (
        median(&mut of_copy),
        median(&mut of_bare),
        median(&mut of_full),
    );
    print!(
        "{:<24}{floor:>8.1}{bare:>8.1}{full:>8.1}{:>8.1} x",
        line.name,
        full / floor
    );
    let singles = singles(&prepared);
    for percentile in [50.0, 99.0, 99.9, 99.99] {
        print!("{:>9}", singles.value_at_percentile(percentile));
    }
    println!();
}

/// Single commands, in ns, less the cost of the clock.
fn singles(prepared: &Prepared) -> hdrhistogram::Histogram<u64> {
    let clock = quanta::Clock::new();
    let mut empty: Vec<u64> = (0..100_000)
        .map(|_| {
            let start = clock.raw();
            black_box(clock.delta_as_nanos(start, clock.raw()))
        })
        .collect();
    empty.sort_unstable();
    let cost = empty[empty.len() / 2];
    let mut sink = Buffer::new();
    let mut engine = engine(prepared, &mut sink);
    let mut histogram = hdrhistogram::Histogram::new(3).expect("Invariant: 3 digits");
    for at in 0..COMMANDS {
        let bytes = prepared.log.get(prepared.prefill + at);
        prepared.look_ahead(&engine, prepared.prefill + at);
        let start = clock.raw();
        apply(&mut engine, bytes, &mut sink);
        let end = clock.raw();
        let ns = clock.delta_as_nanos(start, end).saturating_sub(cost);
        histogram
            .record(ns)
            .expect("Invariant: the histogram grows");
    }
    histogram
}

/// What a child under callgrind does: `full mixed 1 1000` and a count.
fn one(name: &str, count: usize) {
    let (kind, name) = name.split_once(' ').expect("kind and line");
    let line = LINES.iter().find(|line| line.name == name).expect("a line");
    let most = support::INSTRUCTION_COUNTS[1] as usize;
    // The same preparation whatever the count: the difference is the commands alone.
    let prepared = prepare(line, most);
    let mut sink = Buffer::new();
    let mut trades: Vec<Trade> = Vec::with_capacity(1 << 20);
    let mut engine = engine(&prepared, &mut sink);
    let mut book = bare(&prepared, &mut trades);
    trades.clear();
    for at in 0..count {
        if kind == "full" {
            prepared.look_ahead(&engine, prepared.prefill + at);
            apply(
                &mut engine,
                prepared.log.get(prepared.prefill + at),
                &mut sink,
            );
        } else {
            black_box(book.ask(prepared.asks[prepared.prefill + at], &mut trades));
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, count] = &arguments[..]
        && flag == "--one"
    {
        return one(name, count.parse().expect("a count"));
    }
    let instructions = arguments
        .iter()
        .any(|argument| argument == "--instructions");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen = LINES
        .iter()
        .filter(|line| filter.is_none_or(|word| line.name.contains(word.as_str())));
    if instructions {
        println!("instructions a command: stream, instruments, resting orders");
        println!("{:<24}{:>8}{:>8}", "", "bare", "full");
        for line in chosen {
            print!("{:<24}", line.name);
            for kind in ["bare", "full"] {
                print!("{:>8.1}", support::each(&format!("{kind} {}", line.name)));
            }
            println!();
        }
    } else {
        println!("ns a command: stream, instruments, resting orders");
        println!(
            "{:<24}{:>8}{:>8}{:>8}{:>10}{:>9}{:>9}{:>9}{:>9}",
            "", "copy", "bare", "full", "full/copy", "p50", "p99", "p99.9", "p99.99"
        );
        chosen.for_each(measure);
    }
}
