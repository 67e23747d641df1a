//! What a command costs the journal: a 120-byte command (an EnterOrder) made into a checksummed
//! record, written, and, in policy `group`, synced.
//!
//! The file is a real one in the temporary folder (`TMPDIR` chooses the medium). The floor writes
//! the same bytes into a file in batches of the same size and checks nothing.
//!
//! `cargo bench --bench journal [-- --instructions] [FILTER]`

mod support;

use std::cell::RefCell;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use support::Case;
use trading_engine::journal::Policy;
use trading_engine::journal::disk::{Disk, OsDisk};
use trading_engine::journal::recovery;
use trading_engine::journal::writer::{self, Appender, Syncer};

const COMMAND: usize = 120;
const SEGMENT: u64 = 64 << 20;

struct Journal {
    _folder: tempfile::TempDir,
    appender: Appender,
    syncer: Syncer,
    sequence: u64,
}

fn journal(policy: Policy) -> Journal {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path()).expect("a folder"));
    let (position, _) =
        recovery::open_or_create(&disk, 1, SEGMENT, |_| {}).expect("an empty journal");
    let (appender, syncer, _) = writer::start(disk, position, SEGMENT, policy);
    Journal {
        _folder: folder,
        appender,
        syncer,
        sequence: 0,
    }
}

thread_local! {
    // Opened once: what a segment costs to make is the syncer's, ahead of need.
    static OS: RefCell<Journal> = RefCell::new(journal(Policy::Os));
    static GROUP: RefCell<Journal> = RefCell::new(journal(Policy::Group));
}

fn append(count: u64, batch: u64, policy: Policy) {
    let place = match policy {
        Policy::Os => &OS,
        Policy::Group => &GROUP,
    };
    place.with_borrow_mut(|journal| {
        let command = [7u8; COMMAND];
        for n in 1..=count {
            journal.sequence += 1;
            journal.appender.append(journal.sequence, &command);
            if n % batch == 0 || n == count {
                journal.appender.flush();
                if policy == Policy::Group {
                    journal.syncer.sync();
                }
            }
        }
        // Makes the next segment when one is wanted.
        while journal.syncer.work() {}
    });
}

fn write_only(count: u64) {
    let file = tempfile::tempfile().expect("a temporary file");
    let bytes = [7u8; (COMMAND + 40) * 32];
    for batch in 0..count / 32 {
        let at = batch * bytes.len() as u64;
        file.write_all_at(&bytes, at).expect("room on the disk");
    }
}

fn main() {
    support::main(
        "one command in the journal",
        "write, batches of 32",
        &[
            Case::new("write, batches of 32", write_only, 1 << 14),
            Case::new(
                "append, one batch (os)",
                |n| append(n, u64::MAX, Policy::Os),
                1 << 14,
            ),
            Case::new(
                "append, batches of 32 (os)",
                |n| append(n, 32, Policy::Os),
                1 << 14,
            ),
            Case::new(
                "append, each written (os)",
                |n| append(n, 1, Policy::Os),
                1 << 12,
            ),
            Case::new(
                "append, batches of 32 (group)",
                |n| append(n, 32, Policy::Group),
                1 << 12,
            ),
        ],
    );
}
