//! Snapshots beside a journal on the simulated disk: made of finished segments, two of them, never
//! needed, and never the wrong state, whatever becomes of them.

mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use std::time::Instant;

use support::busy::{Busy, LIMITS};
use support::settings::number;
use support::venue::{self, Driver, SESSION};
use support::workload::{Kind, Random, Shape, Stream};
use trading_engine::agent::Idle;
use trading_engine::config::Preset;
use trading_engine::engine::command::{DefineFirm, Genesis, SessionLogon, name};
use trading_engine::engine::event::EventHeader;
use trading_engine::engine::{Engine, Progress};
use trading_engine::gateway::GatewaySettings;
use trading_engine::journal::Policy;
use trading_engine::journal::disk::Disk;
use trading_engine::journal::disk::OsDisk;
use trading_engine::journal::event_log::{self, EventLog};
use trading_engine::journal::inspect;
use trading_engine::journal::recovery;
use trading_engine::journal::sim_disk::SimDisk;
use trading_engine::journal::snapshots;
use trading_engine::journal::writer::{self, SEGMENT_BYTES_MIN};
use trading_engine::limits::EngineLimits;
use trading_engine::topology::{self, Recovered, VenueSettings};
use trading_engine_protocol::types::{FirmId, SessionId, SessionProtocol};
use zerocopy::IntoBytes;

const LOG_ID: u64 = 7;

/// A venue without its threads: a journal that random commands are appended to.
struct World {
    disk: SimDisk,
    events: SimDisk,
    busy: Busy,
}

fn settings(snapshots: bool) -> VenueSettings {
    VenueSettings {
        preset: Preset::Single,
        idle: Idle::Park,
        cores: Vec::new(),
        gateway_threads: 1,
        policy: Policy::Group,
        segment_bytes: SEGMENT_BYTES_MIN,
        limits: LIMITS,
        gateway: GatewaySettings::default(),
        event_file_bytes: 1 << 12,
        snapshots,
    }
}

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn start(disk: &SimDisk, events: &SimDisk, snapshots: bool) -> Recovered {
    let settings = settings(snapshots);
    topology::recover(shared(disk), shared(events), &settings, LOG_ID).unwrap()
}

fn advance(disk: &SimDisk) -> Option<u64> {
    let stop = AtomicBool::new(false);
    snapshots::advance(disk, LOG_ID, LIMITS, &stop).unwrap()
}

fn list(disk: &SimDisk) -> Vec<u64> {
    snapshots::list(disk).unwrap()
}

fn file(sequence: u64) -> String {
    format!("snapshot-{sequence:020}.bin")
}

fn put(disk: &SimDisk, sequence: u64, content: &[u8]) {
    disk.put(&file(sequence), content.to_vec());
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::default(),
            events: SimDisk::default(),
            busy: Busy::new(seed),
        }
    }

    /// Appends so many segments of commands, all of them durable.
    fn grow(&mut self, segments: usize) {
        let mut engine = Engine::new(LIMITS);
        let mut events = Vec::new();
        let (position, _) =
            recovery::open_or_create(&shared(&self.disk), LOG_ID, SEGMENT_BYTES_MIN, |command| {
                apply(&mut engine, command, &mut events);
            })
            .unwrap();
        let (mut appender, mut syncer, _) = writer::start(
            shared(&self.disk),
            position,
            SEGMENT_BYTES_MIN,
            Policy::Group,
        );
        let wanted = self.finished() + segments;
        let mut more = 8;
        while self.finished() < wanted || more > 0 {
            // And a few into the next one, so that the event log gets beyond what is finished.
            more -= u32::from(self.finished() >= wanted);
            for _ in 0..20 {
                let command = self.busy.next(&engine);
                apply(&mut engine, command.as_bytes(), &mut events);
                self.busy.saw(&events);
                appender.append(engine.sequence().0, command.as_bytes());
            }
            appender.flush();
            while syncer.work() {}
        }
    }

    fn finished(&self) -> usize {
        recovery::finished_segments(&self.disk).unwrap()
    }

    /// What the journal alone gives.
    fn truth(&self) -> (u64, u64) {
        let fork = self.disk.fork();
        for sequence in list(&fork) {
            fork.remove(&file(sequence)).unwrap();
        }
        let replay = inspect::replay(&shared(&fork), LIMITS).unwrap();
        (replay.commands, replay.state_hash)
    }

    /// Starts a copy of it after `change`: the state is the journal's. Returns how many commands came
    /// from a snapshot.
    fn starts_right(&self, change: impl Fn(&SimDisk)) -> u64 {
        let (disk, events) = (self.disk.fork(), self.events.fork());
        change(&disk);
        let started = start(&disk, &events, true);
        assert_eq!((started.commands, started.state_hash()), self.truth());
        started.from_snapshot
    }
}

fn apply(engine: &mut Engine, command: &[u8], events: &mut Vec<u8>) {
    events.clear();
    let mut progress = engine.apply_bytes(command, events).unwrap();
    while progress == Progress::More {
        progress = engine.resume(events);
    }
}

/// With an event log that has all there is.
fn grown(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..2 {
        world.grow(1);
        assert!(advance(&world.disk).is_some());
        start(&world.disk, &world.events, true);
    }
    world.grow(1);
    start(&world.disk, &world.events, false);
    world
}

#[test]
fn finished_segments_give_snapshots_of_which_two_are_kept() {
    let mut world = World::new(1);
    assert_eq!(advance(&world.disk), None, "there is no journal");
    let mut taken = Vec::new();
    for segments in [1, 1, 2, 1] {
        world.grow(segments);
        let sequence = advance(&world.disk).unwrap();
        assert_eq!(advance(&world.disk), None, "nothing more is finished");
        let (last, _) = world.truth();
        assert!(sequence < last, "the segment that is open is not in it");
        taken.insert(0, sequence);
        let kept = taken.len().min(2);
        assert_eq!(list(&world.disk), taken[..kept]);
        let replay = inspect::replay(&shared(&world.disk), LIMITS).unwrap();
        assert_eq!(replay.snapshots, kept, "replay gives the same");
        // Event files are sealed as replay goes by them.
        start(&world.disk, &world.events, true);
        assert_eq!(world.starts_right(|_| ()), sequence);
    }
}

#[test]
fn one_that_is_told_to_stop_makes_nothing() {
    let mut world = World::new(2);
    world.grow(1);
    let stop = AtomicBool::new(true);
    let made = snapshots::advance(&world.disk, LOG_ID, LIMITS, &stop).unwrap();
    assert_eq!((made, list(&world.disk)), (None, Vec::new()));
}

/// At each change that taking one makes, the power goes, several futures each.
#[test]
fn a_power_cut_while_one_is_taken_leaves_a_start_with_the_same_state() {
    let mut world = grown(3);
    world.grow(1);
    let truth = world.truth();
    let whole = world.disk.fork();
    let before = whole.operations();
    assert!(advance(&whole).is_some());
    let changes = whole.operations() - before;
    assert!(
        changes >= 7,
        "create, two writes, sync, rename, folder, removal"
    );
    let mut used = 0;
    for at in 0..=changes {
        for future in 0..6 {
            let mut random = Random::new(at << 8 | future);
            let disk = world.disk.fork();
            disk.cut_power_at(Some(disk.operations() + at));
            let _ = snapshots::advance(&disk, LOG_ID, LIMITS, &AtomicBool::new(false));
            let disk = disk.restart(|n| random.below(n));
            let started = start(&disk, &world.events.fork(), true);
            assert_eq!(
                (started.commands, started.state_hash()),
                truth,
                "{at} {future}"
            );
            used += u64::from(started.from_snapshot > 0);
            let names = disk.list().unwrap();
            assert!(
                !names.iter().any(|name| name.ends_with(".tmp")),
                "{names:?}"
            );
            // What had no time to go goes when the next one is taken.
            advance(&disk);
            assert!((2..=3).contains(&list(&disk).len()));
        }
    }
    assert_eq!(used, (changes + 1) * 6, "an older one is always there");
}

/// Of one event, which can become none or two.
type Change = fn(&mut Vec<Vec<u8>>);

/// An event log as another build would have written it: `change` may leave an event out, change it or write one more.
fn told_otherwise(
    world: &World,
    mut change: impl FnMut(&EventHeader, &mut Vec<Vec<u8>>),
) -> SimDisk {
    let events = SimDisk::default();
    let last = recovery::inspect(&world.disk, |_| ()).unwrap().sequence;
    let mut log = EventLog::open(shared(&events), LOG_ID, last, 1 << 12).unwrap();
    let mut engine = Engine::new(LIMITS);
    let mut bytes = Vec::new();
    recovery::inspect(&world.disk, |command| {
        apply(&mut engine, command, &mut bytes);
        for (header, _, event) in event_log::events(&bytes) {
            let mut all = vec![event.to_vec()];
            change(header, &mut all);
            for event in all {
                log.append(header, &event).unwrap();
            }
        }
        log.complete(engine.sequence().0).unwrap();
    })
    .unwrap();
    log.flush().unwrap();
    events
}

fn refusal(world: &World, events: &SimDisk) -> Option<String> {
    let (disk, events) = (world.disk.fork(), events.fork());
    let started = topology::recover(shared(&disk), shared(&events), &settings(false), LOG_ID);
    started.err().map(|error| error.to_string())
}

/// What clients were told and what the state came to were different things, and nobody said so.
#[test]
fn a_start_that_would_answer_otherwise_than_clients_were_told_is_refused() {
    let mut world = World::new(31);
    world.grow(1);
    let same = told_otherwise(&world, |_, _| ());
    assert_eq!(refusal(&world, &same), None);
    let mut third = 0;
    let mut told = Vec::new();
    recovery::inspect(&world.disk, |_| third += 1).unwrap();
    third /= 3;
    told_otherwise(&world, |header, _| {
        told.push((header.sequence.0, header.index))
    });
    // The first event from there on.
    let &at = told
        .iter()
        .find(|(sequence, _)| *sequence >= third)
        .unwrap();
    let is_it = |header: &EventHeader| (header.sequence.0, header.index) == at;
    let named = format!("Sequence {} is answered otherwise", at.0);
    let changes: [(&str, Change); 3] = [
        ("with other content", |all| *all[0].last_mut().unwrap() ^= 1),
        ("the journal gives", |all| all.clear()),
        ("the event log has", |all| all.push(all[0].clone())),
    ];
    for (said, change) in changes {
        let otherwise = told_otherwise(&world, |header, all| {
            if is_it(header) {
                change(all);
            }
        });
        let why = refusal(&world, &otherwise).expect(said);
        assert!(why.contains(said), "{why}");
        println!("{why}");
        assert!(why.contains(&named), "{why}");
    }
}

#[test]
fn one_that_is_damaged_is_passed_over_for_the_older_one() {
    let world = grown(4);
    let [newest, older] = list(&world.disk)[..] else {
        panic!("two are kept");
    };
    assert_eq!(world.starts_right(|_| ()), newest);
    let sound = world.disk.content(&file(newest)).unwrap();
    let read = |content: &[u8]| {
        let disk = SimDisk::default();
        put(&disk, newest, content);
        let restored = snapshots::restore(&disk, LOG_ID, u64::MAX, |_| Engine::new(LIMITS));
        restored.unwrap().engine.sequence().0
    };
    assert_eq!(read(&sound), newest);
    // All of the header, and bytes all over the rest.
    let step = (sound.len() / 400).max(1);
    for at in (0..48).chain((48..sound.len()).step_by(step)) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (at % 8);
        assert_eq!(read(&damaged), 0, "byte {at}");
    }
    for length in (0..sound.len()).step_by(step) {
        assert_eq!(read(&sound[..length]), 0, "{length} bytes");
    }
    let longer = [sound.as_slice(), &[0]].concat();
    assert_eq!(read(&longer), 0);
    let half = sound.len() / 2;
    assert_eq!(
        world.starts_right(|disk| put(disk, newest, &sound[..half])),
        older
    );
    assert_eq!(
        world.starts_right(|disk| disk.flip(&file(newest), 77)),
        older
    );
    let neither = world.starts_right(|disk| {
        disk.flip(&file(newest), 77);
        disk.flip(&file(older), 8 * 300);
    });
    assert_eq!(neither, 0, "the journal has everything");
}

/// A damaged one does not stay among the two, however new it says it is.
#[test]
fn one_that_was_passed_over_makes_room() {
    let mut world = grown(5);
    let newest = list(&world.disk)[0];
    world.disk.flip(&file(newest), 9);
    world.disk.put(&file(newest + 1), vec![1, 2, 3]);
    world.grow(1);
    let next = advance(&world.disk).unwrap();
    let kept = list(&world.disk);
    assert_eq!(kept[0], next);
    assert_eq!(kept.len(), 2);
    let replay = inspect::replay(&shared(&world.disk), LIMITS).unwrap();
    assert_eq!(replay.snapshots, 2);
}

#[test]
fn one_of_another_log_or_layout_or_name_is_passed_over() {
    let world = grown(6);
    let [newest, older] = list(&world.disk)[..] else {
        panic!("two are kept");
    };
    let sound = world.disk.content(&file(newest)).unwrap();
    // Checksums are right: only what is said is wrong.
    let sealed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        let state = crc32c::crc32c(&bytes[48..]).to_le_bytes();
        bytes[32..36].copy_from_slice(&state);
        let header = crc32c::crc32c(&bytes[..36]).to_le_bytes();
        bytes[36..40].copy_from_slice(&header);
        bytes
    };
    let same = sealed(&|_| ());
    assert!(same == sound, "the layout of the header is known here");
    let other_log = sealed(&|bytes| bytes[8] += 1);
    let other_version = sealed(&|bytes| bytes[48] += 1);
    // Behind the header, the version and the capacities.
    let other_state = sealed(&|bytes| bytes[48 + 8 + 56 + 24] += 1);
    for content in [other_log, other_version, other_state] {
        assert_eq!(
            world.starts_right(|disk| put(disk, newest, &content)),
            older
        );
    }
    // An older one under a newer one's name.
    let renamed = world.disk.content(&file(older)).unwrap();
    assert_eq!(
        world.starts_right(|disk| put(disk, newest, &renamed)),
        older
    );
}

#[test]
fn one_ahead_of_the_event_log_waits_for_it() {
    let world = grown(7);
    let (disk, empty) = (world.disk.fork(), SimDisk::default());
    let started = start(&disk, &empty, true);
    assert_eq!(started.from_snapshot, 0, "all events have to be made again");
    assert_eq!((started.commands, started.state_hash()), world.truth());
    drop(started);
    assert_eq!(list(&disk), list(&world.disk), "it is good");
    let newest = list(&disk)[0];
    assert_eq!(
        start(&disk, &empty, true).from_snapshot,
        newest,
        "now they are there"
    );
}

/// A power loss takes commands that a snapshot has; others get their numbers. The snapshot must not
/// be taken for theirs, whether snapshots are used at that start or not.
#[test]
fn one_of_commands_that_were_lost_does_not_come_back() {
    for used_meanwhile in [true, false] {
        let mut world = grown(8);
        let before = (world.disk.fork(), list(&world.disk));
        world.grow(2);
        let lost = advance(&world.disk).unwrap();
        let snapshot = world.disk.content(&file(lost)).unwrap();
        // The journal is what it was; the snapshot stayed.
        world.disk = before.0;
        put(&world.disk, lost, &snapshot);
        start(&world.disk, &world.events, used_meanwhile);
        assert_eq!(list(&world.disk), before.1);
        // The same length of other commands.
        world.busy = Busy::further(99, 5_000);
        world.grow(3);
        start(&world.disk, &world.events, false);
        let from = world.starts_right(|_| ());
        assert!(from <= before.1[0] && from > 0, "{from}");
    }
}

/// `cargo test --release --test snapshots -- --ignored --nocapture`, `COMMANDS` sets how many.
#[test]
#[ignore = "a measurement"]
fn how_long_a_start_takes() {
    let commands = number("COMMANDS").unwrap_or(1_000_000);
    let limits = EngineLimits {
        client_order_ids: 1 << 21,
        ..EngineLimits::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let disk =
        |name: &str| -> Arc<dyn Disk> { Arc::new(OsDisk::new(&folder.path().join(name)).unwrap()) };
    let mut settings = VenueSettings {
        limits,
        segment_bytes: 64 << 20,
        event_file_bytes: 16 << 20,
        ..settings(false)
    };
    let position = recovery::create(&disk("journal"), 1, settings.segment_bytes).unwrap();
    let (mut appender, mut syncer, _) = writer::start(
        disk("journal"),
        position,
        settings.segment_bytes,
        Policy::Os,
    );
    // The first commands of this world are in the engine only; here they are journaled as well.
    let mut driver = Driver::new(limits);
    let mut out = Vec::new();
    let mut append = |driver: &mut Driver, bytes: Vec<u8>| {
        let sequence = driver.engine.sequence().0 + 1;
        let mut words = vec![0u64; bytes.len() / 8];
        words.as_mut_bytes().copy_from_slice(&bytes);
        out.clear();
        driver.apply_words(&words, &mut out);
        appender.append(sequence, &bytes);
        if sequence.is_multiple_of(1_000) {
            appender.flush();
            while syncer.work() {}
        }
    };
    let genesis = Genesis {
        hash_key: 42,
        log_id: 1,
        ..Genesis::default()
    };
    let command = driver.command(SessionId(0), genesis).to_bytes();
    append(&mut driver, command);
    for id in 1..=100 {
        let command = driver
            .command(SessionId(0), venue::instrument(id))
            .to_bytes();
        append(&mut driver, command);
    }
    let firm = DefineFirm {
        firm: FirmId(1),
        name: name("FIRM1").unwrap(),
        ..DefineFirm::default()
    };
    let command = driver.command(SessionId(0), firm).to_bytes();
    append(&mut driver, command);
    let session = venue::session(1, SessionProtocol::Binary);
    let command = driver.command(SessionId(0), session).to_bytes();
    append(&mut driver, command);
    let command = driver.command(SESSION, SessionLogon::default()).to_bytes();
    append(&mut driver, command);
    driver.generation[1] = 1;
    let mut stream = Stream::new(Shape::Mixed, 42, 100, 10_000);
    while driver.engine.sequence().0 < commands {
        let step = stream.next_step();
        let command = match step.kind {
            Kind::New => {
                let tif = if step.tif == 1 { 3 } else { 0 };
                let (instrument, side) = (step.instrument + 1, step.side + 1);
                let order = venue::enter(step.id, instrument, side, tif, step.price, step.quantity);
                driver.command(SESSION, order).to_bytes()
            }
            Kind::Cancel => driver
                .command(SESSION, venue::cancel(1, step.id))
                .to_bytes(),
            Kind::Replace => unreachable!("the mixed stream replaces nothing"),
        };
        append(&mut driver, command);
    }
    appender.flush();
    while syncer.work() {}
    // The first start makes the event log.
    let begun = Instant::now();
    drop(topology::recover(disk("journal"), disk("events"), &settings, 1).unwrap());
    println!(
        "{commands} commands, event log made anew: {:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    let stop = AtomicBool::new(false);
    let taken = snapshots::advance(disk("journal").as_ref(), 1, limits, &stop).unwrap();
    println!("snapshot of {taken:?} taken in {:?}", begun.elapsed());
    for used in [false, true, false, true] {
        settings.snapshots = used;
        let started = topology::recover(disk("journal"), disk("events"), &settings, 1).unwrap();
        assert_eq!(started.state_hash(), driver.engine.state_hash());
        println!(
            "{:?}, {} from a snapshot",
            started.took, started.from_snapshot
        );
    }
}
