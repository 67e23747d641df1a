//! The plug is pulled, the process is killed, the medium fails a sync: whatever happens, a restart
//! finds every command that was durable, and nothing that was not appended in that order.
//!
//! Appender and syncer run on one thread in random order over a simulated disk that keeps or loses
//! each unsynced sector and name by chance. Recovery itself is interrupted too. The same test with
//! a mistake planted below or above the journal must fail.

#[path = "support/journal.rs"]
mod journal;
#[path = "support/workload.rs"]
mod workload;

use journal::{Journal, command, restart};
use trading_engine::journal::sim_disk::{Fault, SimDisk};
use trading_engine::journal::{JournalError, Policy};
use workload::Random;

/// A mistake the test must catch.
#[derive(Clone, Copy, PartialEq)]
enum Planted {
    Nothing,
    /// Below the journal.
    Disk(Fault),
    /// Above it: written is taken for durable.
    PublishBeforeSync,
}

/// What went by in a trial, so that the test knows it tested something.
#[derive(Default)]
struct Tally {
    crashes: u64,
    in_recovery: u64,
    kills: u64,
    segments: u64,
    torn: u64,
    failed_syncs: u64,
    full_disks: u64,
    durable: u64,
}

fn words(random: &mut Random) -> usize {
    match random.below(12) {
        0 => 1024,
        1..=3 => 100 + random.below(400) as usize,
        _ => 1 + random.below(30) as usize,
    }
}

/// One disk through several lives.
fn trial(seed: u64, planted: Planted, tally: &mut Tally) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut disk = SimDisk::default();
    if let Planted::Disk(fault) = planted {
        disk.plant(Some(fault));
    }
    // What the log should be: all that was appended; the first `durable` were acknowledged.
    let mut appended: Vec<Vec<u8>> = Vec::new();
    let mut durable = 0;
    for life in 0..2 + random.below(4) {
        let span = [8, 40, 160][random.below(3) as usize];
        disk.cut_power_at(Some(disk.operations() + 1 + random.below(span)));
        disk.fail_sync_after((random.below(5) == 0).then(|| random.below(12)));
        disk.fill_up_after((random.below(9) == 0).then(|| random.below(400_000)));
        match restart(&disk) {
            Ok(found) => {
                check(&found.commands, &appended, durable)
                    .map_err(|why| format!("life {life}: {why}"))?;
                tally.torn += u64::from(found.summary.is_some_and(|s| s.torn.is_some()));
                if disk.is_dark() {
                    tally.in_recovery += 1;
                } else {
                    appended.truncate(found.commands.len());
                    durable = appended.len();
                    run(
                        &mut random,
                        &disk,
                        Journal::open(&disk, found.position, durable as u64 + 1, Policy::Group),
                        planted,
                        &mut appended,
                        &mut durable,
                        tally,
                    );
                }
            }
            // A process whose power is gone may see anything; one whose disk fails or is full
            // may give up.
            Err(_) if disk.is_dark() => tally.in_recovery += 1,
            Err(JournalError::Io { .. }) => {}
            Err(error) => return Err(format!("life {life}: refused: {error}")),
        }
        tally.crashes += 1;
        if random.below(4) == 0 {
            tally.kills += 1;
            disk = disk.kill();
        } else {
            disk = disk.restart(|n| random.below(n));
        }
    }
    disk.fail_sync_after(None);
    disk.fill_up_after(None);
    let found = restart(&disk).map_err(|error| format!("at the end: {error}"))?;
    tally.durable += durable as u64;
    tally.segments += found.summary.map_or(1, |s| s.segments.len() as u64);
    check(&found.commands, &appended, durable).map_err(|why| format!("at the end: {why}"))
}

fn check(found: &[Vec<u8>], appended: &[Vec<u8>], durable: usize) -> Result<(), String> {
    if found.len() < durable {
        return Err(format!("{durable} were durable, {} are there", found.len()));
    }
    match found.iter().zip(appended).position(|(is, was)| is != was) {
        Some(at) => Err(format!("Sequence {} is not what was appended", at + 1)),
        None if found.len() > appended.len() => Err("more than was appended".into()),
        None => Ok(()),
    }
}

/// Both halves take turns until the power goes.
fn run(
    random: &mut Random,
    disk: &SimDisk,
    mut journal: Journal,
    planted: Planted,
    appended: &mut Vec<Vec<u8>>,
    durable: &mut usize,
    tally: &mut Tally,
) {
    // A command of an earlier life that was lost must not be mistaken for one of this life.
    let salt = random.next();
    for _ in 0..random.below(300) {
        match random.below(8) {
            0..=3 => {
                for _ in 0..=random.below(4) {
                    let bytes = command(journal.next, salt, words(random));
                    appended.push(bytes);
                    let bytes = &appended[appended.len() - 1];
                    journal.appender.append(journal.next, bytes);
                    journal.next += 1;
                }
            }
            4 | 5 => {
                journal.appender.flush();
            }
            6 => {
                journal.syncer.sync();
            }
            _ => {
                journal.syncer.work();
            }
        }
        // What a dead process publishes nobody sees.
        if disk.is_dark() {
            return;
        }
        let published = match planted {
            Planted::PublishBeforeSync => journal.shared.written().get(),
            Planted::Nothing | Planted::Disk(_) => journal.shared.durable().get(),
        };
        assert!(published as usize >= *durable);
        *durable = published as usize;
        if let Some(failure) = journal.shared.failure() {
            tally.failed_syncs += u64::from(failure.contains("medium"));
            tally.full_disks += u64::from(!failure.contains("medium"));
            // What came after the failure is appended nowhere, and nothing is acknowledged.
            disk.fail_sync_after(None);
            disk.fill_up_after(None);
            journal.appender.flush();
            assert!(!journal.syncer.work() && !journal.syncer.finish());
            assert_eq!(journal.shared.durable().get() as usize, *durable);
            return;
        }
    }
}

fn trials(default: u64) -> u64 {
    std::env::var("TRADING_ENGINE_POWER_LOSS_TRIALS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn what_was_durable_is_there_after_every_crash() {
    let first = std::env::var("TRADING_ENGINE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000);
    let mut tally = Tally::default();
    for seed in first..first + trials(2_000) {
        if let Err(why) = trial(seed, Planted::Nothing, &mut tally) {
            panic!("seed {seed} (TRADING_ENGINE_SEED={seed}): {why}");
        }
    }
    println!(
        "seeds from {first}: {} crashes, {} of them in recovery, {} kills, {} torn tails, \
         {} failed syncs, {} full disks, {} segments, {} durable commands",
        tally.crashes,
        tally.in_recovery,
        tally.kills,
        tally.torn,
        tally.failed_syncs,
        tally.full_disks,
        tally.segments,
        tally.durable
    );
    assert!(tally.crashes > 4_000 && tally.in_recovery > 100 && tally.torn > 100);
    assert!(tally.failed_syncs > 50 && tally.full_disks > 20 && tally.segments > 2_100);
}

#[test]
fn planted_mistakes_are_caught() {
    for (name, planted) in [
        ("no sync", Planted::Disk(Fault::SkipSync)),
        ("no folder sync", Planted::Disk(Fault::SkipFolderSync)),
        (
            "sync misses the last sectors",
            Planted::Disk(Fault::SyncTooEarly),
        ),
        ("sync before write", Planted::Disk(Fault::SyncBeforeWrite)),
        ("published before sync", Planted::PublishBeforeSync),
    ] {
        let caught = (0..500).find_map(|seed| {
            trial(seed, planted, &mut Tally::default())
                .err()
                .map(|why| (seed, why))
        });
        let (seed, why) = caught.unwrap_or_else(|| panic!("nobody noticed: {name}"));
        println!("{name}: caught with seed {seed}: {why}");
    }
}

#[test]
fn os_policy_survives_the_process() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut disk = SimDisk::default();
        let mut journal = Journal::new(&disk, Policy::Os);
        let mut appended = Vec::new();
        for _ in 0..random.below(60) {
            for _ in 0..=random.below(5) {
                appended.push(journal.append(words(&mut random)));
            }
            journal.appender.flush();
            if random.below(3) == 0 {
                journal.syncer.work();
            }
        }
        assert_eq!(journal.shared.durable().get() as usize, appended.len());
        disk = disk.kill();
        let found = restart(&disk.fork()).unwrap();
        assert!(found.commands == appended, "seed {seed}: lost by a kill");
        // Of a power loss nothing was promised, but what is left is whole, or refused.
        disk = disk.restart(|n| random.below(n));
        match restart(&disk) {
            Ok(found) => check(&found.commands, &appended, 0).unwrap(),
            Err(JournalError::Damaged { file, .. }) => assert!(file.starts_with("journal-")),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
}

/// A kill right after a segment ended: what the old segment holds is only in the page cache, and
/// recovery must not call it durable before it has synced that file, too.
#[test]
fn recovery_syncs_every_segment_it_read() {
    let disk = SimDisk::default();
    let mut journal = Journal::new(&disk, Policy::Group);
    let mut appended = Vec::new();
    while appended.len() < 12 {
        appended.push(journal.append(1000));
        journal.appender.flush();
    }
    let disk = disk.kill();
    let found = restart(&disk).unwrap();
    assert_eq!(found.commands.len(), 12);
    assert_eq!(found.summary.unwrap().segments.len(), 2);
    let disk = disk.restart(|_| 0);
    assert!(restart(&disk).unwrap().commands == appended);
}

/// After a failed sync the page cache shows as clean what the medium does not have. A restart that
/// keeps those commands must write them again, or the next power loss takes them back.
#[test]
fn recovery_writes_again_what_a_failed_sync_gave_up() {
    let disk = SimDisk::default();
    let mut journal = Journal::new(&disk, Policy::Group);
    journal.commit(&[10, 20]);
    disk.fail_sync_after(Some(0));
    journal.commit(&[30, 40]);
    assert!(journal.shared.failure().unwrap().contains("medium"));
    assert_eq!(journal.shared.durable().get(), 2);
    disk.fail_sync_after(None);
    let disk = disk.kill();
    assert_eq!(restart(&disk).unwrap().commands.len(), 4);
    let disk = disk.restart(|_| 0);
    assert_eq!(restart(&disk).unwrap().commands.len(), 4);
}
