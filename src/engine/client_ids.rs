//! ClientOrderIds of the trading day: which were used, and where their orders are.
//!
//! One open-addressing table, at most half full, never iterated. An entry is 90 bits of a keyed hash
//! of (session, id), and a slot: two different ids of a venue that uses ten million a day share an
//! entry with a probability of a few in 10^14. The key is drawn at genesis and is in the log, so the
//! table is the same in every replay and nobody outside can aim at a bucket.
//! Clients count, so four binary ids in a row begin next to each other, in one line of the cache
//! where the allocator gives large tables whole lines; which line, the hash says. Where a place is
//! taken the look goes on `STRIDE` further: a line that four ids want is then no queue of eight, and
//! looks are as long as if each id had a hash of its own.
//! Entries leave only at the day roll, all at once, so there is no deletion to get wrong.

use trading_engine_protocol::types::{ClientOrderId, OrderStatus, SessionId};

use super::order::NIL;
use super::snapshot::{In, Out, SnapshotError};
use zerocopy::FromZeros;

#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
struct Entry {
    /// 0 = empty.
    fingerprint: u64,
    /// Low 28 bits: more of the hash. High 4 bits: `OrderStatus` once the order ended, 15 = open
    /// or never accepted.
    tail: u32,
    /// Slot of the order, `NIL` = refused.
    slot: u32,
}

/// Entries in a page of memory.
const PAGE_ENTRIES: usize = 4096 / size_of::<Entry>();

const EMPTY: Entry = Entry {
    fingerprint: 0,
    tail: 0,
    slot: 0,
};
const TAIL_BITS: u32 = 28;
const TAIL_MASK: u32 = (1 << TAIL_BITS) - 1;
const STATUS_OPEN: u32 = 15;
/// From a bucket that is taken to the next to look at; odd, so that every bucket's turn comes.
const STRIDE: usize = 5;
/// What `ClientIds::first` can name.
const BUCKETS_MAX: usize = 1 << (TAIL_BITS + 2);

/// A hashed id.
#[derive(Clone, Copy)]
pub(super) struct IdHash {
    fingerprint: u64,
    tail: u32,
}

/// What the table knows of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Slot its order had, `None` = it was refused.
    pub slot: Option<u32>,
    /// How its order ended, if it did under this id.
    pub ended: Option<OrderStatus>,
}

pub(super) struct ClientIds {
    entries: Box<[Entry]>,
    /// Buckets in use, the first `count`, for the day roll.
    used: Box<[u32]>,
    count: usize,
    key: u64,
}

/// Where an id may be recorded.
pub(super) struct Vacancy<'a> {
    hash: IdHash,
    bucket: u32,
    entry: &'a mut Entry,
    /// Its place among those in use.
    used: &'a mut u32,
    count: &'a mut usize,
}

impl Vacancy<'_> {
    /// Records the id with its order's slot, `NIL` = it has none yet. Returns the bucket.
    #[inline(always)]
    pub fn fill(self, slot: u32) -> u32 {
        let hash = self.hash;
        *self.entry = Entry {
            fingerprint: hash.fingerprint,
            tail: hash.tail | STATUS_OPEN << TAIL_BITS,
            slot,
        };
        *self.used = self.bucket;
        *self.count += 1;
        self.bucket
    }
}

/// Multiplies to 128 bits and folds: every input bit reaches every output bit, if neither factor
/// is small.
#[inline(always)]
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
    {
        product as u64 ^ (product >> 64) as u64
    }
}

/// Spreads a key over all bits (SplitMix64's finisher): a small key would make factors small, and
/// ids near it equal.
pub(super) fn spread(key: u64) -> u64 {
    let mut key = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    key = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    key = (key ^ key >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ key >> 31
}

impl ClientIds {
    pub fn new(capacity: u32) -> Self {
        let buckets = (capacity as usize * 2).next_power_of_two().max(16);
        assert!(
            buckets <= BUCKETS_MAX,
            "Invariant: every bucket can be where a look begins"
        );
        Self {
            // Zero pages are touched only as ids come.
            entries: <[Entry]>::new_box_zeroed_with_elems(buckets)
                .expect("Invariant: the id table fits the address space"),
            used: <[u32]>::new_box_zeroed_with_elems(capacity as usize)
                .expect("Invariant: the id table fits the address space"),
            count: 0,
            key: spread(0),
        }
    }

    pub fn set_key(&mut self, key: u64) {
        self.key = spread(key);
    }

    fn in_use(&self) -> &[u32] {
        &self.used[..self.count]
    }

    pub fn has_room(&self) -> bool {
        self.count < self.used.len()
    }

    #[inline(always)]
    pub fn hash(&self, session: SessionId, id: &ClientOrderId) -> IdHash {
        let words = id.words();
        let key = self.key;
        let whose = u64::from(session.0) ^ key.rotate_left(31);
        // A binary id is one word, and is hashed as one. Its two low bits are taken as they are: they
        // tell ids of a line apart, and are the place in it. The session is in both halves: the same
        // number of two sessions is as unlikely to be taken for one as two numbers are.
        let (first, second) = if let Some(number) = id.as_number() {
            let (four, place) = (number >> 2, number & 3);
            let line = fold(four ^ key, whose ^ 0x5899_65CC_7537_4CC3);
            let other = key.rotate_left(17) ^ 0xA076_1D64_78BD_642F;
            let second = fold(four ^ other, line ^ whose ^ 0x1D8E_4E27_C47D_124F);
            (line << 2 | place, second)
        } else {
            let a = fold(words[0] ^ key, words[4] ^ 0xA076_1D64_78BD_642F);
            let b = fold(
                words[1] ^ key.rotate_left(17),
                words[2] ^ 0xE703_7ED1_A0B4_28DB,
            );
            let c = fold(words[3] ^ 0x8EBC_6AF0_9C88_C6E3, whose);
            let first = fold(a ^ b.rotate_left(23), c ^ 0x5899_65CC_7537_4CC3);
            let other = b ^ c.rotate_left(41) ^ 0x1D8E_4E27_C47D_124F;
            (first, fold(first ^ a, other))
        };
        #[allow(clippy::cast_possible_truncation, reason = "28 bits are kept")]
        IdHash {
            fingerprint: first.max(1),
            tail: (second >> 32) as u32 & TAIL_MASK,
        }
    }

    /// The bucket where a look for the id begins: a line by the second hash, whose factors are both
    /// large and unlike each other whatever the ids are, and the place in it.
    #[inline(always)]
    fn first(&self, hash: IdHash) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "two bits")]
        let place = hash.fingerprint as usize & 3;
        ((hash.tail as usize) << 2 | place) & (self.entries.len() - 1)
    }

    /// Bucket of the id, or the empty one where it would go.
    #[inline(always)]
    fn probe(&self, hash: IdHash) -> (u32, bool) {
        let mask = self.entries.len() - 1;
        let mut bucket = self.first(hash);
        #[allow(clippy::cast_possible_truncation, reason = "at most 2^32 entries")]
        // Ends: the table is at most half full.
        loop {
            let entry = &self.entries[bucket];
            if entry.fingerprint == 0 {
                return (bucket as u32, false);
            }
            if entry.fingerprint == hash.fingerprint && entry.tail & TAIL_MASK == hash.tail {
                return (bucket as u32, true);
            }
            bucket = (bucket + STRIDE) & mask;
        }
    }

    /// The place of an id that is not there, if there is one more to be had.
    #[inline(always)]
    pub fn vacancy(&mut self, hash: IdHash) -> Option<Vacancy<'_>> {
        let (bucket, found) = self.probe(hash);
        if found {
            return None;
        }
        Some(Vacancy {
            hash,
            bucket,
            entry: &mut self.entries[bucket as usize],
            used: self.used.get_mut(self.count)?,
            count: &mut self.count,
        })
    }

    /// Where an id is, and the slot that its order has or had.
    #[inline(always)]
    pub fn leads_to(&self, hash: IdHash) -> Option<(u32, u32)> {
        let (bucket, found) = self.probe(hash);
        found.then(|| (bucket, self.entries[bucket as usize].slot))
    }

    pub fn find(&self, hash: IdHash) -> Option<Known> {
        let (bucket, found) = self.probe(hash);
        if !found {
            return None;
        }
        let entry = &self.entries[bucket as usize];
        let status = entry.tail >> TAIL_BITS;
        Some(Known {
            slot: (entry.slot != NIL).then_some(entry.slot),
            ended: u8::try_from(status)
                .ok()
                .and_then(|status| OrderStatus::try_from(status).ok())
                .filter(|_| status != STATUS_OPEN),
        })
    }

    /// Records an id; `None` when it is there already. The caller checked [`ClientIds::has_room`].
    #[inline(always)]
    pub fn insert(&mut self, hash: IdHash) -> Option<u32> {
        let vacancy = self.vacancy(hash)?;
        Some(vacancy.fill(NIL))
    }

    /// The id's order got a slot.
    #[inline]
    pub fn set_slot(&mut self, bucket: u32, slot: u32) {
        self.entries[bucket as usize].slot = slot;
    }

    /// The id's order ended.
    #[inline]
    pub fn set_ended(&mut self, bucket: u32, status: OrderStatus) {
        let entry = &mut self.entries[bucket as usize];
        entry.tail = entry.tail & TAIL_MASK | u32::from(status.as_u8()) << TAIL_BITS;
    }

    /// The id's order, if it ended filled, ended canceled: less of it was left of its fills.
    pub fn unfill(&mut self, hash: IdHash) {
        let (bucket, found) = self.probe(hash);
        let is_filled = found
            && self.entries[bucket as usize].tail >> TAIL_BITS
                == u32::from(OrderStatus::Filled.as_u8());
        if is_filled {
            self.set_ended(bucket, OrderStatus::Canceled);
        }
    }

    /// Key and entries, in the order of their coming. There are `slots` of orders: an id whose order ended in one behind
    /// them leads to the first, where an order never has that id while this entry is there.
    pub fn save(&self, slots: u32, out: &mut Out) {
        out.words([self.key, self.count as u64]);
        for &bucket in self.in_use() {
            let entry = &self.entries[bucket as usize];
            let slot = match entry.slot {
                NIL => NIL,
                slot if slot < slots => slot,
                _ => 0,
            };
            out.words([
                entry.fingerprint,
                u64::from(entry.tail) << 32 | u64::from(slot),
            ]);
        }
    }

    /// For each bucket, which of the entries in the order of their coming is there.
    pub fn places(&self) -> Vec<u32> {
        let mut places = vec![NIL; self.entries.len()];
        for (&bucket, index) in self.in_use().iter().zip(0..) {
            places[bucket as usize] = index;
        }
        places
    }

    /// Reads what [`ClientIds::save`] wrote. Returns the bucket of each entry.
    pub fn load(&mut self, input: &mut In<'_>) -> Result<Vec<u32>, SnapshotError> {
        self.key = input.word()?;
        let count = input.at_most(self.used.len() as u64, "client order ids")?;
        let mut buckets = Vec::new();
        for _ in 0..count {
            let fingerprint = input.word()?;
            let both = input.word()?;
            #[allow(clippy::cast_possible_truncation, reason = "both halves")]
            let (tail, slot) = ((both >> 32) as u32, both as u32);
            let hash = IdHash {
                fingerprint,
                tail: tail & TAIL_MASK,
            };
            if fingerprint == 0 {
                return Err(SnapshotError::Damaged("a client order id"));
            }
            let bucket = self
                .insert(hash)
                .ok_or(SnapshotError::Damaged("an id twice"))?;
            let entry = &mut self.entries[bucket as usize];
            (entry.tail, entry.slot) = (tail, slot);
            buckets.push(bucket);
        }
        Ok(buckets)
    }

    /// Whether every id's slot is one of the first so many.
    pub fn lead_below(&self, slots: u32) -> bool {
        self.in_use().iter().all(|&bucket| {
            let slot = self.entries[bucket as usize].slot;
            slot == NIL || slot < slots
        })
    }

    /// Whether an id is in a bucket, and leads to a slot.
    pub fn leads(&self, hash: IdHash, bucket: u32, slot: u32) -> bool {
        self.probe(hash) == (bucket, true) && self.entries[bucket as usize].slot == slot
    }

    /// A new trading day: all ids are to be free again, and so many are now. Returns whether there are
    /// more; until there are none, nothing may be looked up.
    pub fn forget(&mut self, most: usize) -> bool {
        let kept = self.count.saturating_sub(most);
        for &bucket in &self.used[kept..self.count] {
            self.entries[bucket as usize] = EMPTY;
        }
        self.count = kept;
        kept != 0
    }

    /// The bucket where a look for the id begins, and its address.
    #[inline(always)]
    pub fn begins(&self, session: SessionId, id: &ClientOrderId) -> (u32, *const u8) {
        let bucket = self.first(self.hash(session, id));
        // A table without entries, which there is not, has no address.
        let entry = self.entries.get(bucket);
        let address = entry.map_or(std::ptr::null(), std::ptr::from_ref);
        #[allow(clippy::cast_possible_truncation, reason = "fewer than 2^32 entries")]
        (bucket as u32, address.cast())
    }

    /// The slot that a bucket names, if it names one.
    #[inline(always)]
    pub fn slot_in(&self, bucket: u32) -> Option<u32> {
        self.entries.get(bucket as usize).map(|entry| entry.slot)
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        for entry in self.entries.iter_mut().step_by(PAGE_ENTRIES) {
            *entry = std::hint::black_box(*entry);
        }
        for bucket in self.used.iter_mut().step_by(PAGE_ENTRIES) {
            *bucket = std::hint::black_box(*bucket);
        }
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(self.entries.as_ptr().cast(), size_of_val(&*self.entries));
        each(self.used.as_ptr().cast(), size_of_val(&*self.used));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_per_session_until_the_day_rolls() {
        let mut ids = ClientIds::new(1_000);
        let id = ClientOrderId::from_u64(7);
        let mine = ids.hash(SessionId(1), &id);
        let theirs = ids.hash(SessionId(2), &id);
        let bucket = ids.insert(mine).unwrap();
        assert_eq!(ids.insert(mine), None);
        assert_eq!(ids.find(theirs), None);
        assert_eq!(
            ids.find(mine),
            Some(Known {
                slot: None,
                ended: None
            })
        );
        ids.set_slot(bucket, 3);
        ids.set_ended(bucket, OrderStatus::Filled);
        assert_eq!(
            ids.find(mine),
            Some(Known {
                slot: Some(3),
                ended: Some(OrderStatus::Filled)
            })
        );
        assert!(!ids.forget(2));
        assert_eq!(ids.find(mine), None);
        assert_eq!(ids.count, 0);
    }

    /// Whatever the key: a small one, and numbers near it, once made other sessions' ids equal.
    #[test]
    fn different_ids_and_sessions_have_different_hashes() {
        for key in [0, 1, 42, 1_000, 0x5899_65CC_7537_4CC3, u64::MAX] {
            let mut ids = ClientIds::new(1);
            ids.set_key(key);
            let numbers = (1..=1_000).chain([1 << 40 ^ key, 1 << 41 ^ key.rotate_left(17)]);
            let numbers = numbers.map(ClientOrderId::from_u64);
            let texts = (1..=1_000)
                .map(|number: u64| ClientOrderId::from_text(number.to_string().as_bytes()));
            let all: Vec<_> = numbers.chain(texts.map(Result::unwrap)).collect();
            let mut hashes: Vec<u64> = (1..=20)
                .flat_map(|session| all.iter().map(move |id| (SessionId(session), id)))
                .map(|(session, id)| ids.hash(session, id).fingerprint)
                .collect();
            hashes.sort_unstable();
            assert!(hashes.windows(2).all(|two| two[0] != two[1]), "key {key}");
        }
    }

    /// Numbers in a row begin in one line, and lines are as if they were drawn, whatever the key and
    /// however ids are made.
    #[test]
    fn ids_are_next_to_each_other_by_fours_and_looks_stay_short() {
        const IDS: u64 = 1 << 12;
        // Hundredths of a look more than one, which drawn places would take: 50; of one place in each
        // line, 110.
        type Pattern = (&'static str, u64, fn(u64) -> (u32, u64));
        let patterns: [Pattern; 5] = [
            ("in a row", 90, |at| (1, at + 4)),
            ("of 100 sessions", 90, |at| {
                (at as u32 % 100 + 1, at / 100 + 4)
            }),
            ("every fourth", 150, |at| (1, at * 4 + 4)),
            ("under a count", 90, |at| {
                (1, ((at + 1) << 32) | (at * 7 % 1_000))
            }),
            ("far apart", 150, |at| (1, (at + 1) << 33)),
        ];
        for (what, most, id_of) in patterns {
            for key in 0..300 {
                let mut ids = ClientIds::new(IDS as u32);
                ids.set_key(key * 7_919);
                let mut more = 0;
                for at in 0..IDS {
                    let (session, number) = id_of(at);
                    let of = |number| (SessionId(session), ClientOrderId::from_u64(number));
                    let [hash, next] = [number, number ^ 1].map(|number| {
                        let (session, id) = of(number);
                        ids.hash(session, &id)
                    });
                    let first = ids.first(hash);
                    assert_eq!(ids.first(next), first ^ 1, "{what}");
                    let bucket = ids.insert(hash).expect("a new id") as usize;
                    let mut look = first;
                    while look != bucket {
                        look = (look + STRIDE) & (ids.entries.len() - 1);
                        more += 1;
                    }
                }
                let mean = more * 100 / IDS;
                assert!(mean < most, "{what}, key {key}: {mean}");
            }
        }
    }

    /// Or one pair in 2^62 would be taken for one.
    #[test]
    fn a_number_of_many_sessions_differs_in_both_halves() {
        let ids = ClientIds::new(1);
        for number in 1..=100 {
            let id = ClientOrderId::from_u64(number);
            let mut tails: Vec<u32> = (1..=100)
                .map(|session| ids.hash(SessionId(session), &id).tail)
                .collect();
            tails.sort_unstable();
            tails.dedup();
            assert_eq!(tails.len(), 100);
        }
    }

    #[test]
    fn a_full_table_is_forgotten_in_parts() {
        let mut ids = ClientIds::new(1_000);
        for number in 1..=1_000 {
            ids.insert(ids.hash(SessionId(1), &ClientOrderId::from_u64(number)))
                .unwrap();
        }
        let parts = std::iter::from_fn(|| ids.forget(300).then_some(())).count();
        assert_eq!(parts, 3);
        assert!(ids.entries.iter().all(|entry| entry.fingerprint == 0));
        assert!(!ids.forget(300));
    }

    #[test]
    fn a_full_table_still_finds_everything() {
        let mut ids = ClientIds::new(1_000);
        for number in 1..=1_000 {
            assert!(ids.has_room());
            ids.insert(ids.hash(SessionId(1), &ClientOrderId::from_u64(number)))
                .unwrap();
        }
        assert!(!ids.has_room());
        for number in 1..=2_000 {
            let hash = ids.hash(SessionId(1), &ClientOrderId::from_u64(number));
            assert_eq!(ids.find(hash).is_some(), number <= 1_000);
        }
    }
}
