//! A tail of the event log on a thread of its own: every event once and in order while they are written,
//! never ahead of what the log says is written, resumable at any event, and not in another course of events.

use std::sync::Arc;

use trading_engine::engine::event::{CancelAfterSet, Event, EventHeader};
use trading_engine::journal::disk::{Disk, OsDisk};
use trading_engine::journal::event_log::EventLog;
use trading_engine::journal::event_tail::{Place, TailSource};
use trading_engine_protocol::types::{Sequence, SessionId, SessionSequence, UtcNanos};
use zerocopy::IntoBytes as _;

const LOG_ID: u64 = 9;
const COMMANDS: u64 = 60_000;

fn disk(folder: &tempfile::TempDir) -> Arc<dyn Disk> {
    Arc::new(OsDisk::new(folder.path()).unwrap())
}

/// Events of a command: none, one or more, some without a number.
fn write(log: &mut EventLog, sequence: u64, salt: u64) -> u32 {
    let count = (sequence % 4) as u32;
    for index in 0..count {
        let numbered = u64::from(index % 2) * sequence;
        let header = EventHeader {
            sequence: Sequence(sequence),
            index,
            session: SessionId(u32::from(numbered != 0)),
            session_seq: SessionSequence(numbered),
            ..EventHeader::default()
        };
        let body = CancelAfterSet {
            cancel_at: UtcNanos(sequence ^ salt),
        };
        let event = Event::new(header, body);
        let bytes = [event.header.as_bytes(), event.body.as_bytes()].concat();
        log.append(&event.header, &bytes).unwrap();
    }
    log.complete(sequence).unwrap();
    count
}

#[test]
fn a_tail_sees_each_event_once_while_they_are_written_and_none_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = EventLog::open(disk(&folder), LOG_ID, 0, 100_000).unwrap();
    let source = TailSource::new(disk(&folder), LOG_ID, log.head());
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut tail = source.from_start();
            let mut seen: Vec<Place> = Vec::new();
            loop {
                let complete = source.sequence();
                match tail.read_next().unwrap() {
                    Some((place, ..)) => seen.push(place),
                    None if complete == COMMANDS => return seen,
                    None => {
                        // What was said to be complete was read.
                        let last = seen.last().map_or(0, |place| place.sequence);
                        assert!(last + 1 >= complete, "{last} of {complete}");
                        std::thread::yield_now();
                    }
                }
            }
        });
        for sequence in 1..=COMMANDS {
            write(&mut log, sequence, 0);
            if sequence % 37 == 0 {
                log.flush().unwrap();
            }
        }
        log.flush().unwrap();
        reader.join().unwrap()
    });
    let expected: Vec<(u64, u32)> = (1..=COMMANDS)
        .flat_map(|sequence| (0..(sequence % 4) as u32).map(move |index| (sequence, index)))
        .collect();
    let places: Vec<(u64, u32)> = seen
        .iter()
        .map(|place| (place.sequence, place.index))
        .collect();
    assert_eq!(places, expected);

    // From any event on, the next one is the next one.
    for at in (0..seen.len() - 1).step_by(seen.len() / 50) {
        let mut tail = source.behind(seen[at]).unwrap().expect("it is there");
        assert_eq!(tail.read_next().unwrap().unwrap().0, seen[at + 1]);
        let other = Place {
            crc: seen[at].crc ^ 1,
            ..seen[at]
        };
        assert!(source.behind(other).unwrap().is_none(), "another event");
    }
    let mut tail = source.behind(*seen.last().unwrap()).unwrap().unwrap();
    assert!(tail.read_next().unwrap().is_none(), "nothing yet");
    for sequence in [1, 2, 4, 777, COMMANDS / 2, COMMANDS - 1] {
        let mut tail = source.from_sequence(sequence).unwrap();
        let (first, ..) = tail.read_next().unwrap().unwrap();
        let expected = seen
            .iter()
            .find(|place| place.sequence >= sequence)
            .unwrap();
        assert_eq!(first, *expected);
    }
    let beyond = Place {
        sequence: COMMANDS + 1,
        ..Place::default()
    };
    assert!(source.behind(beyond).unwrap().is_none());
}

/// A restart cuts the file that was being written; replay makes it again, and the place still holds. Of a
/// replay that gives something else, it does not.
#[test]
fn a_place_outlives_a_restart_but_not_another_course_of_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = EventLog::open(disk(&folder), LOG_ID, 0, 50_000).unwrap();
    (1..=5_000).for_each(|sequence| {
        write(&mut log, sequence, 0);
    });
    log.flush().unwrap();
    let source = TailSource::new(disk(&folder), LOG_ID, log.head());
    let mut tail = source.from_sequence(4_999).unwrap();
    let place = tail.read_next().unwrap().unwrap().0;
    drop(log);
    for (salt, holds) in [(0, true), (1, false)] {
        // The journal lost its end: what is sealed beyond it goes, too.
        let mut log = EventLog::open(disk(&folder), LOG_ID, 4_000, 50_000).unwrap();
        let kept = log.sequence();
        assert!(kept <= 4_000, "{kept}");
        let source = TailSource::new(disk(&folder), LOG_ID, log.head());
        assert!(source.behind(place).unwrap().is_none(), "not there yet");
        (kept + 1..=6_000).for_each(|sequence| {
            write(&mut log, sequence, salt);
        });
        log.flush().unwrap();
        assert_eq!(source.behind(place).unwrap().is_some(), holds);
    }
}
