//! The ring as a stream: what one end writes, the other reads, whole and in order, over every
//! position of the buffer's end, on one thread and on several. Random lengths print their seed;
//! `RING_SEED` brings a run back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trading_engine::ring::{Doorbell, Full, Reader, Writer, channel};

/// Small under Miri, which interprets every access.
const RECORDS: u64 = if cfg!(miri) { 300 } else { 300_000 };

struct Random(u64);

impl Random {
    fn new(test: &str) -> Self {
        let given = std::env::var("RING_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            at.map_or(1, |since| since.subsec_nanos().into())
        });
        println!("{test}: RING_SEED={seed}");
        Self(seed)
    }

    /// Below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}

/// Record `number`: the number, filling that follows from it, and a sum over both.
fn record(number: u64, filling: u64) -> Vec<u8> {
    let mut out = number.to_le_bytes().to_vec();
    out.extend((0..filling).map(|at| (number.wrapping_mul(31).wrapping_add(at)) as u8));
    let sum = checksum(&out);
    out.extend(sum.to_le_bytes());
    out
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    })
}

/// The number of a record that is whole.
fn check(bytes: &[u8]) -> u64 {
    assert_eq!(bytes.as_ptr() as usize % 8, 0, "a payload is aligned");
    let (content, sum) = bytes.split_last_chunk::<8>().unwrap();
    assert_eq!(checksum(content), u64::from_le_bytes(*sum), "a torn record");
    u64::from_le_bytes(*content.first_chunk().unwrap())
}

fn drain(reader: &mut Reader) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(bytes) = reader.peek() {
        out.push(bytes.to_vec());
        reader.advance();
    }
    reader.release();
    out
}

#[test]
fn records_come_out_whole_in_order_and_only_when_published() {
    let (mut writer, mut readers) = channel(128, 2);
    writer.write(&[b"ab", b"cd"]).unwrap();
    assert!(readers[0].is_empty());
    writer.publish();
    writer.write(&[b""]).unwrap();
    writer.publish();
    for reader in &mut readers {
        assert_eq!(drain(reader), [b"abcd".to_vec(), b"".to_vec()]);
    }
}

#[test]
fn a_peek_takes_nothing_and_an_advance_without_one_does_nothing() {
    let (mut writer, mut readers) = channel(128, 1);
    let reader = &mut readers[0];
    writer.write(&[b"first"]).unwrap();
    writer.write(&[b"second"]).unwrap();
    writer.publish();
    reader.advance();
    assert_eq!(reader.peek(), Some(&b"first"[..]));
    assert_eq!(reader.peek(), Some(&b"first"[..]));
    assert_eq!(reader.look_ahead(0), Some(&b"first"[..]));
    assert_eq!(reader.look_ahead(1), Some(&b"second"[..]));
    assert_eq!(reader.look_ahead(2), None);
    reader.advance();
    reader.advance();
    assert_eq!(drain(reader), [b"second".to_vec()]);
}

#[test]
fn the_slowest_reader_holds_the_writer_back_until_it_ends() {
    let (mut writer, mut readers) = channel(64, 2);
    let gauge = writer.gauge();
    writer.write(&[&[1; 40]]).unwrap();
    writer.publish();
    drain(&mut readers[0]);
    assert_eq!(writer.write(&[&[2; 40]]), Err(Full));
    assert_eq!((gauge.depth(), gauge.capacity()), (48, 64));
    drain(&mut readers[1]);
    assert_eq!(gauge.depth(), 0);
    writer.write(&[&[2; 40]]).unwrap();
    writer.publish();
    assert_eq!(drain(&mut readers[0]), [vec![2; 40]]);
    assert_eq!(writer.write(&[&[3; 40]]), Err(Full));
    // The thread behind the other one is gone: nothing would ever be released again.
    readers.pop();
    writer.write(&[&[3; 40]]).unwrap();
    writer.publish();
    assert_eq!(drain(&mut readers[0]), [vec![3; 40]]);
    readers.pop();
    for _ in 0..10 {
        writer.write(&[&[4; 40]]).unwrap();
        writer.publish();
    }
    assert_eq!(gauge.depth(), 0, "nobody is behind");
}

#[test]
fn stepping_over_a_record_gives_no_room_before_the_release() {
    let (mut writer, mut readers) = channel(64, 1);
    writer.write(&[&[1; 56]]).unwrap();
    writer.publish();
    assert_eq!(readers[0].peek(), Some(&[1; 56][..]));
    readers[0].advance();
    assert_eq!(writer.write(&[b"x"]), Err(Full));
    readers[0].release();
    writer.write(&[b"x"]).unwrap();
}

#[test]
fn a_refused_record_leaves_nothing_behind() {
    let (mut writer, mut readers) = channel(64, 1);
    writer.write(&[b"before"]).unwrap();
    assert_eq!(writer.write(&[&[0; 64]]), Err(Full));
    assert_eq!(writer.write(&[&[0; 4096]]), Err(Full));
    writer.write(&[b"behind"]).unwrap();
    writer.publish();
    assert_eq!(
        drain(&mut readers[0]),
        [b"before".to_vec(), b"behind".to_vec()]
    );
}

#[test]
fn room_that_was_promised_is_there_at_every_position_of_the_end() {
    // From each of a ring's positions, promises of every shape that could fit.
    for records in 1..=4 {
        for bytes in (0..=112).step_by(if cfg!(miri) { 9 } else { 1 }) {
            for start in 0..32 {
                let (mut writer, mut readers) = channel(256, 1);
                for _ in 0..start {
                    writer.write(&[b""]).unwrap();
                    writer.publish();
                    drain(&mut readers[0]);
                }
                if !writer.has_room_for(records, bytes) {
                    assert!(
                        !writer.could_fit(records, bytes),
                        "an empty ring has no room"
                    );
                    continue;
                }
                let each = vec![5; bytes / records];
                let last = vec![6; bytes - each.len() * (records - 1)];
                for _ in 1..records {
                    writer.write(&[&each]).unwrap();
                }
                writer.write(&[&last]).unwrap();
                writer.publish();
                let out = drain(&mut readers[0]);
                assert_eq!(out.len(), records);
                assert_eq!(out[records - 1], last);
            }
        }
    }
}

#[test]
fn mass_quotes_and_cancels_share_a_ring_on_one_thread() {
    let mut random = Random::new("mass_quotes_and_cancels_share_a_ring_on_one_thread");
    let (mut writer, mut readers) = channel(16 << 10, 1);
    let reader = &mut readers[0];
    let (mut written, mut seen) = (0, 0);
    while seen < RECORDS {
        // A burst, some of it published late.
        for _ in 0..random.below(40) {
            let filling = if random.below(20) == 0 {
                4096
            } else {
                random.below(150)
            };
            let bytes = record(written, filling);
            let (first, second) = bytes.split_at(random.below(bytes.len() as u64) as usize);
            if writer.write(&[first, second]).is_err() {
                assert!(!writer.has_room(bytes.len()), "has_room promised");
                break;
            }
            written += 1;
            if random.below(3) == 0 {
                writer.publish();
            }
        }
        if random.below(2) == 0 {
            writer.publish();
        }
        for _ in 0..random.below(40) {
            let ahead = reader.look_ahead(1).map(check);
            let Some(bytes) = reader.peek() else { break };
            assert_eq!(check(bytes), seen);
            assert!(ahead.is_none_or(|number| number == seen + 1));
            seen += 1;
            reader.advance();
            if random.below(5) == 0 {
                reader.release();
            }
        }
        reader.release();
    }
    assert!(writer.published() > 0);
}

/// A thread that reads `count` records, parking when there are none.
fn follow(mut reader: Reader, doorbell: Arc<Doorbell>, count: u64, seen: Arc<AtomicU64>) {
    let mut next = 0;
    while next < count {
        while let Some(bytes) = reader.peek() {
            assert_eq!(check(bytes), next, "out of order, lost or doubled");
            next += 1;
            reader.advance();
            if next % 7 == 0 {
                reader.release();
            }
        }
        reader.release();
        seen.store(next, Ordering::Release);
        if next < count {
            doorbell.arm();
            if reader.is_empty() {
                // No timeout: a lost wake-up hangs the test.
                std::thread::park();
            }
            doorbell.disarm();
        }
    }
}

fn write_all(writer: &mut Writer, random: &mut Random, count: u64) {
    for number in 0..count {
        let filling = if random.below(50) == 0 {
            1500
        } else {
            random.below(120)
        };
        let bytes = record(number, filling);
        while writer.write(&[&bytes]).is_err() {
            writer.publish();
            std::thread::yield_now();
        }
        if random.below(4) > 0 {
            writer.publish();
        }
    }
    writer.publish();
}

#[test]
fn three_parking_readers_on_three_threads_see_one_stream() {
    let mut random = Random::new("three_parking_readers_on_three_threads_see_one_stream");
    let (mut writer, readers) = channel(8 << 10, 3);
    let followers: Vec<_> = readers
        .into_iter()
        .map(|reader| {
            // The bell is told its thread before anything is written.
            let (give, take) = std::sync::mpsc::channel::<Arc<Doorbell>>();
            let seen = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&seen);
            let thread = std::thread::spawn(move || {
                follow(reader, take.recv().unwrap(), RECORDS, count);
            });
            let owner = thread.thread().clone();
            let doorbell = Arc::new(Doorbell::new(move || owner.unpark()));
            writer.wakes(Arc::clone(&doorbell));
            give.send(doorbell).unwrap();
            (thread, seen)
        })
        .collect();
    write_all(&mut writer, &mut random, RECORDS);
    for (thread, seen) in followers {
        thread.join().unwrap();
        assert_eq!(seen.load(Ordering::Acquire), RECORDS);
    }
}
