//! What one hop through a ring costs: a 120-byte command (an EnterOrder), written, published,
//! looked at, released.
//!
//! * `one thread`: both ends on one core, as in topology `compact`; no cache line moves.
//! * `two threads`: a stream, and a ping-pong (one record there and back), the writer spinning.
//! * `rtrb bytes` carries the same length-prefixed bytes through an `rtrb` ring of bytes, which is
//!   what it offers for records of any length; `rtrb slots` moves fixed 120-byte slots.
//!
//! The ping-pong needs two cores to itself: on a shared machine read the minimum.

mod support;

use std::hint::{black_box, spin_loop};

use rtrb::RingBuffer;
use support::Case;
use trading_engine::ring::{self, Doorbell, Reader, Writer};

const COMMAND: usize = 120;
const RING: usize = 1 << 16;
const BATCH: u64 = 32;

type Slot = [u64; COMMAND / 8];

fn slot(number: u64) -> Slot {
    let mut slot = [7; COMMAND / 8];
    slot[0] = number;
    slot
}

fn bytes(slot: &Slot) -> &[u8] {
    zerocopy::IntoBytes::as_bytes(slot)
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |word| u64::from_le_bytes(*word))
}

fn pair() -> (Writer, Reader) {
    let (writer, mut readers) = ring::channel(RING, 1);
    (writer, readers.pop().expect("Invariant: one reader"))
}

fn put(writer: &mut Writer, count: u64) {
    let slot = slot(count);
    let (header, body) = bytes(&slot).split_at(48);
    while writer.write(&[header, body]).is_err() {
        spin_loop();
    }
}

fn take(reader: &mut Reader) -> u64 {
    let mut spins = 0u32;
    loop {
        if let Some(record) = reader.peek() {
            let number = number(black_box(record));
            reader.advance();
            return number;
        }
        spins += 1;
        if spins.is_multiple_of(1 << 12) {
            std::thread::yield_now();
        }
        spin_loop();
    }
}

fn hop(count: u64) {
    let (mut writer, mut reader) = pair();
    for n in 0..count {
        put(&mut writer, n);
        writer.publish();
        black_box(take(&mut reader));
        reader.release();
    }
}

fn hop_batch(count: u64) {
    let (mut writer, mut reader) = pair();
    for start in (0..count).step_by(BATCH as usize) {
        for n in start..start + BATCH {
            put(&mut writer, n);
        }
        writer.publish();
        for _ in 0..BATCH {
            black_box(take(&mut reader));
        }
        reader.release();
    }
}

fn hop_bell(count: u64) {
    let (mut writer, mut reader) = pair();
    writer.wakes(Doorbell::new(|| ()).into());
    for n in 0..count {
        put(&mut writer, n);
        writer.publish();
        black_box(take(&mut reader));
        reader.release();
    }
}

fn rtrb_bytes(count: u64) {
    let (mut producer, mut consumer) = RingBuffer::<u8>::new(RING);
    for n in 0..count {
        let mut framed = [0; 8 + COMMAND];
        framed[..8].copy_from_slice(&(COMMAND as u64).to_le_bytes());
        framed[8..].copy_from_slice(bytes(&slot(n)));
        let Ok(mut chunk) = producer.write_chunk(framed.len()) else {
            return;
        };
        let (first, second) = chunk.as_mut_slices();
        let (start, rest) = framed.split_at(first.len());
        first.copy_from_slice(start);
        second.copy_from_slice(rest);
        chunk.commit_all();

        let mut record = [0; 8 + COMMAND];
        let Ok(chunk) = consumer.read_chunk(record.len()) else {
            return;
        };
        // A record may be split in two at the end of the buffer: it has to be copied out.
        let (first, second) = chunk.as_slices();
        record[..first.len()].copy_from_slice(first);
        record[first.len()..].copy_from_slice(second);
        black_box(&record);
        chunk.commit_all();
    }
}

fn rtrb_slots(count: u64) {
    let (mut producer, mut consumer) = RingBuffer::<Slot>::new(RING / COMMAND);
    for n in 0..count {
        assert!(producer.push(slot(n)).is_ok());
        black_box(consumer.pop()).ok();
    }
}

fn stream(count: u64) {
    let (mut writer, mut reader) = pair();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..count {
                assert_eq!(take(&mut reader), n);
                if n % BATCH == 0 {
                    reader.release();
                }
            }
        });
        for n in 0..count {
            put(&mut writer, n);
            writer.publish();
        }
    });
}

fn stream_rtrb(count: u64) {
    let (mut producer, mut consumer) = RingBuffer::<Slot>::new(RING / COMMAND);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..count {
                while consumer.peek().is_err() {
                    spin_loop();
                }
                assert_eq!(consumer.pop().map(|slot| slot[0]), Ok(n));
            }
        });
        for n in 0..count {
            while producer.is_full() {
                spin_loop();
            }
            assert!(producer.push(slot(n)).is_ok());
        }
    });
}

fn ping_pong(count: u64) {
    let (mut there, mut at_echo) = pair();
    let (mut back, mut at_home) = pair();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..count {
                let n = take(&mut at_echo);
                at_echo.release();
                put(&mut back, n);
                back.publish();
            }
        });
        for n in 0..count {
            put(&mut there, n);
            there.publish();
            assert_eq!(take(&mut at_home), n);
            at_home.release();
        }
    });
}

fn ping_pong_rtrb(count: u64) {
    let (mut there, mut at_echo) = RingBuffer::<Slot>::new(RING / COMMAND);
    let (mut back, mut at_home) = RingBuffer::<Slot>::new(RING / COMMAND);
    let wait = |consumer: &mut rtrb::Consumer<Slot>| {
        let mut spins = 0u32;
        loop {
            if let Ok(slot) = consumer.pop() {
                return slot;
            }
            spins += 1;
            if spins.is_multiple_of(1 << 12) {
                std::thread::yield_now();
            }
            spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..count {
                let slot = wait(&mut at_echo);
                assert!(back.push(slot).is_ok());
            }
        });
        for n in 0..count {
            assert!(there.push(slot(n)).is_ok());
            assert_eq!(wait(&mut at_home)[0], n);
        }
    });
}

const CASES: &[Case] = &[
    Case::new("one thread: rtrb slots", rtrb_slots, 1 << 14),
    Case::new("one thread: rtrb bytes", rtrb_bytes, 1 << 14),
    Case::new("one thread: ring, each published", hop, 1 << 14),
    Case::new("one thread: ring, with a doorbell", hop_bell, 1 << 14),
    Case::new("one thread: ring, batches of 32", hop_batch, 1 << 14),
    threaded("two threads: rtrb slots, stream", stream_rtrb, 1 << 16),
    threaded("two threads: ring, stream", stream, 1 << 16),
    threaded("two threads: rtrb, there and back", ping_pong_rtrb, 1 << 12),
    threaded("two threads: ring, there and back", ping_pong, 1 << 12),
];

const fn threaded(name: &'static str, run: fn(u64), round: u64) -> Case {
    Case {
        threaded: true,
        ..Case::new(name, run, round)
    }
}

fn main() {
    let title = "ring hop, one 120-byte command";
    support::main(title, "one thread: rtrb slots", CASES);
}
