//! What a command costs the matching core, on every stream of the seeded workload.
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
//! A mass quote of 20 two-sided entries is one command of `quotes`, and is shown by the side too.
//!
//! `--each` counts single commands of `full` under callgrind, by what became of them: a mean says
//! little where one command in ten is many fills.
//!
//! `--gate` counts the lines of [`GATED`] and compares with `benches/instructions.txt`; CI runs it.
//! `--record` writes them there.
//!
//! `cargo bench --bench engine [-- --instructions | --each | --gate | --record] [FILTER]`

#[path = "support/ours.rs"]
mod ours;
#[path = "support/quotes.rs"]
mod quotes;
mod support;
#[path = "../tests/support/venue.rs"]
#[allow(dead_code)]
mod venue;
#[path = "../tests/support/workload.rs"]
mod workload;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use ours::{Buffer, COMMANDS, Found, LINES, Line, Prepared, Trade, apply, bare, engine, prepare};
use support::Singles;
use trading_engine::engine::event::EventBody;
use trading_engine::engine::{Engine, command};

const BLOCK: usize = 10_000;
/// How often a stream is run from its start.
const RUNS: usize = 5;

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
        let mut found = Found::default();
        for start in (0..COMMANDS).step_by(BLOCK) {
            let block = start..start + BLOCK;
            trades.clear();
            timed(&mut of_bare, &mut || {
                for at in block.clone() {
                    let at = prepared.prefill + at;
                    book.look_ahead(&prepared.asks, at);
                    black_box(book.ask(prepared.asks[at], &mut trades));
                }
            });
            timed(&mut of_full, &mut || {
                for at in block.clone() {
                    let at = prepared.prefill + at;
                    prepared.look_ahead(&engine, at, &mut found);
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
        print!("{:>9}", singles.at(percentile));
    }
    println!();
}

/// Single commands of `full`.
fn singles(prepared: &Prepared) -> Singles {
    let mut sink = Buffer::new();
    let mut engine = engine(prepared, &mut sink);
    let mut singles = Singles::new();
    let mut found = Found::default();
    for at in 0..COMMANDS {
        let bytes = prepared.log.get(prepared.prefill + at);
        prepared.look_ahead(&engine, prepared.prefill + at, &mut found);
        singles.time(|| apply(&mut engine, bytes, &mut sink));
    }
    singles
}

/// Mass quotes, by the message and by the side.
fn measure_quotes(name: &str, instruments: u32, trade_hash: u64) {
    const MESSAGES: usize = 1_000;
    let prepared = quotes::prepare(instruments, trade_hash, quotes::MESSAGES);
    let mut sink = Buffer::new();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let mut engine = quotes::engine(&prepared);
        for block in prepared.log.chunks(MESSAGES) {
            let started = Instant::now();
            for words in block {
                quotes::apply(&mut engine, words, &mut sink);
            }
            times.push(started.elapsed().as_nanos() as f64 / MESSAGES as f64);
        }
        assert_eq!(engine.state_hash(), prepared.state_hash, "{name}");
    }
    let full = median(&mut times);
    print!(
        "{name:<24}{:>8}{:>8}{full:>8.1}{:>8.1} ns a side",
        "-",
        "-",
        full / quotes::SIDES as f64
    );
    let mut engine = quotes::engine(&prepared);
    let mut singles = Singles::new();
    for words in &prepared.log {
        singles.time(|| quotes::apply(&mut engine, words, &mut sink));
    }
    for percentile in [50.0, 99.0, 99.9, 99.99] {
        print!("{:>9}", singles.at(percentile));
    }
    println!();
}

/// Mass quotes under callgrind.
fn one_of_quotes(name: &str, count: usize) {
    let (_, instruments, hash) = quotes::LINES
        .iter()
        .find(|line| line.0 == name)
        .expect("a line");
    let most = support::INSTRUCTION_COUNTS[1] as usize;
    let prepared = quotes::prepare(*instruments, *hash, most);
    let mut engine = quotes::engine(&prepared);
    counted_quotes(&mut engine, &prepared, count);
}

/// Every message from the first, in a place that callgrind knows by its name.
#[inline(never)]
fn counted_quotes(engine: &mut Engine, prepared: &quotes::Prepared, count: usize) {
    let mut sink = Buffer::new();
    for words in &prepared.log[..count] {
        quotes::apply(engine, words, &mut sink);
    }
}

/// Likewise, commands of `full`.
#[inline(never)]
fn counted_full(engine: &mut Engine, prepared: &Prepared, sink: &mut Buffer, count: usize) {
    let mut found = Found::default();
    for at in 0..count {
        prepared.look_ahead(engine, prepared.prefill + at, &mut found);
        apply(engine, prepared.log.get(prepared.prefill + at), sink);
    }
}

/// Likewise, of `bare`.
#[inline(never)]
fn counted_bare(book: &mut ours::Bare, prepared: &Prepared, trades: &mut Vec<Trade>, count: usize) {
    for at in 0..count {
        let at = prepared.prefill + at;
        book.look_ahead(&prepared.asks, at);
        black_box(book.ask(prepared.asks[at], trades));
    }
}

/// Commands before those that `--each` counts one by one, and how many those are.
const WARM: usize = 20_000;
const COUNTED: usize = 4_000;

/// What became of a command.
const OUTCOMES: [&str; 5] = ["rests", "trades", "canceled", "replaced", "else"];

/// One command of `full`, and the look-ahead before it, in a place that callgrind knows by its name.
#[inline(never)]
fn counted_command(
    engine: &mut Engine,
    found: &mut Found,
    later: &[u8],
    bytes: &[u8],
    sink: &mut Buffer,
) {
    found.look(engine, later);
    apply(engine, bytes, sink);
}

/// What a child under callgrind does for `--each`.
fn one_by_one(line: &Line) {
    let prepared = prepare(line, WARM + COUNTED);
    let mut sink = Buffer::new();
    let mut engine = engine(&prepared, &mut sink);
    for at in 0..WARM {
        apply(
            &mut engine,
            prepared.log.get(prepared.prefill + at),
            &mut sink,
        );
    }
    let mut found = Found::default();
    for at in WARM..WARM + COUNTED {
        let at = prepared.prefill + at;
        counted_command(
            &mut engine,
            &mut found,
            prepared.later(at),
            prepared.log.get(at),
            &mut sink,
        );
    }
}

/// What became of each counted command, as its place in [`OUTCOMES`].
fn outcomes(prepared: &Prepared) -> Vec<usize> {
    let mut sink = Buffer::new();
    let mut engine = engine(prepared, &mut sink);
    let outcome = |at: usize| {
        sink.at = 0;
        apply(
            &mut engine,
            prepared.log.get(prepared.prefill + at),
            &mut sink,
        );
        let mut outcome = 4;
        let written = &sink.bytes[..sink.at];
        venue::for_each_event(written, |_, body| match body {
            EventBody::OrderAccepted(_) => outcome = 0,
            EventBody::Fill(_) => outcome = 1,
            EventBody::OrderCanceled(_) if outcome == 4 => outcome = 2,
            EventBody::OrderReplaced(_) => outcome = 3,
            _ => {}
        });
        outcome
    };
    let all: Vec<usize> = (0..WARM + COUNTED).map(outcome).collect();
    all[WARM..].to_vec()
}

/// Instructions of single commands: mean and median of all, then those of each outcome.
fn each_command(line: &Line) {
    let counts = support::each_call("engine::counted_command", line.name);
    let outcomes = outcomes(&prepare(line, WARM + COUNTED));
    assert_eq!(counts.len(), outcomes.len(), "one count a command");
    let show = |mut counts: Vec<u64>| {
        counts.sort_unstable();
        if counts.is_empty() {
            print!("{:>16}", "-");
            return;
        }
        let mean = counts.iter().sum::<u64>() / counts.len() as u64;
        print!("{:>8} /{:>6}", mean, counts[counts.len() / 2]);
    };
    print!("{:<24}", line.name);
    show(counts.clone());
    for outcome in 0..OUTCOMES.len() {
        let with = counts.iter().zip(&outcomes);
        show(
            with.filter(|(_, of)| **of == outcome)
                .map(|(count, _)| *count)
                .collect(),
        );
    }
    println!();
}

/// What a child under callgrind does: `full mixed 1 1000` and a count.
fn one(name: &str, count: usize) {
    if let Some(name) = name.strip_prefix("each ") {
        return one_by_one(LINES.iter().find(|line| line.name == name).expect("a line"));
    }
    if let Some(name) = name
        .strip_prefix("full ")
        .filter(|name| name.starts_with("quotes"))
    {
        return one_of_quotes(name, count);
    }
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
    if kind == "full" {
        counted_full(&mut engine, &prepared, &mut sink, count);
    } else {
        counted_bare(&mut book, &prepared, &mut trades, count);
    }
}

/// What a change may not make longer unseen: each way through the core that a busy venue takes, and
/// what it costs to have many orders.
const GATED: [&str; 7] = [
    "bare mixed 1 1000",
    "full mixed 1 1000",
    "full mixed 1 100000",
    "full mixed 100 10000",
    "full cancel-heavy 1 1000",
    "full sweep 1 1000",
    "full quotes 1 1000",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, count] = &arguments[..]
        && flag == "--one"
    {
        one(name, count.parse().expect("a count"));
        return ExitCode::SUCCESS;
    }
    let asks = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if asks("--gate") || asks("--record") {
        return support::gate(&GATED, asks("--record"));
    }
    let instructions = asks("--instructions");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let names = LINES.iter().map(|line| line.name);
    let mut names = names.chain(quotes::LINES.iter().map(|line| line.0));
    // A whole name means that line alone.
    let whole = filter.is_some_and(|word| names.any(|name| name == word));
    let is_meant = |name: &str| {
        filter.is_none_or(|word| {
            if whole {
                name == word
            } else {
                name.contains(word.as_str())
            }
        })
    };
    let quoting = quotes::LINES.iter().filter(|(name, ..)| is_meant(name));
    let chosen = LINES.iter().filter(|line| is_meant(line.name));
    if asks("--each") {
        println!("instructions of single commands, mean / median: stream, instruments, resting");
        print!("{:<24}{:>16}", "", "all");
        for outcome in OUTCOMES {
            print!("{outcome:>16}");
        }
        println!();
        chosen.for_each(each_command);
    } else if instructions {
        println!("instructions a command: stream, instruments, resting orders");
        println!("{:<24}{:>8}{:>8}", "", "bare", "full");
        for line in chosen {
            print!("{:<24}", line.name);
            for kind in ["bare", "full"] {
                print!("{:>8.1}", support::each(&format!("{kind} {}", line.name)));
            }
            println!();
        }
        for (name, ..) in quoting {
            let each = support::each(&format!("full {name}"));
            println!("{name:<24}{:>8}{each:>8.1}", "-");
        }
    } else {
        println!("ns a command: stream, instruments, resting orders");
        println!(
            "{:<24}{:>8}{:>8}{:>8}{:>10}{:>9}{:>9}{:>9}{:>9}",
            "", "copy", "bare", "full", "full/copy", "p50", "p99", "p99.9", "p99.99"
        );
        chosen.for_each(measure);
        quoting.for_each(|(name, instruments, hash)| measure_quotes(name, *instruments, *hash));
    }
    ExitCode::SUCCESS
}
