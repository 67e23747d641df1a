//! What callgrind saw a thread do, instruction by instruction, and what of it was work: a thread that
//! polls runs the same few instructions over and over while it waits.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

/// How often each instruction of a thread ran: by object and address within it.
pub type Counts = HashMap<(u32, u64), Count>;

#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub times: f64,
    /// Its line is one of the matching core's or of the protocols'.
    pub is_core: bool,
}

/// Starts counting, or (`dump`) writes what was counted since, for each thread a file.
pub fn control(pid: u32, action: &str) {
    let mut command = Command::new("callgrind_control");
    match action {
        "start" => command.args(["-i", "on"]),
        dump => command.arg(format!("--dump={dump}")),
    };
    let output = command.arg(pid.to_string()).output();
    let output = output.expect("valgrind is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("OK."),
        "callgrind_control: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The thread's counts in the dump of this name, whose file is the one of the thread that has the
/// engine's agent. Objects are numbered by `objects` for all dumps alike.
pub fn core_thread(folder: &Path, dump: &str, objects: &mut Vec<String>) -> Counts {
    let trigger = format!("desc: Trigger: dump {dump}");
    let files = std::fs::read_dir(folder).expect("callgrind wrote");
    for file in files.flatten() {
        if !file.file_name().to_string_lossy().starts_with("callgrind") {
            continue;
        }
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let is_it = text.lines().take(30).any(|line| line == trigger);
        if is_it && text.contains("EngineAgent as") {
            return counts(&text, objects);
        }
    }
    panic!("no dump {dump} has the engine's agent");
}

/// Reads a file whose positions are address and line, each as written in full or relative to the one
/// before. Costs of callees, in the line behind `calls=`, are counted where they are the callee's own.
fn counts(text: &str, objects: &mut Vec<String>) -> Counts {
    let mut names: HashMap<String, u32> = HashMap::new();
    let mut files: HashMap<String, bool> = HashMap::new();
    let mut counts = Counts::new();
    let (mut object, mut address, mut is_callees) = (0, 0u64, false);
    let (mut of_function, mut is_core) = (false, false);
    for line in text.lines() {
        // `fl` is the function's file, `fi` and `fe` begin and end what is inlined into it, `cfi` is a
        // callee's.
        let file = ["fl=", "fi=", "fe=", "cfi=", "cfl="];
        let file = file.iter().find(|key| line.starts_with(**key));
        if let Some(key) = file {
            let (number, name) = line[key.len()..].split_once(')').unwrap_or_default();
            if !name.is_empty() {
                let of = |part| name.contains(part);
                let is_core = of("src/engine/") || of("protocol/src/");
                files.insert(number.to_owned(), is_core);
            }
            let known = files.get(number).copied().unwrap_or(false);
            match *key {
                "fl=" => (of_function, is_core) = (known, known),
                "fi=" | "fe=" => is_core = known,
                _ => {}
            }
            continue;
        }
        if line.starts_with("fn=") {
            is_core = of_function;
            continue;
        }
        if let Some(named) = line
            .strip_prefix("ob=")
            .or_else(|| line.strip_prefix("cob="))
        {
            let (number, name) = named.split_once(')').unwrap_or((named, ""));
            if !name.is_empty() {
                let name = name.trim();
                let known = objects.iter().position(|known| known == name);
                let known = known.unwrap_or_else(|| {
                    objects.push(name.to_owned());
                    objects.len() - 1
                });
                names.insert(number.to_owned(), known as u32);
            }
            if line.starts_with("ob=") {
                object = names.get(number).copied().unwrap_or(u32::MAX);
            }
        } else if line.starts_with("calls=") {
            is_callees = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            let mut words = line.split(' ');
            let place = words.next().unwrap_or_default();
            let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16);
            address = match place.as_bytes().first() {
                Some(b'+') => address.wrapping_add(hex(&place[1..]).expect("an address")),
                Some(b'-') => address.wrapping_sub(hex(&place[1..]).expect("an address")),
                Some(b'*') => address,
                _ => hex(place).expect("an address"),
            };
            let cost = words.next_back().and_then(|cost| cost.parse().ok());
            if !is_callees {
                let count = counts.entry((object, address)).or_insert(Count {
                    times: 0.0,
                    is_core,
                });
                count.times += cost.unwrap_or(0.0);
            }
            is_callees = false;
        }
    }
    counts
}

/// How often an instruction has to run while nothing happens to be one of a round that finds nothing. There
/// are a hundred such rounds a second at least, and some things that are done once a second in one.
const OFTEN: f64 = 16.0;

/// What of `loaded` was work, given what the thread does while nothing happens.
pub struct Work {
    /// All of it.
    pub all: f64,
    /// Instructions that rounds which find nothing do not run.
    pub of_orders: f64,
    /// Of them, those in lines of the matching core and of the protocols.
    pub of_core: f64,
}

/// The instructions of rounds that find nothing, by any of several looks at them: those that every look
/// just misses or just catches would differ by which.
pub fn of_idle_rounds<'a>(looks: impl Iterator<Item = &'a Counts>) -> HashSet<(u32, u64)> {
    let often = |(at, count): (&(u32, u64), &Count)| (count.times >= OFTEN).then_some(*at);
    looks
        .flat_map(|look| look.iter().filter_map(often))
        .collect()
}

impl Work {
    pub fn of(idle: &HashSet<(u32, u64)>, loaded: &Counts) -> Self {
        let (mut all, mut of_orders, mut of_core) = (0.0, 0.0, 0.0);
        for (at, count) in loaded {
            all += count.times;
            if !idle.contains(at) {
                of_orders += count.times;
                of_core += if count.is_core { count.times } else { 0.0 };
            }
        }
        Self {
            all,
            of_orders,
            of_core,
        }
    }
}
