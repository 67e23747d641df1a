//! A journal that somebody or something has damaged: it comes back exactly, or the venue refuses
//! to start and names the place. Never anything in between.

#[path = "support/journal.rs"]
mod journal;
#[path = "support/workload.rs"]
mod workload;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use journal::{Journal, LOG_ID, refused_at, restart};
use trading_engine::journal::disk::{Disk, DiskFile};
use trading_engine::journal::sim_disk::SimDisk;
use trading_engine::journal::writer::SEGMENT_BYTES_MIN;
use trading_engine::journal::{Policy, recovery};
use workload::Random;

/// Bytes of a record's header, as the offsets below show it.
const RECORD_HEADER: usize = 32;

fn names(disk: &SimDisk) -> Vec<String> {
    (0..100)
        .map(|number| format!("journal-{number:08}.log"))
        .filter(|name| disk.content(name).is_some())
        .collect()
}

/// A journal over some segments; `orderly` = its run ended with a sync and the mark of that sync.
fn written(orderly: bool) -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::default();
    let mut journal = Journal::new(&disk, Policy::Group);
    let mut random = Random::new(5);
    let mut commands = Vec::new();
    for _ in 0..60 {
        let words: Vec<usize> = (0..1 + random.below(6))
            .map(|_| 4 + random.below(120) as usize)
            .collect();
        commands.extend(journal.commit(&words));
    }
    // The last record stands alone in its batch; without the orderly end it is not synced yet.
    commands.push(journal.append(7));
    journal.appender.flush();
    if orderly {
        assert!(journal.syncer.finish());
    }
    (disk.kill(), commands)
}

/// Where the last record lies: file, start, end.
fn last_record(disk: &SimDisk, last: &[u8]) -> (String, usize, usize) {
    for name in names(disk).into_iter().rev() {
        let content = disk.content(&name).unwrap();
        if let Some(at) = content
            .windows(last.len())
            .position(|window| window == last)
        {
            return (name, at - RECORD_HEADER, at + last.len());
        }
    }
    panic!("the last command is in no segment");
}

#[test]
fn every_truncation_of_the_last_record_is_a_torn_tail_or_is_refused() {
    for orderly in [false, true] {
        let (disk, commands) = written(orderly);
        assert!(names(&disk).len() > 1, "several segments");
        let (name, start, end) = last_record(&disk, &commands[commands.len() - 1]);
        let whole = disk.content(&name).unwrap();
        for cut in start..end {
            for shorter in [false, true] {
                // Zeros where nothing was written, or a file that ends there.
                let fork = disk.fork();
                let mut content = whole.clone();
                if shorter {
                    content.truncate(cut);
                } else {
                    content[cut..end].fill(0);
                }
                fork.put(&name, content);
                let label = format!("cut at byte {} of the record, {shorter}", cut - start);
                if orderly || shorter {
                    // It was known to be there, or the segment is not as long as it says.
                    let (file, offset) = refused_at(restart(&fork));
                    assert_eq!(file, name, "{label}");
                    assert!(offset <= cut as u64, "{label}: at {offset}");
                } else {
                    let found = restart(&fork).unwrap_or_else(|error| panic!("{label}: {error}"));
                    assert!(
                        found.commands == commands[..commands.len() - 1],
                        "{label}: all but the last"
                    );
                    // And once more: the cut is durable and final.
                    let again = restart(&fork.restart(|_| 0)).unwrap();
                    assert!(again.commands == found.commands, "{label}: twice");
                }
            }
        }
    }
}

#[test]
fn a_thousand_bit_flips_are_harmless_or_refused_with_the_place() {
    let (disk, commands) = written(true);
    let names = names(&disk);
    let mut random = Random::new(11);
    let (mut exact, mut refused) = (0, 0);
    for trial in 0..1_000 {
        let fork = disk.fork();
        let name = &names[random.below(names.len() as u64) as usize];
        let content = fork.content(name).unwrap();
        // Mostly where something is written.
        let used = content.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
        let bytes = if trial % 10 == 0 {
            content.len() as u64
        } else {
            used
        };
        let bit = random.below(bytes * 8);
        fork.flip(name, bit);
        let label = format!("{name} byte {} bit {}", bit / 8, bit % 8);
        match restart(&fork) {
            Ok(found) => {
                assert!(found.commands == commands, "{label}: silently different");
                exact += 1;
            }
            error => {
                let (file, offset) = refused_at(error);
                assert_eq!(&file, name, "{label}");
                assert!(offset <= bit / 8, "{label}: named at {offset}");
                refused += 1;
            }
        }
    }
    println!("{exact} came back exactly, {refused} were refused");
    assert!(exact > 0 && refused > 500);
}

#[test]
fn a_segment_that_is_missing_or_of_another_log_is_refused() {
    let (disk, _) = written(true);
    let names = names(&disk);
    // Another log's segment under this one's name.
    let (other, _) = written(true);
    let fork = disk.fork();
    let mut foreign = other.content(&names[0]).unwrap();
    foreign[8] ^= 1;
    fork.put(&names[0], foreign);
    let (file, _) = refused_at(restart(&fork));
    assert_eq!(file, names[0]);
    // A segment that is empty.
    let fork = disk.fork();
    fork.put(&names[1], Vec::new());
    let (file, offset) = refused_at(restart(&fork));
    assert_eq!((file.as_str(), offset), (names[1].as_str(), 0));
}

#[test]
fn a_disk_that_is_full_or_fails_acknowledges_nothing_more() {
    for full in [false, true] {
        let disk = SimDisk::default();
        let mut journal = Journal::new(&disk, Policy::Group);
        let before = journal.commit(&[10, 20, 30]);
        let durable = journal.shared.durable().get();
        if full {
            // Segments are pre-sized: room is asked for when the next one is made.
            disk.fill_up_after(Some(0));
        } else {
            disk.fail_sync_after(Some(0));
        }
        let mut after = Vec::new();
        while journal.shared.failure().is_none() {
            after.extend(journal.commit(&[1000]));
            assert!(after.len() < 1_000, "the failure is noticed");
        }
        let acknowledged = journal.shared.durable().get();
        if !full {
            assert_eq!(acknowledged, durable, "a failed sync acknowledges nothing");
        }
        disk.fail_sync_after(None);
        disk.fill_up_after(None);
        journal.commit(&[10]);
        assert_eq!(
            journal.shared.durable().get(),
            acknowledged,
            "nothing is acknowledged after a failure, even when the disk is well again"
        );
        let found = restart(&disk.restart(|_| 0)).unwrap();
        let all: Vec<Vec<u8>> = before.into_iter().chain(after).collect();
        assert!(found.commands.len() as u64 >= acknowledged);
        assert!(all.starts_with(&found.commands));
    }
}

/// Counts the files that are open at once.
struct Counting {
    disk: SimDisk,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Counted {
    file: Arc<dyn DiskFile>,
    open: Arc<AtomicUsize>,
}

impl Counting {
    fn counted(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        let open = Arc::clone(&self.open);
        Arc::new(Counted { file, open })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Disk for Counting {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.counted(file))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.counted(file))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
}

impl DiskFile for Counted {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}

#[test]
fn a_journal_of_many_segments_is_read_with_two_files_open() {
    let disk = SimDisk::default();
    let mut journal = Journal::new(&disk, Policy::Group);
    let mut commands = 0;
    while names(&disk).len() < 40 {
        commands += journal.commit(&[1000, 1000]).len();
    }
    assert!(journal.syncer.finish());
    let (open, most) = (Arc::default(), Arc::default());
    let counting: Arc<dyn Disk> = Arc::new(Counting {
        disk: disk.kill(),
        open: Arc::clone(&open),
        most: Arc::clone(&most),
    });
    let mut read = 0;
    let (position, _) =
        recovery::open_or_create(&counting, LOG_ID, SEGMENT_BYTES_MIN, |_| read += 1).unwrap();
    assert_eq!(read, commands);
    assert_eq!(open.load(Ordering::Relaxed), 1, "the one to go on with");
    drop(position);
    assert!(most.load(Ordering::Relaxed) <= 2, "{most:?} at once");
}
