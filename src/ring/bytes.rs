//! The byte ring: variable-length records, one writer, a fixed number of readers.
//!
//! Positions are byte counts since the start, multiples of 8, and never wrap (2^63 bytes at
//! 10 GB/s are 29 years). A record is one header word and its payload padded to 8; it never
//! straddles the end of the buffer: a padding record fills what is left there. So every payload
//! is one slice, 8-aligned, and can be read in place.

use std::fmt;

#[cfg(loom)]
use super::sync::Witness;
use super::sync::{Arc, AtomicU64, Ordering, Padded};
use super::{Cursor, Doorbell};
use std::cell::UnsafeCell;
use std::sync::Arc as StdArc;

/// Shared with threads outside what loom explores.
type Bell = StdArc<Doorbell>;

/// Header bit of a padding record; the rest of the word is the payload length in bytes.
const PADDING: u64 = 1 << 63;
const HEADER_BYTES: u64 = 8;

/// The ring has no room for the record now; a reader has to release some first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ring is full")
    }
}

impl std::error::Error for Full {}

struct Shared {
    words: Box<[UnsafeCell<u64>]>,
    /// Tells loom about accesses to `words`; one per word.
    #[cfg(loom)]
    witnesses: Box<[Witness<()>]>,
    /// Bytes published. Written by the writer, read by the readers.
    tail: Padded<AtomicU64>,
    /// Bytes released, one per reader. Written by that reader, read by the writer.
    heads: Box<[Padded<AtomicU64>]>,
}

// SAFETY: `words` is the only part that is not Sync by itself. The writer writes only words in
// [published tail, smallest head + capacity), readers read only words in [own head, tail); the
// Release stores and Acquire loads of tail and heads order the two.
unsafe impl Sync for Shared {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Shared {
    fn capacity(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// Byte offset of a position inside the buffer.
    fn offset(&self, position: u64) -> u64 {
        position & (self.capacity() - 1)
    }

    #[inline]
    fn pointer(&self, position: u64) -> *mut u64 {
        let index = (self.offset(position) / 8) as usize;
        self.words[index].get()
    }

    #[cfg(loom)]
    fn witness(&self, position: u64, bytes: u64, write: bool) {
        for word in 0..bytes.div_ceil(8) {
            let cell = &self.witnesses[(self.offset(position + word * 8) / 8) as usize];
            if write {
                cell.with_mut(|_| ());
            } else {
                cell.with(|_| ());
            }
        }
    }
    #[cfg(not(loom))]
    #[inline(always)]
    fn witness(&self, _position: u64, _bytes: u64, _write: bool) {}
}

/// Makes a ring of `capacity_bytes` (a power of two, at least 64) with `readers` readers, each of
/// which sees every record and holds the writer back until it has released it.
///
/// # Panics
/// On a capacity that is no power of two, or without readers: both are wiring mistakes, made at
/// start or never.
pub fn channel(capacity_bytes: usize, readers: usize) -> (Writer, Vec<Reader>) {
    assert!(
        capacity_bytes.is_power_of_two() && capacity_bytes >= 64,
        "Invariant: power of two"
    );
    assert!(readers > 0, "Invariant: a ring has a reader");
    let words = capacity_bytes / 8;
    let shared = Arc::new(Shared {
        words: (0..words).map(|_| UnsafeCell::new(0)).collect(),
        #[cfg(loom)]
        witnesses: (0..words).map(|_| Witness::new(())).collect(),
        tail: Padded(AtomicU64::new(0)),
        heads: (0..readers).map(|_| Padded(AtomicU64::new(0))).collect(),
    });
    let all = (0..readers)
        .map(|index| Reader {
            shared: Arc::clone(&shared),
            index,
            position: 0,
            tail: 0,
            current: 0,
        })
        .collect();
    (
        Writer {
            shared,
            position: 0,
            published: 0,
            slowest: 0,
            doorbells: Vec::new(),
        },
        all,
    )
}

/// The one writing end.
pub struct Writer {
    shared: Arc<Shared>,
    /// Where the next record goes.
    position: u64,
    /// What readers can see.
    published: u64,
    /// Smallest head seen; the true one may be further.
    slowest: u64,
    doorbells: Vec<Bell>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("position", &self.position)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Rings this bell after each publication.
    pub fn wakes(&mut self, doorbell: Bell) {
        self.doorbells.push(doorbell);
    }

    /// Whether records of `bytes` payload in all fit now, wherever the buffer's end falls.
    ///
    /// `records` is how many records share them.
    #[inline]
    pub fn has_room_for(&mut self, records: usize, bytes: usize) -> bool {
        // Each record may lose up to 7 bytes to rounding and 8 to its header; one of them may
        // have to skip to the start, which costs less than its own length.
        let need = (bytes + records * 15) as u64 * 2;
        self.free(need) >= need
    }

    /// Whether one record of `bytes` payload fits now, wherever the buffer's end falls.
    #[inline]
    pub fn has_room(&mut self, bytes: usize) -> bool {
        self.has_room_for(1, bytes)
    }

    /// Free bytes; looks at the readers only when what it knows is less than `enough`.
    #[inline]
    fn free(&mut self, enough: u64) -> u64 {
        let capacity = self.shared.capacity();
        let known = capacity - (self.position - self.slowest);
        if known >= enough {
            return known;
        }
        self.slowest = self
            .shared
            .heads
            .iter()
            .map(|head| head.0.load(Ordering::Acquire))
            .min()
            .unwrap_or(self.position);
        capacity - (self.position - self.slowest)
    }

    /// Bytes written and not yet released by the slowest reader.
    pub fn depth(&mut self) -> u64 {
        self.shared.capacity() - self.free(u64::MAX)
    }

    /// Appends a record made of `parts`; readers see it after [`Writer::publish`].
    ///
    /// # Errors
    /// [`Full`], with nothing written.
    #[inline]
    pub fn write(&mut self, parts: &[&[u8]]) -> Result<(), Full> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = length as u64;
        let total = HEADER_BYTES + length.next_multiple_of(8);
        let to_end = self.shared.capacity() - self.shared.offset(self.position);
        let skip = if total > to_end { to_end } else { 0 };
        if self.free(skip + total) < skip + total {
            return Err(Full);
        }
        if skip > 0 {
            self.put_word(PADDING | (skip - HEADER_BYTES));
            self.position += skip - HEADER_BYTES;
        }
        self.put_word(length);
        self.put_payload(parts, length);
        self.position += length.next_multiple_of(8);
        Ok(())
    }

    #[inline]
    fn put_word(&mut self, word: u64) {
        self.shared.witness(self.position, 8, true);
        // SAFETY: `free` said that no reader may look at this word until it is published.
        unsafe { self.shared.pointer(self.position).write(word) };
        self.position += HEADER_BYTES;
    }

    #[inline]
    fn put_payload(&mut self, parts: &[&[u8]], length: u64) {
        self.shared.witness(self.position, length, true);
        if length == 0 {
            return;
        }
        let mut target = self.shared.pointer(self.position).cast::<u8>();
        for part in parts {
            // SAFETY: the record does not straddle the end (`skip`), so `length` bytes from here
            // are inside the buffer; no reader may look at them until they are published; a part
            // is borrowed from elsewhere and cannot overlap the ring.
            target = unsafe {
                core::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len());
                target.add(part.len())
            };
        }
    }

    /// Shows readers all records written so far and wakes those that are parked.
    #[inline]
    pub fn publish(&mut self) {
        if self.published == self.position {
            return;
        }
        self.published = self.position;
        self.shared.tail.0.store(self.position, Ordering::Release);
        for doorbell in &self.doorbells {
            doorbell.ring();
        }
    }
}

/// One reading end.
pub struct Reader {
    shared: Arc<Shared>,
    index: usize,
    /// Next record to look at.
    position: u64,
    /// Published bytes as last seen.
    tail: u64,
    /// Bytes of the record that `peek` showed, 0 = none shown.
    current: u64,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("index", &self.index)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// The next record's payload, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Option<&[u8]> {
        loop {
            if self.position == self.tail {
                self.tail = self.shared.tail.0.load(Ordering::Acquire);
                if self.position == self.tail {
                    self.current = 0;
                    return None;
                }
            }
            self.shared.witness(self.position, 8, false);
            // SAFETY: position < tail, so the word was published, and it is not released yet.
            let word = unsafe { self.shared.pointer(self.position).read() };
            let length = word & !PADDING;
            let total = HEADER_BYTES + length.next_multiple_of(8);
            if word & PADDING != 0 {
                self.position += total;
                continue;
            }
            self.current = total;
            if length == 0 {
                return Some(&[]);
            }
            let payload = self.position + HEADER_BYTES;
            self.shared.witness(payload, length, false);
            // SAFETY: the whole record was published at once and is not released while `self` is
            // borrowed; it does not straddle the end of the buffer.
            return Some(unsafe {
                core::slice::from_raw_parts(
                    self.shared.pointer(payload).cast::<u8>().cast_const(),
                    length as usize,
                )
            });
        }
    }

    /// Steps behind the record that the last [`Reader::peek`] showed; without one, does nothing.
    #[inline]
    pub fn advance(&mut self) {
        self.position += self.current;
        self.current = 0;
    }

    /// Gives the room of everything stepped over back to the writer.
    #[inline]
    pub fn release(&mut self) {
        self.shared.heads[self.index]
            .0
            .store(self.position, Ordering::Release);
    }

    /// Whether anything is there to be read.
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        self.peek().is_none()
    }
}

/// Publishes `value` and wakes `doorbells`: a cursor that somebody may be parked on.
pub fn publish_and_ring(cursor: &Cursor, value: u64, doorbells: &[Bell]) {
    cursor.publish(value);
    for doorbell in doorbells {
        doorbell.ring();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drain(reader: &mut Reader) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(record) = reader.peek() {
            let aligned = (record.as_ptr() as usize).is_multiple_of(8);
            assert!(record.is_empty() || aligned, "a payload is aligned");
            out.push(record.to_vec());
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
    fn the_slowest_reader_holds_the_writer_back() {
        let (mut writer, mut readers) = channel(64, 2);
        writer.write(&[&[1; 40]]).unwrap();
        writer.publish();
        drain(&mut readers[0]);
        assert_eq!(writer.write(&[&[2; 40]]), Err(Full));
        drain(&mut readers[1]);
        writer.write(&[&[2; 40]]).unwrap();
        writer.publish();
        assert_eq!(drain(&mut readers[0]), [vec![2; 40]]);
    }

    #[test]
    fn every_length_survives_every_position_of_the_end() {
        let (mut writer, mut readers) = channel(256, 1);
        let mut seed = 7u64;
        for round in 0..20_000u64 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(round);
            let length = (seed >> 33) as usize % 100;
            let record: Vec<u8> = (0..length).map(|i| (i as u64 ^ round) as u8).collect();
            if writer.has_room(length) || round % 3 == 0 {
                if writer.write(&[&record]).is_err() {
                    assert!(!writer.has_room(length), "has_room promised");
                    drain(&mut readers[0]);
                    writer.write(&[&record]).unwrap();
                }
                writer.publish();
                let mut last = None;
                while let Some(bytes) = readers[0].peek() {
                    last = Some(bytes.to_vec());
                    readers[0].advance();
                }
                assert_eq!(last, Some(record));
            } else {
                readers[0].release();
            }
        }
    }

    #[test]
    fn two_threads_see_the_same_stream() {
        const COUNT: u64 = if cfg!(miri) { 200 } else { 200_000 };
        let (mut writer, mut readers) = channel(1024, 1);
        let mut reader = readers.pop().unwrap();
        let thread = std::thread::spawn(move || {
            let mut expected = 0u64;
            while expected < COUNT {
                match reader.peek() {
                    Some(record) => {
                        assert_eq!(record.len() as u64, 8 + expected % 50);
                        assert_eq!(record[..8], expected.to_le_bytes());
                        expected += 1;
                        reader.advance();
                        reader.release();
                    }
                    None => std::thread::yield_now(),
                }
            }
        });
        for number in 0..COUNT {
            let tail = [0u8; 50];
            while writer
                .write(&[&number.to_le_bytes(), &tail[..(number % 50) as usize]])
                .is_err()
            {
                std::thread::yield_now();
            }
            writer.publish();
        }
        thread.join().unwrap();
    }
}
