//! Every interleaving of the ring's writer, readers and doorbell on tiny buffers.
//!
//! The files under `src/ring` are compiled here once more, against a `sync` made of loom's atomics
//! and cells, so that what is explored is the code that runs. A word that two threads touch
//! without an order between them, a lost wake-up, a record torn or out of place: each ends a
//! model with the interleaving that led there.

#![allow(
    dead_code,
    unreachable_pub,
    unused_qualifications,
    unsafe_code,
    reason = "the ring's own files, used in part"
)]

#[path = "../src/ring/bytes.rs"]
mod bytes;
#[path = "../src/ring/cursor.rs"]
mod cursor;
#[path = "../src/ring/doorbell.rs"]
mod doorbell;

/// What `src/ring/sync.rs` is there, by loom.
mod sync {
    use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

    #[derive(Debug, Default)]
    pub(crate) struct Padded<T>(pub(crate) T);

    pub(crate) struct Witnesses(Box<[UnsafeCell<()>]>);

    impl Witnesses {
        pub(crate) fn new(words: usize) -> Self {
            Self((0..words).map(|_| UnsafeCell::new(())).collect())
        }

        pub(crate) fn reads(&self, index: usize, words: usize) {
            for cell in &self.0[index..index + words] {
                cell.with(|_| ());
            }
        }

        pub(crate) fn writes(&self, index: usize, words: usize) {
            for cell in &self.0[index..index + words] {
                cell.with_mut(|_| ());
            }
        }
    }
}

use bytes::{Full, Reader, Writer, channel};
use cursor::Cursor;
use doorbell::Doorbell;
use loom::thread;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Three switches at places other than a thread's own waiting find all known kinds of ring
    // bugs and keep a run to seconds.
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Record number `n`: 1 to 3 words, each of them `n`.
fn record(n: u64) -> Vec<u8> {
    n.to_le_bytes().repeat(1 + n as usize % 3)
}

fn expect(reader: &mut Reader, n: u64) {
    loop {
        if let Some(bytes) = reader.peek() {
            assert_eq!(bytes, record(n));
            reader.advance();
            return;
        }
        thread::yield_now();
    }
}

fn write(writer: &mut Writer, n: u64) {
    while writer.write(&[&record(n)]) == Err(Full) {
        thread::yield_now();
    }
    writer.publish();
}

#[test]
fn a_reader_sees_whole_records_in_order_over_the_wrap() {
    explore(|| {
        let (mut writer, mut readers) = channel(64, 1);
        let mut reader = readers.pop().unwrap();
        let reading = thread::spawn(move || {
            for n in 0..4 {
                expect(&mut reader, n);
                reader.release();
            }
            assert!(reader.is_empty());
        });
        // 2 + 3 + 4 + 2 words into a ring of 8: the third record needs padding before it.
        for n in 0..4 {
            write(&mut writer, n);
        }
        reading.join().unwrap();
    });
}

/// Takes what is there now, at most `most` records, and checks that they come in order.
fn drain(reader: &mut Reader, next: &mut u64, most: u64) {
    for _ in 0..most {
        let Some(bytes) = reader.peek() else { break };
        assert_eq!(bytes, record(*next));
        *next += 1;
        reader.advance();
    }
    reader.release();
}

#[test]
fn the_slower_of_two_readers_keeps_its_records() {
    explore(|| {
        let (mut writer, readers) = channel(64, 2);
        // Two threads that wait for a third make loom's runs endless, so nobody waits here: each
        // does what it can, and what is left is done when the others have ended.
        let threads: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                thread::spawn(move || {
                    let mut next = 0;
                    drain(&mut reader, &mut next, 2);
                    drain(&mut reader, &mut next, 1);
                    (reader, next)
                })
            })
            .collect();
        let mut written = 0;
        while written < 4 && writer.write(&[&record(written)]).is_ok() {
            writer.publish();
            written += 1;
        }
        let mut readers: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        for number in written..6 {
            for (reader, next) in &mut readers {
                drain(reader, next, 9);
            }
            writer.write(&[&record(number)]).unwrap();
            writer.publish();
        }
        for (reader, next) in &mut readers {
            drain(reader, next, 9);
            assert_eq!(*next, 6);
        }
    });
}

#[test]
fn a_batch_becomes_visible_at_once() {
    explore(|| {
        let (mut writer, mut readers) = channel(128, 1);
        let mut reader = readers.pop().unwrap();
        let writing = thread::spawn(move || {
            writer.write(&[&record(0)]).unwrap();
            writer.write(&[&record(1)]).unwrap();
            writer.publish();
        });
        expect(&mut reader, 0);
        assert_eq!(reader.look_ahead(0).unwrap(), record(1));
        assert_eq!(reader.peek().unwrap(), record(1), "half a batch was seen");
        writing.join().unwrap();
    });
}

#[test]
fn a_reader_that_ends_lets_the_writer_go_on() {
    explore(|| {
        let (mut writer, mut readers) = channel(64, 2);
        let mut gone = readers.pop().unwrap();
        let mut reader = readers.pop().unwrap();
        let ending = thread::spawn(move || drain(&mut gone, &mut 0, 1));
        // 2, 3 and 3 words fill the ring; the fourth record needs the room of the first, and so
        // a second reader that has taken it or has ended.
        for number in [0, 1, 1] {
            writer.write(&[&record(number)]).unwrap();
        }
        writer.publish();
        drain(&mut reader, &mut 0, 1);
        while writer.write(&[&record(0)]).is_err() {
            thread::yield_now();
        }
        writer.publish();
        drain(&mut reader, &mut 1, 1);
        drain(&mut reader, &mut 1, 1);
        drain(&mut reader, &mut 0, 1);
        assert!(reader.is_empty());
        ending.join().unwrap();
    });
}

/// A doorbell for a thread of the model that is named once it runs.
fn bell() -> (std::sync::Arc<Doorbell>, std::sync::Arc<Owner>) {
    let owner = std::sync::Arc::new(Owner::default());
    let target = std::sync::Arc::clone(&owner);
    let doorbell = Doorbell::new(move || target.unpark());
    (std::sync::Arc::new(doorbell), owner)
}

/// The thread behind a doorbell; set before anybody can ring it.
#[derive(Default)]
struct Owner(std::sync::OnceLock<thread::Thread>);

impl Owner {
    fn unpark(&self) {
        self.0
            .get()
            .expect("Invariant: named before it is rung")
            .unpark();
    }
}

#[test]
fn a_parked_reader_is_always_woken() {
    explore(|| {
        let (mut writer, mut readers) = channel(64, 1);
        let mut reader = readers.pop().unwrap();
        let (doorbell, owner) = bell();
        writer.wakes(std::sync::Arc::clone(&doorbell));
        assert!(owner.0.set(thread::current()).is_ok());
        let writing = thread::spawn(move || {
            for n in 0..2 {
                writer.write(&[&record(n)]).unwrap();
                writer.publish();
            }
        });
        // No timeout here: a lost wake-up is a model that never ends, which loom reports.
        for n in 0..2 {
            while reader.is_empty() {
                doorbell.arm();
                if reader.is_empty() {
                    thread::park();
                }
                doorbell.disarm();
            }
            expect(&mut reader, n);
        }
        writing.join().unwrap();
    });
}

#[test]
fn what_was_written_before_a_cursor_moved_is_seen_with_it() {
    explore(|| {
        let word = loom::sync::Arc::new(sync::Witnesses::new(1));
        let durable = Cursor::new(0);
        let (seen, read) = (word.clone(), durable.clone());
        let reading = thread::spawn(move || {
            if read.get() == 1 {
                seen.reads(0, 1);
            }
        });
        word.writes(0, 1);
        durable.publish(1);
        reading.join().unwrap();
    });
}
