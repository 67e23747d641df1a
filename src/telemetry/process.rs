//! The operating system's view of the process: `/proc/self`.

use std::fs;
use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};

use super::{Exposition, Source};
use crate::metric_names as names;

/// Reads `/proc` at each look.
#[derive(Debug, Default)]
pub struct Process {
    /// Since 1970; asked for once, because the boot time in it is slewed.
    started_seconds: OnceLock<Option<f64>>,
}

/// Fields of `/proc/.../stat` behind the name, which may have blanks in it; the first is the third.
fn stat(path: &str) -> Option<(String, Vec<u64>)> {
    let text = fs::read_to_string(path).ok()?;
    let (head, rest) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields = rest
        .split_whitespace()
        .map(|word| word.parse().unwrap_or(0));
    Some((name, fields.collect()))
}

/// Positions in [`stat`]'s fields; `man 5 proc` counts from 1 and has two more before.
const MINOR_FAULTS: usize = 10 - 3;
const MAJOR_FAULTS: usize = 12 - 3;
const USER_TICKS: usize = 14 - 3;
const SYSTEM_TICKS: usize = 15 - 3;
const THREADS: usize = 20 - 3;
const START_TICKS: usize = 22 - 3;
const VIRTUAL_BYTES: usize = 23 - 3;

/// `USER_HZ`: what the kernel counts time in where programs can see it, on every platform of ours.
/// Asking for it means reading the auxiliary vector, which tracers and emulators do not get right.
const TICKS_A_SECOND: f64 = 100.0;

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_A_SECOND
}

fn boot_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// The number behind a name in `/proc/.../status`, 0 if there is none.
fn numbered(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

impl Source for Process {
    fn render(&self, out: &mut Exposition) {
        let Some((_, fields)) = stat("/proc/self/stat") else {
            return;
        };
        let of = |at: usize| fields.get(at).copied().unwrap_or(0);
        let cpu = of(USER_TICKS) + of(SYSTEM_TICKS);
        out.value(&names::PROCESS_CPU, seconds(cpu));
        let started = self
            .started_seconds
            .get_or_init(|| Some(boot_seconds()? + seconds(of(START_TICKS))));
        if let Some(started) = *started {
            out.value(&names::PROCESS_START, started);
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        out.value(&names::PROCESS_RESIDENT, numbered(&status, "VmRSS:") << 10);
        out.value(&names::PROCESS_VIRTUAL, of(VIRTUAL_BYTES));
        // The folder being read is one of them.
        let open = fs::read_dir("/proc/self/fd").map_or(0, |folder| folder.count());
        out.value(&names::PROCESS_FDS, open.saturating_sub(1));
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        out.value(&names::PROCESS_FDS_MAX, most);
        out.value(&names::PROCESS_THREADS, of(THREADS));
        out.series(
            &names::PROCESS_FAULTS,
            [(["minor"], of(MINOR_FAULTS)), (["major"], of(MAJOR_FAULTS))],
        );
        threads(out);
    }
}

/// Switches are counted by thread only, and names are not unique: threads of one name are one series.
fn threads(out: &mut Exposition) {
    let (mut voluntary, mut involuntary) = (0, 0);
    let mut times = std::collections::BTreeMap::<String, u64>::new();
    for thread in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = thread.path();
        // A thread may end meanwhile.
        let Some((name, fields)) = stat(&path.join("stat").to_string_lossy()) else {
            continue;
        };
        let of = |at: usize| fields.get(at).copied().unwrap_or(0);
        *times.entry(name).or_default() += of(USER_TICKS) + of(SYSTEM_TICKS);
        if let Ok(status) = fs::read_to_string(path.join("status")) {
            voluntary += numbered(&status, "voluntary_ctxt_switches:");
            involuntary += numbered(&status, "nonvoluntary_ctxt_switches:");
        }
    }
    out.series(
        &names::PROCESS_SWITCHES,
        [(["voluntary"], voluntary), (["involuntary"], involuntary)],
    );
    out.series(
        &names::THREAD_CPU,
        times
            .into_iter()
            .map(|(name, ticks)| ([name], seconds(ticks))),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_stat_are_those_of_this_process() {
        let (name, fields) = stat("/proc/self/stat").unwrap();
        assert!(!name.is_empty());
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = numbered(&status, "VmRSS:") << 10;
        assert!(resident > 0 && fields[VIRTUAL_BYTES] >= resident && fields[THREADS] >= 1);
        assert_eq!(numbered(&status, "absent:"), 0);
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs_f64();
        let started = boot_seconds().unwrap() + seconds(fields[START_TICKS]);
        assert!((now - 86_400.0..=now + 5.0).contains(&started), "{started}");
    }
}
