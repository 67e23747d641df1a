//! A journal that somebody or something has damaged: it comes back exactly, or the venue refuses
//! to start and names the place. Never anything in between.

#[path = "support/journal.rs"]
mod journal;
#[path = "support/workload.rs"]
mod workload;

use journal::{Journal, refused_at, restart};
use trading_engine::journal::Policy;
use trading_engine::journal::sim_disk::SimDisk;
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
