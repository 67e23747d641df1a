//! Quotes by name: which orders are the bid and the ask of a session's group, instrument and layer.
//!
//! An open-addressing table with linear probing, at most half full, that leads to records. A name is
//! given back when both its sides are gone, so that nobody keeps names that he does not quote. The
//! records of an instrument are in a list, so that leaving continuous trading costs what is quoted in
//! it; the order of that list means nothing.

use trading_engine_protocol::types::{ClientOrderId, InstrumentId, SessionId, Side};

use super::client_ids::{fold, spread};
use super::order::{NIL, touch_spare};
use super::snapshot::{In, Out, SnapshotError, id_of, name_from, name_words};

/// What a quote is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuoteName {
    pub session: SessionId,
    pub instrument: InstrumentId,
    pub group: u16,
    pub layer: u16,
}

/// What is quoted under a name: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct QuoteRecord {
    /// QuoteEntryID of the entry that last set it.
    pub entry_id: ClientOrderId,
    pub name: QuoteName,
    /// Slots of bid and ask, `NIL` = there is none.
    slots: [u32; 2],
    /// Whether the mass quote at work names it already.
    pub named: bool,
}

const _: () = assert!(size_of::<QuoteRecord>() == 64);

impl QuoteRecord {
    /// Slot of a side's order.
    #[inline]
    pub fn slot(&self, side: Side) -> Option<u32> {
        let slot = self.slots[at(side)];
        (slot != NIL).then_some(slot)
    }

    #[inline]
    pub fn set_slot(&mut self, side: Side, slot: u32) {
        self.slots[at(side)] = slot;
    }

    /// The side's order ended.
    #[inline]
    pub fn clear_slot(&mut self, side: Side) {
        self.slots[at(side)] = NIL;
    }

    /// Whether nothing is quoted under the name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots == [NIL; 2]
    }

    /// A record of no name; `next` is another one.
    fn unused(next: u32) -> Self {
        Self {
            entry_id: ClientOrderId::NONE,
            name: QuoteName {
                session: SessionId(0),
                instrument: InstrumentId(0),
                group: 0,
                layer: 0,
            },
            slots: [next, NIL],
            named: false,
        }
    }

    /// Whether it has a name: no session is called 0.
    fn is_used(&self) -> bool {
        self.name.session.0 != 0
    }
}

#[inline(always)]
fn at(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

/// Neighbours of a record in the list of its instrument.
#[derive(Clone, Copy, Debug)]
struct Neighbours {
    next: u32,
    prev: u32,
}

/// Where a name is, or would be: good until a name is inserted or removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Its record, if it has one.
    pub record: Option<u32>,
    bucket: usize,
    hash: u64,
}

/// The table.
pub(super) struct QuoteBook {
    /// High half: of the name's hash. Low half: number of the record + 1. 0 = empty.
    buckets: Box<[u64]>,
    records: Vec<QuoteRecord>,
    neighbours: Vec<Neighbours>,
    /// First record of each instrument.
    firsts: Box<[u32]>,
    /// First record without a name, last in, first out; `slots[0]` leads on.
    free: u32,
    used: usize,
    capacity: usize,
    key: u64,
}

/// Buckets in a page of memory.
const PAGE_BUCKETS: usize = 4096 / size_of::<u64>();
const RECORD_MASK: u64 = u32::MAX as u64;

impl QuoteBook {
    /// Room for so many names, of instruments up to that id.
    pub fn new(capacity: u32, instruments: u32) -> Self {
        let buckets = (capacity as usize * 2).next_power_of_two().max(16);
        Self {
            buckets: vec![0; buckets].into(),
            records: Vec::with_capacity(capacity as usize),
            neighbours: Vec::with_capacity(capacity as usize),
            firsts: vec![NIL; instruments as usize + 1].into(),
            free: NIL,
            used: 0,
            capacity: capacity as usize,
            key: spread(0),
        }
    }

    /// Drawn at genesis, so that no maker can choose names that lie in one place.
    pub fn set_key(&mut self, key: u64) {
        self.key = spread(key);
    }

    pub fn has_room(&self) -> bool {
        self.used < self.capacity
    }

    #[inline]
    fn hash(&self, name: &QuoteName) -> u64 {
        let who = u64::from(name.session.0) << 32 | u64::from(name.instrument.0);
        let which = u64::from(name.group) << 16 | u64::from(name.layer);
        let other = self.key.rotate_left(17) ^ 0xA076_1D64_78BD_642F;
        fold(who ^ self.key, which ^ other)
    }

    /// Looks a name up.
    #[inline]
    pub fn find(&self, name: &QuoteName) -> Found {
        let hash = self.hash(name);
        let mask = self.buckets.len() - 1;
        #[allow(clippy::cast_possible_truncation, reason = "masked")]
        let mut bucket = hash as usize & mask;
        // Ends: the table is at most half full.
        loop {
            let held = self.buckets[bucket];
            if held == 0 {
                break;
            }
            if (held ^ hash) >> 32 == 0 {
                #[allow(clippy::cast_possible_truncation, reason = "the low half")]
                let record = (held & RECORD_MASK) as u32 - 1;
                if self.records[record as usize].name == *name {
                    return Found {
                        record: Some(record),
                        bucket,
                        hash,
                    };
                }
            }
            bucket = (bucket + 1) & mask;
        }
        Found {
            record: None,
            bucket,
            hash,
        }
    }

    /// Gives a name that was just not found a record. The caller checked [`QuoteBook::has_room`].
    #[inline]
    pub fn insert(&mut self, name: QuoteName, found: &Found) -> u32 {
        let record = match self.free {
            NIL => self.grow(),
            free => free,
        };
        let place = &mut self.records[record as usize];
        self.free = place.slots[0];
        *place = QuoteRecord {
            name,
            ..QuoteRecord::unused(NIL)
        };
        self.name(record, found);
        record
    }

    /// One more record; nobody has its name yet.
    fn grow(&mut self) -> u32 {
        #[allow(clippy::cast_possible_truncation, reason = "as many as a u32 says")]
        let record = self.records.len() as u32;
        self.records.push(QuoteRecord::unused(NIL));
        self.neighbours.push(Neighbours {
            next: NIL,
            prev: NIL,
        });
        record
    }

    /// A record is found by its name from now on, and in its instrument.
    fn name(&mut self, record: u32, found: &Found) {
        let name = self.records[record as usize].name;
        self.buckets[found.bucket] = found.hash & !RECORD_MASK | u64::from(record + 1);
        let first = &mut self.firsts[name.instrument.0 as usize];
        let next = std::mem::replace(first, record);
        self.neighbours[record as usize] = Neighbours { next, prev: NIL };
        if next != NIL {
            self.neighbours[next as usize].prev = record;
        }
        self.used += 1;
    }

    /// Gives a name back of which nothing is quoted any more.
    pub fn remove(&mut self, record: u32) {
        let name = self.records[record as usize].name;
        let hash = self.hash(&name);
        self.close_bucket(hash, record);
        let Neighbours { next, prev } = self.neighbours[record as usize];
        match prev {
            NIL => self.firsts[name.instrument.0 as usize] = next,
            prev => self.neighbours[prev as usize].next = next,
        }
        if next != NIL {
            self.neighbours[next as usize].prev = prev;
        }
        self.records[record as usize] = QuoteRecord::unused(self.free);
        self.free = record;
        self.used -= 1;
    }

    /// Empties the bucket of a record. Whoever lies behind it and would not be found over the gap
    /// moves into it.
    fn close_bucket(&mut self, hash: u64, record: u32) {
        let mask = self.buckets.len() - 1;
        #[allow(clippy::cast_possible_truncation, reason = "masked")]
        let home = |hash: u64| hash as usize & mask;
        let mut gap = home(hash);
        while self.buckets[gap] & RECORD_MASK != u64::from(record + 1) {
            gap = (gap + 1) & mask;
        }
        let mut next = (gap + 1) & mask;
        // Ends: the table is at most half full.
        while self.buckets[next] != 0 {
            let held = self.buckets[next];
            #[allow(clippy::cast_possible_truncation, reason = "the low half")]
            let other = (held & RECORD_MASK) as usize - 1;
            let from_home = next.wrapping_sub(home(self.hash(&self.records[other].name))) & mask;
            if from_home >= next.wrapping_sub(gap) & mask {
                self.buckets[gap] = held;
                gap = next;
            }
            next = (next + 1) & mask;
        }
        self.buckets[gap] = 0;
    }

    /// The first record of an instrument, or the one behind `record`; `NIL` = there is none.
    pub fn next_of(&self, instrument: u16, record: Option<u32>) -> u32 {
        match record {
            None => self.firsts[usize::from(instrument)],
            Some(record) => self.neighbours[record as usize].next,
        }
    }

    /// Names there are, and whose.
    pub fn names(&self) -> impl Iterator<Item = QuoteName> + '_ {
        let used = self.records.iter().filter(|record| record.is_used());
        used.map(|record| record.name)
    }

    #[inline]
    pub fn record(&self, record: u32) -> &QuoteRecord {
        &self.records[record as usize]
    }

    #[inline]
    pub fn record_mut(&mut self, record: u32) -> &mut QuoteRecord {
        &mut self.records[record as usize]
    }

    /// Key and records where they lie: orders name them by their places. Those that have no place among `room` are left
    /// out, if none of them is used.
    pub fn save(&self, room: u32, out: &mut Out) {
        let all = self.records.len();
        let kept = all.min(room as usize);
        let spare = self.records[kept..].iter().all(|record| !record.is_used());
        let kept = if spare { kept } else { all };
        out.words([
            self.key,
            kept as u64,
            u64::from(self.free_below(kept, self.free)),
        ]);
        for record in &self.records[..kept] {
            out.words(name_words(&record.name));
            out.part(&record.entry_id);
            let [mut first, second] = record.slots;
            if !record.is_used() {
                first = self.free_below(kept, first);
            }
            out.words([first, second].map(u64::from));
        }
    }

    /// The first in the list of free records, from `record` on, that is below `kept`; `NIL` = none.
    fn free_below(&self, kept: usize, mut record: u32) -> u32 {
        while record != NIL && record as usize >= kept {
            record = self.records[record as usize].slots[0];
        }
        record
    }

    /// Reads what [`QuoteBook::save`] wrote; whether its slots hold what they should is not known here.
    pub fn load(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        self.key = input.word()?;
        let count = input.at_most(self.capacity as u64, "quotes")?;
        let free: u32 = input.small("a record")?;
        for _ in 0..count {
            let name = name_from([input.word()?, input.word()?]);
            let entry_id = id_of(input)?;
            let slots = [input.small("a slot")?, input.small("a slot")?];
            let record = self.grow();
            let place = &mut self.records[record as usize];
            *place = QuoteRecord {
                entry_id,
                name,
                slots,
                named: false,
            };
            if !place.is_used() {
                *place = QuoteRecord::unused(slots[0]);
                continue;
            }
            let known = (name.instrument.0 as usize) < self.firsts.len();
            let found = self.find(&name);
            if place_is_wrong(known, slots, &found) {
                return Err(SnapshotError::Damaged("a quote's name"));
            }
            self.name(record, &found);
        }
        self.load_free(free)
    }

    /// The list of free records has each of them, once.
    fn load_free(&mut self, first: u32) -> Result<(), SnapshotError> {
        let unused = self.records.len() - self.used;
        let (mut next, mut seen) = (first, 0);
        while next != NIL {
            let record = self.records.get(next as usize);
            let record = record.filter(|record| !record.is_used() && seen < unused);
            next = record.ok_or(SnapshotError::Damaged("a record"))?.slots[0];
            seen += 1;
        }
        self.free = first;
        let all = seen == unused;
        all.then_some(()).ok_or(SnapshotError::Damaged("a record"))
    }

    /// The name of a record that has this order on a side.
    pub fn name_of(&self, record: u32, side: Side, slot: u32) -> Option<QuoteName> {
        let record = self.records.get(record as usize).filter(|r| r.is_used())?;
        (record.slot(side) == Some(slot)).then_some(record.name)
    }

    /// How many quotes there are.
    pub fn quoted(&self) -> usize {
        let used = self.records.iter().filter(|record| record.is_used());
        let sides = used.flat_map(|record| record.slots);
        sides.filter(|&slot| slot != NIL).count()
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        for bucket in self.buckets.iter_mut().step_by(PAGE_BUCKETS) {
            *bucket = std::hint::black_box(*bucket);
        }
        touch_spare(&mut self.records);
        touch_spare(&mut self.neighbours);
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(self.buckets.as_ptr().cast(), size_of_val(&*self.buckets));
        each(
            self.records.as_ptr().cast(),
            self.capacity * size_of::<QuoteRecord>(),
        );
        each(
            self.neighbours.as_ptr().cast(),
            self.capacity * size_of::<Neighbours>(),
        );
    }
}

/// What no engine has under a name: an instrument that cannot be, nothing, another record.
fn place_is_wrong(known: bool, slots: [u32; 2], found: &Found) -> bool {
    !known || slots == [NIL; 2] || found.record.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(session: u32, instrument: u32, group: u16, layer: u16) -> QuoteName {
        QuoteName {
            session: SessionId(session),
            instrument: InstrumentId(instrument),
            group,
            layer,
        }
    }

    fn insert(book: &mut QuoteBook, name: QuoteName) -> u32 {
        let found = book.find(&name);
        assert_eq!(found.record, None);
        book.insert(name, &found)
    }

    #[test]
    fn every_part_of_the_name_counts() {
        let mut book = QuoteBook::new(16, 2);
        let names = [
            name(1, 1, 1, 1),
            name(2, 1, 1, 1),
            name(1, 2, 1, 1),
            name(1, 1, 2, 1),
            name(1, 1, 1, 2),
        ];
        for (number, name) in names.into_iter().enumerate() {
            assert_eq!(insert(&mut book, name) as usize, number);
        }
        for (number, name) in names.iter().enumerate() {
            assert_eq!(book.find(name).record, Some(number as u32));
        }
    }

    #[test]
    fn a_side_is_set_and_cleared_alone() {
        let mut book = QuoteBook::new(1, 1);
        let record = insert(&mut book, name(1, 1, 0, 0));
        let quote = book.record_mut(record);
        assert_eq!(
            (quote.slot(Side::Buy), quote.slot(Side::Sell)),
            (None, None)
        );
        quote.set_slot(Side::Buy, 7);
        quote.set_slot(Side::Sell, 0);
        quote.clear_slot(Side::Buy);
        assert_eq!(
            (quote.slot(Side::Buy), quote.slot(Side::Sell)),
            (None, Some(0))
        );
    }

    #[test]
    fn names_are_found_whatever_names_were_given_back() {
        let mut book = QuoteBook::new(1_000, 150);
        book.set_key(42);
        let all = |number: u32| name(1 + number % 7, number / 7, (number % 3) as u16, 5);
        for round in 0..2 {
            for number in 0..1_000 {
                assert!(book.has_room(), "round {round}");
                insert(&mut book, all(number));
            }
            assert!(!book.has_room());
            for number in 0..1_000 {
                let record = book.find(&all(number)).record.unwrap();
                assert_eq!(book.record(record).name, all(number));
            }
            assert_eq!(book.find(&all(1_000)).record, None);
            // The table is at its fullest; what goes leaves the way to what stays.
            for number in (0..1_000).filter(|number| number % 3 != 1) {
                let record = book.find(&all(number)).record.unwrap();
                book.remove(record);
                assert_eq!(book.find(&all(number)).record, None);
            }
            assert_eq!(book.names().count(), 333);
            for number in (0..1_000).filter(|number| number % 3 == 1) {
                let record = book.find(&all(number)).record.unwrap();
                assert_eq!(book.record(record).name, all(number));
                book.remove(record);
            }
            assert_eq!(book.used, 0);
            assert!(book.buckets.iter().all(|&bucket| bucket == 0));
            assert!(book.firsts.iter().all(|&first| first == NIL));
        }
    }

    #[test]
    fn the_records_of_an_instrument_are_in_its_list() {
        let mut book = QuoteBook::new(4, 2);
        let of = |book: &QuoteBook, instrument: u16| {
            let first = book.next_of(instrument, None);
            let mut all: Vec<u32> = std::iter::successors(Some(first), |&last| {
                (last != NIL).then(|| book.next_of(instrument, Some(last)))
            })
            .filter(|&record| record != NIL)
            .collect();
            all.sort_unstable();
            all
        };
        let records = [(1, 1), (2, 1), (1, 2), (3, 1)]
            .map(|(session, instrument)| insert(&mut book, name(session, instrument, 0, 0)));
        assert_eq!(records, [0, 1, 2, 3]);
        assert_eq!((of(&book, 1), of(&book, 2)), (vec![0, 1, 3], vec![2]));
        book.remove(1);
        book.remove(3);
        assert_eq!(of(&book, 1), [0]);
        assert_eq!(insert(&mut book, name(4, 2, 0, 0)), 3, "last in, first out");
        assert_eq!(of(&book, 2), [2, 3]);
    }
}
