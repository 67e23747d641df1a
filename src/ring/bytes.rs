//! The byte ring: variable-length records, one writer, a fixed number of readers.
//!
//! Positions are byte counts since the start, multiples of 8, and never wrap (2^63 bytes at
//! 10 GB/s are 29 years). A record is one header word and its payload padded to 8; it never
//! straddles the end of the buffer: a padding record fills what is left there. So every payload
//! is one slice, 8-aligned, and can be read in place.

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc as StdArc;

use super::Doorbell;
use super::sync::{Arc, AtomicU64, Ordering, Padded, Witnesses};

/// Header bit of a padding record; the rest of the word is the payload length in bytes.
const PADDING: u64 = 1 << 63;
const WORD_BYTES: u64 = 8;
const HEADER_BYTES: u64 = WORD_BYTES;
/// Head of a reader that is gone: it holds nobody back.
const DETACHED: u64 = u64::MAX;

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
    witnesses: Witnesses,
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
    #[inline]
    fn capacity(&self) -> u64 {
        self.words.len() as u64 * WORD_BYTES
    }

    /// Bytes from a position to the end of the buffer, where a record must not straddle.
    #[inline]
    fn to_end(&self, position: u64) -> u64 {
        self.capacity() - (position & (self.capacity() - 1))
    }

    #[inline]
    fn index(&self, position: u64) -> usize {
        (position / WORD_BYTES) as usize & (self.words.len() - 1)
    }

    /// The word at a position, as the first of all words up to the end of the buffer.
    #[inline]
    fn pointer(&self, position: u64) -> *mut u64 {
        // Made from the whole slice, not from one element: a payload spans several.
        // SAFETY: `index` is masked into the slice.
        UnsafeCell::raw_get(unsafe { self.words.as_ptr().add(self.index(position)) })
    }

    /// Position of the slowest reader still there; `none` when all are gone.
    #[inline]
    fn slowest(&self, none: u64) -> u64 {
        let heads = self.heads.iter();
        heads.fold(none, |slowest, head| {
            slowest.min(head.0.load(Ordering::Acquire))
        })
    }
}

/// Makes a ring of `capacity_bytes` (a power of two, at least 64) with `readers` readers, each of
/// which sees every record and holds the writer back until it has released it. A dropped reader
/// holds nobody back.
///
/// Records up to half of the capacity always fit an empty ring; a longer one may not, depending
/// on where the buffer's end falls ([`Writer::could_fit`]).
///
/// # Panics
/// On a capacity that is no power of two, or without readers: both are wiring mistakes, made at
/// start or never.
pub fn channel(capacity_bytes: usize, readers: usize) -> (Writer, Vec<Reader>) {
    assert!(
        capacity_bytes.is_power_of_two() && capacity_bytes >= 64,
        "Invariant: a ring's capacity is a power of two"
    );
    assert!(readers > 0, "Invariant: a ring has a reader");
    let words = capacity_bytes / WORD_BYTES as usize;
    let shared = Arc::new(Shared {
        words: (0..words).map(|_| UnsafeCell::new(0)).collect(),
        witnesses: Witnesses::new(words),
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
            released: 0,
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
    /// Shared with threads outside what loom explores.
    doorbells: Vec<StdArc<Doorbell>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("position", &self.position)
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

/// Room that certainly suffices for `records` records of `bytes` payload in all: each loses up to
/// 7 bytes to rounding and 8 to its header, and one of them may have to skip to the start, which
/// costs less than its own length.
#[inline]
const fn room(records: usize, bytes: usize) -> u64 {
    (bytes as u64 + records as u64 * 15) * 2
}

impl Writer {
    /// Rings this bell after each publication.
    pub fn wakes(&mut self, doorbell: StdArc<Doorbell>) {
        self.doorbells.push(doorbell);
    }

    /// Size of the buffer.
    pub fn capacity(&self) -> u64 {
        self.shared.capacity()
    }

    /// Whether [`Writer::has_room_for`] the same can ever be true: to be asserted where a ring is
    /// handed to whoever waits for that room.
    pub fn could_fit(&self, records: usize, bytes: usize) -> bool {
        room(records, bytes) <= self.capacity()
    }

    /// Whether `records` records of `bytes` payload in all fit now, wherever the buffer's end
    /// falls.
    #[inline]
    pub fn has_room_for(&mut self, records: usize, bytes: usize) -> bool {
        let need = room(records, bytes);
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
        self.slowest = self.shared.slowest(self.position);
        capacity - (self.position - self.slowest)
    }

    /// Bytes published so far, headers and padding included.
    #[inline]
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Something that tells any thread how full the ring is.
    pub fn gauge(&self) -> Gauge {
        Gauge {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Appends a record made of `parts`; readers see it after [`Writer::publish`].
    ///
    /// # Errors
    /// [`Full`], with nothing written.
    #[inline]
    pub fn write(&mut self, parts: &[&[u8]]) -> Result<(), Full> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = length as u64;
        let total = HEADER_BYTES + length.next_multiple_of(WORD_BYTES);
        let to_end = self.shared.to_end(self.position);
        let skip = if total > to_end { to_end } else { 0 };
        if self.free(skip + total) < skip + total {
            return Err(Full);
        }
        if skip > 0 {
            self.put_header(PADDING | (skip - HEADER_BYTES));
            self.position += skip;
        }
        self.put_header(length);
        self.put_payload(parts, length);
        self.position += total;
        Ok(())
    }

    /// Writes the header of the record at the position.
    #[inline]
    fn put_header(&mut self, word: u64) {
        self.shared
            .witnesses
            .writes(self.shared.index(self.position), 1);
        // SAFETY: `free` said that no reader may look at this word until it is published.
        unsafe { self.shared.pointer(self.position).write(word) };
    }

    /// Writes the payload of the record at the position.
    #[inline]
    fn put_payload(&mut self, parts: &[&[u8]], length: u64) {
        if length == 0 {
            return;
        }
        let start = self.position + HEADER_BYTES;
        self.shared.witnesses.writes(
            self.shared.index(start),
            length.div_ceil(WORD_BYTES) as usize,
        );
        let mut target = self.shared.pointer(start).cast::<u8>();
        for part in parts {
            // SAFETY: the record does not straddle the end (`skip`), so `length` bytes from here
            // are inside the buffer; no reader may look at them until they are published; a part
            // is borrowed from elsewhere and cannot overlap what is being written.
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
        Doorbell::ring_all(self.doorbells.iter().map(|doorbell| &**doorbell));
    }
}

/// One reading end.
pub struct Reader {
    shared: Arc<Shared>,
    index: usize,
    /// Next record to look at, or the padding before it.
    position: u64,
    /// Published bytes as last seen.
    tail: u64,
    /// Bytes up to behind the record that `peek` showed, 0 = none shown.
    current: u64,
    /// What the writer was told last.
    released: u64,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("index", &self.index)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Where a record's payload is, and where the next record may be.
struct Found {
    payload: u64,
    length: u64,
    next: u64,
}

impl Reader {
    /// The next record's payload, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Option<&[u8]> {
        if self.position == self.tail {
            self.tail = self.shared.tail.0.load(Ordering::Acquire);
        }
        self.current = 0;
        let found = self.find(self.position)?;
        self.current = found.next - self.position;
        Some(self.payload(&found))
    }

    /// The payload `ahead` records behind the one that [`Reader::peek`] shows, if that is known to
    /// be published: what to ask the cache for while working on this one.
    #[inline]
    pub fn look_ahead(&self, ahead: usize) -> Option<&[u8]> {
        let mut found = self.find(self.position)?;
        for _ in 0..ahead {
            found = self.find(found.next)?;
        }
        Some(self.payload(&found))
    }

    /// The record at a position between the head and the known tail.
    #[inline]
    fn find(&self, mut position: u64) -> Option<Found> {
        while position != self.tail {
            self.shared.witnesses.reads(self.shared.index(position), 1);
            // SAFETY: position < tail, so the word was published, and it is not released yet.
            let word = unsafe { self.shared.pointer(position).read() };
            let length = word & !PADDING;
            let next = position + HEADER_BYTES + length.next_multiple_of(WORD_BYTES);
            if word & PADDING == 0 {
                return Some(Found {
                    payload: position + HEADER_BYTES,
                    length,
                    next,
                });
            }
            position = next;
        }
        None
    }

    #[inline]
    fn payload(&self, found: &Found) -> &[u8] {
        if found.length == 0 {
            return &[];
        }
        self.shared.witnesses.reads(
            self.shared.index(found.payload),
            found.length.div_ceil(WORD_BYTES) as usize,
        );
        let start = self.shared.pointer(found.payload).cast::<u8>();
        // SAFETY: the whole record was published at once, does not straddle the end of the
        // buffer, and is not released while `self` is borrowed.
        unsafe { core::slice::from_raw_parts(start.cast_const(), found.length as usize) }
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
        if self.released != self.position {
            self.released = self.position;
            self.shared.heads[self.index]
                .0
                .store(self.position, Ordering::Release);
        }
    }

    /// Whether nothing is there to be read.
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        self.peek().is_none()
    }
}

impl Drop for Reader {
    /// The thread behind it has ended, so that nothing would ever be released again: a writer
    /// that still has something to finish must not wait for it.
    fn drop(&mut self) {
        self.shared.heads[self.index]
            .0
            .store(DETACHED, Ordering::Release);
    }
}

/// Tells how full a ring is, from outside.
#[derive(Clone)]
pub struct Gauge {
    shared: Arc<Shared>,
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge")
            .field("capacity", &self.capacity())
            .field("depth", &self.depth())
            .finish()
    }
}

impl Gauge {
    /// Size of the buffer.
    pub fn capacity(&self) -> u64 {
        self.shared.capacity()
    }

    /// Bytes published so far, headers and padding included.
    pub fn published(&self) -> u64 {
        self.shared.tail.0.load(Ordering::Acquire)
    }

    /// Bytes published and not yet released by one reader, in the order the ring was made with; of
    /// one that is gone or never was, none.
    pub fn waiting(&self, reader: usize) -> u64 {
        // The head first: it never passes a tail that is read after it.
        let head = self
            .shared
            .heads
            .get(reader)
            .map(|head| head.0.load(Ordering::Acquire));
        let tail = self.published();
        tail.saturating_sub(head.unwrap_or(DETACHED))
            .min(self.capacity())
    }

    /// Bytes published and not yet released by the slowest reader.
    pub fn depth(&self) -> u64 {
        // Heads first: they never pass a tail that is read after them.
        let slowest = self.shared.slowest(DETACHED);
        let tail = self.shared.tail.0.load(Ordering::Acquire);
        tail.saturating_sub(slowest).min(self.capacity())
    }
}
