//! What benches share: medians over rounds, and instruction counts.
//!
//! A bench names its cases; each runs its operation a given number of times. Time is the median of
//! many short rounds, the cases taking turns, so that a busy neighbour harms all of them alike and
//! ratios hold. With `--instructions` each case runs in a child under `valgrind --tool=callgrind`,
//! twice, with different counts: the difference is what one operation costs, start-up left out.
//!
//! `--gate` compares some of those counts with the ones in `benches/instructions.txt`, and fails where
//! they differ: a count that fell is written down by `--record`, so that it cannot quietly rise again.
//!
//! `cargo bench --bench NAME [-- --instructions] [FILTER]`
#![allow(dead_code, unreachable_pub)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// One thing that is measured.
pub struct Case {
    /// What it is called in the table.
    pub name: &'static str,
    /// Runs the operation this many times.
    pub run: fn(u64),
    /// Operations in a round: long against the clock, short against a time slice.
    pub round: u64,
    /// Whether another thread takes part, whose instructions would be counted too.
    pub threaded: bool,
}

impl Case {
    /// A case of one thread.
    pub const fn new(name: &'static str, run: fn(u64), round: u64) -> Self {
        Self {
            name,
            run,
            round,
            threaded: false,
        }
    }
}

const ROUNDS: usize = 101;
pub const INSTRUCTION_COUNTS: [u64; 2] = [20_000, 40_000];

/// Measures what the command line asks for; `floor` is the case the others are compared with.
pub fn main(title: &str, floor: &str, cases: &[Case]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, count] = &arguments[..]
        && flag == "--one"
    {
        let case = cases.iter().find(|case| case.name == name);
        let count = count.parse().expect("a count");
        (case.expect("a case of this bench").run)(count);
        return;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen: Vec<&Case> = cases
        .iter()
        .filter(|case| filter.is_none_or(|word| case.name.contains(word.as_str())))
        .collect();
    println!("{title}");
    if arguments
        .iter()
        .any(|argument| argument == "--instructions")
    {
        instructions(&chosen);
    } else {
        times(floor, &chosen);
    }
}

fn times(floor: &str, cases: &[&Case]) {
    let mut rounds: Vec<Vec<f64>> = cases.iter().map(|_| Vec::with_capacity(ROUNDS)).collect();
    for case in cases {
        (case.run)(case.round);
    }
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter().zip(&mut rounds) {
            let started = Instant::now();
            (case.run)(case.round);
            times.push(started.elapsed().as_nanos() as f64 / case.round as f64);
        }
    }
    let figures: Vec<(f64, f64)> = rounds
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            (times[0], times[ROUNDS / 2])
        })
        .collect();
    let base = cases.iter().position(|case| case.name == floor);
    println!(
        "{:<34}{:>10}{:>10}{:>16}",
        "", "min ns", "median", "median ratio"
    );
    for (case, (least, median)) in cases.iter().zip(&figures) {
        let ratio = base.map_or_else(String::new, |base| {
            format!("{:.2} x", median / figures[base].1)
        });
        println!("{:<34}{least:>10.1}{median:>10.1}{ratio:>16}", case.name);
    }
    if base.is_some() {
        println!("ratios are to: {floor}");
    }
}

fn instructions(cases: &[&Case]) {
    for case in cases.iter().filter(|case| !case.threaded) {
        println!("{:<34}{:>10.1} instructions", case.name, each(case.name));
    }
}

/// Instructions of one operation of a case.
///
/// # Panics
/// Where they cannot be counted: a gate must not pass because a tool is missing.
pub fn each(name: &str) -> f64 {
    let [few, many] = INSTRUCTION_COUNTS.map(|count| {
        collected(&[], name, count).unwrap_or_else(|why| panic!("{name} not counted: {why}"))
    });
    (many - few) as f64 / (INSTRUCTION_COUNTS[1] - INSTRUCTION_COUNTS[0]) as f64
}

/// How far a count may be from the one written down: on another machine libc may pick other copies of its
/// functions.
const TOLERANCE: f64 = 0.04;

/// Where the counts are that the gate compares with: a line each, name and instructions.
fn record() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// Instructions of one operation of a case, out of `count` in a child: only what its functions named
/// `counted_` and more run, so that what comes before, which hashes and allocates differently each time, is no
/// part of it.
///
/// # Panics
/// As [`each`].
fn inside(name: &str, count: u64) -> f64 {
    let options = ["--toggle-collect=*::counted_*"];
    let all = collected(&options, name, count);
    all.unwrap_or_else(|why| panic!("{name} not counted: {why}")) as f64 / count as f64
}

/// Counts these cases and compares them with what is written down, or (`write`) writes them down.
///
/// # Panics
/// As [`each`], and where nothing is written down of a case, or of one that is not counted.
pub fn gate(names: &[&str], write: bool) -> ExitCode {
    let mut text = String::new();
    for name in names {
        let count = inside(name, INSTRUCTION_COUNTS[0]);
        writeln!(text, "{name} = {count:.1}").expect("Invariant: a string grows");
    }
    if write {
        std::fs::write(record(), &text).expect("the record can be written");
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    let recorded = std::fs::read_to_string(record()).expect("a record");
    let known: Vec<(&str, f64)> = recorded.lines().map(count_of).collect();
    assert!(
        known.iter().map(|line| line.0).eq(names.iter().copied()),
        "benches/instructions.txt has other cases: record them"
    );
    let mut failed = 0;
    println!("instructions: recorded, counted");
    for ((name, before), (_, now)) in known.iter().zip(text.lines().map(count_of)) {
        let change = now / before - 1.0;
        let verdict = match change {
            more if more > TOLERANCE => "FAILED: more than recorded",
            less if less < -TOLERANCE => "FAILED: less than recorded, which wants recording",
            _ => "ok",
        };
        failed += u32::from(verdict != "ok");
        println!(
            "{name:<32}{before:>10.1}{now:>10.1}{:>+8.2} %  {verdict}",
            change * 100.0
        );
    }
    println!("{} counted, {failed} failed", known.len());
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A line of the record.
fn count_of(line: &str) -> (&str, f64) {
    let (name, count) = line.split_once(" = ").expect("name = instructions");
    (name, count.parse().expect("a number of instructions"))
}

/// Instructions of a whole child process.
fn collected(options: &[&str], name: &str, count: u64) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(options)
        .arg(own)
        .args(["--one", name, &count.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text
        .lines()
        .find_map(|line| line.split("Collected :").nth(1));
    line.and_then(|figure| figure.trim().parse().ok())
        .ok_or_else(|| format!("valgrind said: {}", text.trim()))
}

/// Instructions of each call that a child makes of a function, by its full name, in their order. The
/// child is started with `--one "each NAME" 0`.
///
/// # Panics
/// As [`each`].
pub fn each_call(function: &str, name: &str) -> Vec<u64> {
    let own = std::env::current_exe().expect("an own path");
    let profile = std::env::temp_dir().join(format!("each-call-{}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--combine-dumps=yes"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--dump-after={function}"))
        .arg(own)
        .args(["--one", &format!("each {name}"), "0"])
        .output()
        .expect("valgrind runs");
    let text = std::fs::read_to_string(&profile).unwrap_or_default();
    std::fs::remove_file(&profile).ok();
    let totals = text.lines().filter_map(|line| line.strip_prefix("totals:"));
    let mut counts: Vec<u64> = totals
        .filter_map(|total| total.trim().parse().ok())
        .collect();
    // What is dumped at the end is behind the last call.
    counts.pop();
    assert!(
        output.status.success() && !counts.is_empty(),
        "valgrind said: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    counts
}

/// Times of single operations in ns, less what reading the clock costs.
pub struct Singles {
    clock: quanta::Clock,
    /// What two readings of the clock with nothing between them say: the median of many.
    pub cost: u64,
    times: hdrhistogram::Histogram<u64>,
}

impl Singles {
    /// Measures the clock.
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let mut empty: Vec<u64> = (0..100_000)
            .map(|_| {
                let start = clock.raw();
                black_box(clock.delta_as_nanos(start, clock.raw()))
            })
            .collect();
        empty.sort_unstable();
        Self {
            clock,
            cost: empty[empty.len() / 2],
            times: hdrhistogram::Histogram::new(3).expect("Invariant: 3 digits"),
        }
    }

    /// Runs the operation and keeps its time.
    #[inline(always)]
    pub fn time(&mut self, operation: impl FnOnce()) {
        let start = self.clock.raw();
        operation();
        let end = self.clock.raw();
        let ns = self.clock.delta_as_nanos(start, end);
        self.times
            .record(ns.saturating_sub(self.cost))
            .expect("Invariant: the histogram grows");
    }

    /// The time that so many percent stay within.
    pub fn at(&self, percentile: f64) -> u64 {
        self.times.value_at_percentile(percentile)
    }
}
