//! Policy `group` at the only place where it can be seen for sure: the system calls of the real
//! binary. No byte about an order goes to a socket before the `fdatasync` that began after the
//! order's record was written has returned.
//!
//! Needs `strace`; the test command installs it.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::server::Server;
use support::talk::{BinaryTalk, FixTalk, PATIENCE};
use trading_engine_protocol::binary::message::OrderAccepted;

/// Client order ids that no other bytes look like.
const MARK: u64 = 0x5EA1_ED0C_0000_0000;
const ORDERS: u64 = 300;

#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// Bytes to a file of the journal.
    Record(Vec<u8>),
    /// Bytes to a socket.
    Report(Vec<u8>),
    /// A journal file is made durable.
    Sync,
}

/// When a call began and ended, in lines of the trace.
struct Traced {
    call: Call,
    began: usize,
    ended: usize,
}

fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in text.split('"').skip(1).step_by(2) {
        let digits = part.split("\\x").skip(1);
        out.extend(digits.map(|pair| u8::from_str_radix(&pair[..2], 16).unwrap()));
    }
    out
}

fn call(text: &str, journal: &str) -> Option<Call> {
    let name = text.split('(').next()?;
    let to_journal = text.contains(journal);
    match name {
        "pwrite64" | "pwritev" if to_journal => Some(Call::Record(bytes(text))),
        "fdatasync" | "fsync" if to_journal => Some(Call::Sync),
        "sendto" | "sendmsg" | "write" | "writev" if text.contains("TCP") => {
            Some(Call::Report(bytes(text)))
        }
        _ => None,
    }
}

/// Reads `strace -f` output: calls of several threads, some cut in two by others.
fn parse(trace: &str, journal: &str) -> Vec<Traced> {
    let mut open: HashMap<&str, Traced> = HashMap::new();
    let mut done = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        if text.starts_with("<... ") {
            if let Some(mut traced) = open.remove(thread) {
                traced.ended = at;
                done.push(traced);
            }
        } else if let Some(call) = call(text, journal) {
            let traced = Traced {
                call,
                began: at,
                ended: at,
            };
            if text.ends_with("<unfinished ...>") {
                open.insert(thread, traced);
            } else {
                done.push(traced);
            }
        }
    }
    done
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// Checks one order; `Err` says what came too early.
fn check(calls: &[Traced], in_record: &[u8], in_report: &[u8]) -> Result<(), String> {
    let record = calls
        .iter()
        .filter(|traced| matches!(&traced.call, Call::Record(b) if contains(b, in_record)))
        .map(|traced| traced.ended)
        .min()
        .ok_or("no record of it was written")?;
    let synced = calls
        .iter()
        .filter(|traced| traced.call == Call::Sync && traced.began > record)
        .map(|traced| traced.ended)
        .min()
        .ok_or("it was never synced")?;
    let report = calls
        .iter()
        .filter(|traced| matches!(&traced.call, Call::Report(b) if contains(b, in_report)))
        .map(|traced| traced.began)
        .min()
        .ok_or("it was never reported")?;
    if report < synced {
        return Err(format!(
            "reported at line {report}, synced at line {synced}"
        ));
    }
    Ok(())
}

fn traced_session(data: &Path, topology: &str) -> String {
    let file = data.join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-D", "-f", "-yy", "-xx", "-s", "1000000", "-o"])
        .arg(&file)
        .args([
            "-e",
            "trace=pwrite64,pwritev,fdatasync,fsync,sendto,sendmsg,write,writev",
        ]);
    let server = Server::start_traced(
        command,
        &data.join("venue"),
        &[("TOPOLOGY", topology), ("JOURNAL_POLICY", "group")],
    );
    let credentials = server.credentials();
    let mut binary = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 60_000);
    let mut fix = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    for id in 1..=ORDERS {
        // One at a time, then in bursts.
        binary.send(&binary.order(MARK + id, 1, 1, 50));
        fix.order(&format!("SYNC-{id:06}-SYNC"), "1", "1", "50");
        if id <= ORDERS / 3 || id % 20 == 0 {
            while binary.expect_a::<OrderAccepted>().cl_ord_id != MARK + id {}
            while fix.expect().get(11) != Some(&format!("SYNC-{id:06}-SYNC")) {}
        }
    }
    assert_eq!(server.terminate(), Some(0));
    let until = Instant::now() + PATIENCE;
    loop {
        let trace = std::fs::read_to_string(&file).unwrap();
        if trace.contains("+++ exited with 0 +++\n") && trace.ends_with("+++\n") {
            return trace;
        }
        assert!(Instant::now() < until, "the trace has no end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn no_report_precedes_its_sync(topology: &str) {
    let data = tempfile::tempdir().unwrap();
    let trace = traced_session(data.path(), topology);
    let journal = data.path().join("venue").join("journal");
    // strace writes paths in hexadecimal, too.
    let hex: String = journal
        .to_str()
        .unwrap()
        .bytes()
        .map(|byte| format!("\\x{byte:02x}"))
        .collect();
    let calls = parse(&trace, &hex);
    let syncs = calls
        .iter()
        .filter(|traced| traced.call == Call::Sync)
        .count();
    println!("{topology}: {} calls, {syncs} syncs", calls.len());
    assert!(syncs > 10);
    for id in 1..=ORDERS {
        let number = (MARK + id).to_le_bytes();
        check(&calls, &number, &number).unwrap_or_else(|why| panic!("order {id}: {why}"));
        let text = format!("SYNC-{id:06}-SYNC");
        check(&calls, text.as_bytes(), text.as_bytes())
            .unwrap_or_else(|why| panic!("order {text}: {why}"));
    }
    // The check can fail: with the syncs taken away, or moved to the end, it does.
    let number = (MARK + 1).to_le_bytes();
    let unsynced: Vec<Traced> = calls
        .into_iter()
        .filter(|traced| traced.call != Call::Sync)
        .collect();
    assert!(check(&unsynced, &number, &number).is_err());
}

#[test]
fn no_report_is_sent_before_its_record_is_synced_in_compact() {
    no_report_precedes_its_sync("compact");
}

#[test]
fn no_report_is_sent_before_its_record_is_synced_in_dedicated() {
    no_report_precedes_its_sync("dedicated");
}

#[test]
fn a_report_before_its_sync_would_be_seen() {
    let trace = "\
        7 pwrite64(5</j/a>, \"\\x01\\x02\", 2, 0) = 2\n\
        8 fdatasync(5</j/a> <unfinished ...>\n\
        7 sendto(9<TCP:[1]>, \"\\x01\\x02\", 2) = 2\n\
        8 <... fdatasync resumed>) = 0\n";
    let calls = parse(trace, "/j/");
    assert!(check(&calls, &[1, 2], &[1, 2]).is_err());
    let early = "\
        8 fdatasync(5</j/a> <unfinished ...>\n\
        7 pwrite64(5</j/a>, \"\\x01\\x02\", 2, 0) = 2\n\
        8 <... fdatasync resumed>) = 0\n\
        7 sendto(9<TCP:[1]>, \"\\x01\\x02\", 2) = 2\n";
    let calls = parse(early, "/j/");
    assert!(
        check(&calls, &[1, 2], &[1, 2]).is_err(),
        "a sync that began too early is none"
    );
}
