//! What a command costs our engine and other order books, on the same seeded streams, in one run.
//!
//! `README.md` says who the others are and why. Each file in `adapters` says how an engine is
//! asked; requests are made before the clock starts. First every engine runs the stream with its
//! trades looked at: one that gives others than the published answer gets no figure. Then the
//! engines take turns, 50,000 commands each, and every timed run must end with what the checked one
//! left open.
//!
//! * `mean`: ns a command over a whole stream, the median over rounds; `/bare` and `/full` are
//!   ratios to ours. The clock is read once in 10,000 commands.
//! * percentiles: ns of single commands, less what reading the clock costs; medians over rounds.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml [-- OPTION...] [ROW]`
//!
//! * `ROW`: a row such as `'mixed 1 1000'`, or a part of the names of several
//! * `--engine NAME`: this engine only, beside ours
//! * `--rounds N`: 5 by default
//! * `--instructions`: instructions a command instead, counted under valgrind
//!
//! `cargo bench --features survey` adds the candidates that were not chosen.

mod adapters;
#[path = "../support/ours.rs"]
mod ours;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../tests/support/venue.rs"]
#[allow(dead_code)]
mod venue;
#[path = "../../tests/support/workload.rs"]
mod workload;

use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use adapters::{Open, Peer, Trade};
use ours::{COMMANDS, LINES, Line, SEED};
use support::Singles;
use workload::{Fnv, Shape, Step, Stream};

/// Commands between two visits to an engine's records, off the clock.
const BLOCK: usize = 10_000;
/// Commands of one turn: long enough that finding the caches cold again does not matter.
const TURN: usize = 50_000;
const PERCENTILES: [f64; 4] = [50.0, 99.0, 99.9, 99.99];

/// Why there are no rows of the fourth stream.
const QUOTES: &str = "quotes: left out: no candidate has mass quotes";

/// Every engine, in the order of the table; the first two are ours.
const ENGINES: &[&str] = &[
    "bare",
    "full",
    "obcore",
    "orderbook-rs",
    #[cfg(feature = "survey")]
    "matchcore",
    #[cfg(feature = "survey")]
    "nanobook",
];

/// Why an engine is not put to a row at all.
fn spared(engine: &str, line: &Line) -> Option<&'static str> {
    match (engine, line.shape) {
        ("obcore", Shape::CancelHeavy) => Some("not expressible: it has no replace"),
        ("nanobook", Shape::CancelHeavy) => {
            Some("not expressible: its modify gives a new id and always loses the place")
        }
        // Before it gives another trade: the check would not come back.
        ("nanobook", Shape::Mixed) if line.instruments > 1 => {
            Some("no figure: one of its matches does not end")
        }
        _ => None,
    }
}

/// An engine that runs a stream again and again.
trait Contender {
    /// Starts anew, with the prefill and nothing else.
    fn start(&mut self);
    /// Applies commands of the stream, the prefill not counted.
    fn run(&mut self, commands: Range<usize>);
    /// The same, each on the clock.
    fn run_singly(&mut self, commands: Range<usize>, singles: &mut Singles);
    /// The same, and every trade is passed on.
    fn run_looked_at(&mut self, commands: Range<usize>, each: &mut dyn FnMut(Trade));
    /// Between blocks, off the clock.
    fn settle(&mut self);
    fn open(&self) -> Open;
}

struct Seat<P: Peer> {
    requests: P::Requests,
    prefill: usize,
    engine: Option<P>,
}

impl<P: Peer> Seat<P> {
    fn engine(&mut self) -> (&mut P, &P::Requests, usize) {
        let engine = self.engine.as_mut().expect("Invariant: started");
        (engine, &self.requests, self.prefill)
    }
}

impl<P: Peer> Contender for Seat<P> {
    fn start(&mut self) {
        // The last one's memory is free before the next one asks for its own.
        self.engine = None;
        let mut engine = P::new(&self.requests);
        for at in 0..self.prefill {
            engine.apply(&self.requests, at);
        }
        engine.settle();
        self.engine = Some(engine);
    }

    fn run(&mut self, commands: Range<usize>) {
        let (engine, requests, prefill) = self.engine();
        for at in commands {
            engine.apply(requests, prefill + at);
        }
    }

    fn run_singly(&mut self, commands: Range<usize>, singles: &mut Singles) {
        let (engine, requests, prefill) = self.engine();
        for at in commands {
            singles.time(|| engine.apply(requests, prefill + at));
        }
    }

    fn run_looked_at(&mut self, commands: Range<usize>, each: &mut dyn FnMut(Trade)) {
        let (engine, requests, prefill) = self.engine();
        for at in commands {
            engine.report(requests, prefill + at, each);
        }
    }

    fn settle(&mut self) {
        self.engine().0.settle();
    }

    fn open(&self) -> Open {
        self.engine.as_ref().expect("Invariant: started").open()
    }
}

/// A stream and what engines need of it.
struct Course {
    line: &'static Line,
    steps: Vec<Step>,
    ours: Option<Rc<ours::Prepared>>,
    commands: usize,
}

impl Course {
    fn new(line: &'static Line, commands: usize) -> Self {
        let resting = u64::from(line.resting);
        let mut stream = Stream::new(line.shape, SEED, line.instruments, resting);
        let steps = (0..line.resting as usize + commands).map(|_| stream.next_step());
        Self {
            line,
            steps: steps.collect(),
            ours: None,
            commands,
        }
    }

    fn seat<P: Peer + 'static>(&self, requests: P::Requests) -> Box<dyn Contender> {
        Box::new(Seat::<P> {
            requests,
            prefill: self.line.resting as usize,
            engine: None,
        })
    }

    fn contender(&mut self, engine: &str) -> Box<dyn Contender> {
        let (instruments, steps) = (self.line.instruments, &self.steps);
        match engine {
            "bare" | "full" => {
                let prepared = self
                    .ours
                    .get_or_insert_with(|| Rc::new(ours::prepare(self.line, self.commands)));
                let prepared = Rc::clone(prepared);
                if engine == "bare" {
                    self.seat::<adapters::ours::Bare>(prepared)
                } else {
                    self.seat::<adapters::ours::Full>(prepared)
                }
            }
            "obcore" => {
                let requests = adapters::obcore::requests(instruments, steps);
                self.seat::<adapters::obcore::Books>(requests)
            }
            "orderbook-rs" => {
                let requests = adapters::orderbook_rs::requests(instruments, steps);
                self.seat::<adapters::orderbook_rs::Books>(requests)
            }
            #[cfg(feature = "survey")]
            "matchcore" => {
                let requests = adapters::matchcore::requests(instruments, steps);
                self.seat::<adapters::matchcore::Books>(requests)
            }
            #[cfg(feature = "survey")]
            "nanobook" => {
                let requests = adapters::nanobook::requests(instruments, steps);
                self.seat::<adapters::nanobook::Books>(requests)
            }
            _ => panic!("no engine {engine}: there are {ENGINES:?}"),
        }
    }
}

fn parts(whole: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    whole
        .step_by(length)
        .map(move |start| start..start + length)
}

/// Runs the stream with every trade looked at, against the right ones; the first engine's are taken
/// for right when their hash is. What is open at the end, or the first trade that was wrong: there
/// it stops, as an engine that is wrong may not come to an end.
fn check(
    contender: &mut dyn Contender,
    line: &Line,
    right: &mut Vec<Trade>,
) -> Result<Open, String> {
    let first = right.is_empty();
    let mut hash = Fnv::default();
    let mut count = 0;
    contender.start();
    for at in 0..COMMANDS {
        let mut odd = None;
        contender.run_looked_at(at..at + 1, &mut |trade| {
            hash.trade(trade.maker, trade.taker, trade.price, trade.quantity);
            if first {
                right.push(trade);
            } else if odd.is_none() && right.get(count) != Some(&trade) {
                odd = Some((count, trade));
            }
            count += 1;
        });
        if let Some((odd, trade)) = odd {
            return Err(format!(
                "trade {} of {} is {trade:?}, and should be {:?}",
                odd + 1,
                right.len(),
                right.get(odd)
            ));
        }
        if (at + 1) % BLOCK == 0 {
            contender.settle();
        }
    }
    if hash.0 == line.trade_hash {
        Ok(contender.open())
    } else {
        Err(format!("{count} trades of {}", right.len()))
    }
}

fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).expect("a number"));
    values[values.len() / 2]
}

/// An engine on the clock, and what its rounds said.
struct Runner {
    engine: &'static str,
    contender: Box<dyn Contender>,
    open: Open,
    means: Vec<f64>,
    percentiles: [Vec<u64>; 4],
}

impl Runner {
    /// A timed run ends with what the checked one left.
    fn ended(&self) {
        assert_eq!(self.contender.open(), self.open, "{}", self.engine);
    }
}

fn measure(line: &'static Line, engines: &[&'static str], rounds: usize) {
    println!("{}", line.name);
    let mut course = Course::new(line, COMMANDS);
    let (mut right, mut runners) = (Vec::new(), Vec::new());
    for &engine in engines {
        if let Some(why) = spared(engine, line) {
            println!("  {engine:<14}{why}");
            continue;
        }
        let mut contender = course.contender(engine);
        match check(&mut *contender, line, &mut right) {
            Ok(open) => runners.push(Runner {
                engine,
                contender,
                open,
                means: Vec::new(),
                percentiles: Default::default(),
            }),
            Err(why) => println!("  {engine:<14}no figure, other trades: {why}"),
        }
    }
    drop(right);
    for _ in 0..rounds {
        whole(&mut runners);
        singly(&mut runners);
    }
    let means: Vec<f64> = runners
        .iter()
        .map(|runner| median(runner.means.clone()))
        .collect();
    for (runner, mean) in runners.iter().zip(&means) {
        // The first two are ours, and always there.
        let (bare, full) = (mean / means[0], mean / means[1]);
        print!(
            "  {:<14}{mean:>9.1}{bare:>8.2} x{full:>8.2} x",
            runner.engine
        );
        for percentile in &runner.percentiles {
            print!("{:>9}", median(percentile.clone()));
        }
        println!();
    }
}

/// One round of whole streams, the engines taking turns.
fn whole(runners: &mut [Runner]) {
    let mut spent = vec![0.0; runners.len()];
    for runner in runners.iter_mut() {
        runner.contender.start();
    }
    for turn in parts(0..COMMANDS, TURN) {
        for (runner, spent) in runners.iter_mut().zip(&mut spent) {
            for block in parts(turn.clone(), BLOCK) {
                let started = Instant::now();
                runner.contender.run(block);
                *spent += started.elapsed().as_nanos() as f64;
                runner.contender.settle();
            }
        }
    }
    for (runner, spent) in runners.iter_mut().zip(spent) {
        runner.ended();
        runner.means.push(spent / COMMANDS as f64);
    }
}

/// One round of single commands.
fn singly(runners: &mut [Runner]) {
    let mut singles: Vec<Singles> = runners.iter().map(|_| Singles::new()).collect();
    for runner in runners.iter_mut() {
        runner.contender.start();
    }
    for turn in parts(0..COMMANDS, TURN) {
        for (runner, singles) in runners.iter_mut().zip(&mut singles) {
            for block in parts(turn.clone(), BLOCK) {
                runner.contender.run_singly(block, singles);
                runner.contender.settle();
            }
        }
    }
    for (runner, singles) in runners.iter_mut().zip(singles) {
        runner.ended();
        for (values, percentile) in runner.percentiles.iter_mut().zip(PERCENTILES) {
            values.push(singles.at(percentile));
        }
    }
}

/// What a child under callgrind does: an engine, a row and a count.
fn one(name: &str, count: usize) {
    let (engine, name) = name.split_once(' ').expect("engine and row");
    let line = LINES.iter().find(|line| line.name == name).expect("a row");
    // The same preparation whatever the count: the difference is the commands alone.
    let mut course = Course::new(line, support::INSTRUCTION_COUNTS[1] as usize);
    let mut contender = course.contender(engine);
    contender.start();
    contender.run(0..count);
}

/// What the command line asks for.
struct Wish {
    rows: Vec<&'static Line>,
    engines: Vec<&'static str>,
    rounds: usize,
    instructions: bool,
}

impl Wish {
    fn read(arguments: &[String]) -> Self {
        let mut wish = Self {
            rows: LINES.iter().collect(),
            engines: ENGINES.to_vec(),
            rounds: 5,
            instructions: false,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--instructions" => wish.instructions = true,
                "--rounds" => {
                    let rounds = rest.next().and_then(|rounds| rounds.parse().ok());
                    wish.rounds = rounds.expect("--rounds and a number");
                }
                "--engine" => {
                    let name = rest.next().expect("--engine and a name");
                    assert!(
                        ENGINES.contains(&name.as_str()),
                        "no engine {name}: there are {ENGINES:?}"
                    );
                    wish.engines
                        .retain(|engine| ["bare", "full", name].contains(engine));
                }
                row => wish.rows = rows(row),
            }
        }
        wish
    }
}

/// The row of that name, or all with it in their names.
fn rows(name: &str) -> Vec<&'static Line> {
    let named = |line: &&Line| line.name == name;
    let rows: Vec<&Line> = match LINES.iter().find(named) {
        Some(line) => vec![line],
        None => LINES
            .iter()
            .filter(|line| line.name.contains(name))
            .collect(),
    };
    assert!(!rows.is_empty(), "no row {name}");
    rows
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, count] = &arguments[..]
        && flag == "--one"
    {
        return one(name, count.parse().expect("a count"));
    }
    let wish = Wish::read(&arguments);
    if wish.instructions {
        println!("instructions a command: stream, instruments, resting orders");
        for line in wish.rows {
            println!("{}", line.name);
            for engine in &wish.engines {
                let told = match spared(engine, line) {
                    Some(why) => why.to_owned(),
                    None => format!("{:>9.1}", support::each(&format!("{engine} {}", line.name))),
                };
                println!("  {engine:<14}{told}");
            }
        }
    } else {
        println!("ns a command: stream, instruments, resting orders");
        println!(
            "  {:<14}{:>9}{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}",
            "", "mean", "/bare", "/full", "p50", "p99", "p99.9", "p99.99"
        );
        for line in wish.rows {
            measure(line, &wish.engines, wish.rounds);
        }
        println!(
            "reading the clock costs {} ns, taken off each single command",
            Singles::new().cost
        );
    }
    println!("{QUOTES}");
}
