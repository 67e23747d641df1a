//! Quotes by name: which orders are the bid and the ask of a session's group, instrument and layer.
//!
//! An open-addressing table with linear probing, at most half full, that leads to records in the
//! order in which their names first came. A record stays when its quotes are gone, so that a maker who
//! quotes again finds it. All leave at the day roll, as every quote does, so there is no deletion to
//! get wrong; neither the table nor the records are ever iterated for output.

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
}

#[inline(always)]
fn at(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

/// Where a name is, or would be: good until a name is inserted.
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
    capacity: usize,
    key: u64,
    digest: u64,
}

/// Buckets in a page of memory.
const PAGE_BUCKETS: usize = 4096 / size_of::<u64>();
const RECORD_MASK: u64 = u32::MAX as u64;

impl QuoteBook {
    pub fn new(capacity: u32) -> Self {
        let buckets = (capacity as usize * 2).next_power_of_two().max(16);
        Self {
            buckets: vec![0; buckets].into(),
            records: Vec::with_capacity(capacity as usize),
            capacity: capacity as usize,
            key: spread(0),
            digest: 0,
        }
    }

    /// Drawn at genesis, so that no maker can choose names that lie in one place.
    pub fn set_key(&mut self, key: u64) {
        self.key = spread(key);
    }

    pub fn has_room(&self) -> bool {
        self.records.len() < self.capacity
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
        #[allow(clippy::cast_possible_truncation, reason = "as many as a u32 says")]
        let record = self.records.len() as u32;
        self.buckets[found.bucket] = found.hash & !RECORD_MASK | u64::from(record + 1);
        self.records.push(QuoteRecord {
            entry_id: ClientOrderId::NONE,
            name,
            slots: [NIL; 2],
            named: false,
        });
        self.digest ^= found.hash.rotate_left(u32::from(name.layer));
        record
    }

    #[inline]
    pub fn record(&self, record: u32) -> &QuoteRecord {
        &self.records[record as usize]
    }

    #[inline]
    pub fn record_mut(&mut self, record: u32) -> &mut QuoteRecord {
        &mut self.records[record as usize]
    }

    /// Key and records, in the order of their coming.
    pub fn save(&self, out: &mut Out) {
        out.words([self.key, self.records.len() as u64]);
        for record in &self.records {
            out.words(name_words(&record.name));
            out.part(&record.entry_id);
            out.words(record.slots.map(u64::from));
        }
    }

    /// Reads what [`QuoteBook::save`] wrote; whether its slots hold what they should is not known here.
    pub fn load(&mut self, input: &mut In<'_>) -> Result<(), SnapshotError> {
        self.key = input.word()?;
        for _ in 0..input.at_most(self.capacity as u64, "quotes")? {
            let name = name_from([input.word()?, input.word()?]);
            let found = self.find(&name);
            if found.record.is_some() {
                return Err(SnapshotError::Damaged("a quote's name twice"));
            }
            let record = self.insert(name, &found);
            self.record_mut(record).entry_id = id_of(input)?;
            for side in [Side::Buy, Side::Sell] {
                let slot: u32 = input.small("a slot")?;
                self.record_mut(record).set_slot(side, slot);
            }
        }
        Ok(())
    }

    /// The name of a record that has this order on a side.
    pub fn name_of(&self, record: u32, side: Side, slot: u32) -> Option<QuoteName> {
        let record = self.records.get(record as usize)?;
        (record.slot(side) == Some(slot)).then_some(record.name)
    }

    /// How many quotes there are.
    pub fn quoted(&self) -> usize {
        let sides = self.records.iter().flat_map(|record| record.slots);
        sides.filter(|&slot| slot != NIL).count()
    }

    /// A new trading day: nothing is quoted, every name is free.
    pub fn clear(&mut self) {
        debug_assert!(
            self.records.iter().all(|record| record.slots == [NIL; 2]),
            "Invariant: quotes end with the day"
        );
        for index in 0..self.records.len() {
            // Every bucket in use is on some name's way.
            let hash = self.hash(&self.records[index].name);
            let mask = self.buckets.len() - 1;
            #[allow(clippy::cast_possible_truncation, reason = "masked")]
            let mut bucket = hash as usize & mask;
            while self.buckets[bucket] != 0 {
                self.buckets[bucket] = 0;
                bucket = (bucket + 1) & mask;
            }
        }
        self.records.clear();
        self.digest = 0;
    }

    /// Of the set of names, whatever order they came in.
    pub fn digest(&self) -> u64 {
        self.digest ^ self.records.len() as u64
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        for bucket in self.buckets.iter_mut().step_by(PAGE_BUCKETS) {
            *bucket = std::hint::black_box(*bucket);
        }
        touch_spare(&mut self.records);
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(self.buckets.as_ptr().cast(), size_of_val(&*self.buckets));
        each(
            self.records.as_ptr().cast(),
            self.capacity * size_of::<QuoteRecord>(),
        );
    }
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
        let mut book = QuoteBook::new(16);
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
        let mut book = QuoteBook::new(1);
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
    fn a_full_table_finds_everything_and_is_empty_after_the_day() {
        let mut book = QuoteBook::new(1_000);
        book.set_key(42);
        let all = |number: u32| name(number % 7, number / 7, (number % 3) as u16, 5);
        for round in 0..2 {
            for number in 0..1_000 {
                assert!(book.has_room(), "round {round}");
                insert(&mut book, all(number));
            }
            assert!(!book.has_room());
            for number in 0..1_000 {
                assert_eq!(book.find(&all(number)).record, Some(number));
            }
            assert_eq!(book.find(&all(1_000)).record, None);
            assert_ne!(book.digest(), 0);
            book.clear();
            assert_eq!(book.digest(), 0);
            assert!(book.buckets.iter().all(|&bucket| bucket == 0));
            assert!((0..1_000).all(|number| book.find(&all(number)).record.is_none()));
        }
    }
}
