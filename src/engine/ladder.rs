//! Price levels of all books: paged arrays under a three-level bitmap.
//!
//! A side of a book maps tick indexes to *keys* so that the best price is always the highest key:
//! a bid's key is its tick, an ask's is mirrored. Both sides then share one code path, "the highest
//! bit at or below". 64 levels form a page from a common pool; a page goes back when its last level
//! empties, so memory follows occupied prices, not price ranges.

use zerocopy::FromZeros;

use super::order::{Flags, NIL, Orders};
use crate::limits::PRICE_TICKS_MAX;

const LEVELS_PER_PAGE: usize = 64;
const PAGES_PER_SIDE: usize = 64 * 64;
/// Sides an instrument has.
pub const SIDES: usize = 4;
const _: () = assert!((LEVELS_PER_PAGE * PAGES_PER_SIDE) as u64 == PRICE_TICKS_MAX);

/// One price.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
#[repr(C)]
pub struct Level {
    /// Sum of its orders' leaves.
    pub lots: u64,
    /// First in time.
    pub head: u32,
    /// Last in time.
    pub tail: u32,
    /// Orders.
    pub count: u32,
    reserved: u32,
    /// Sum of what its orders do not show.
    pub hidden: u64,
}

const _: () = assert!(size_of::<Level>() == 32);

struct SideIndex {
    /// Bit = a word of `pages` is not zero.
    top: u64,
    /// Bit = a page has an occupied level.
    pages: [u64; 64],
}

/// Where an occupied level is: found once, used while the level stays occupied.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    side: u32,
    key: u32,
    page: u32,
}

impl Place {
    /// Which side.
    pub fn side(self) -> u32 {
        self.side
    }

    /// Which key.
    pub fn key(self) -> u32 {
        self.key
    }
}

/// All sides of all books, and the stops that wait beside them. A side is named by
/// `instrument * 4 + (0 bid, 1 ask, 2 buy stop, 3 sell stop)`.
pub struct Ladders {
    /// Highest occupied key of each side, `NIL` = empty.
    best: Box<[u32]>,
    sides: Box<[SideIndex]>,
    /// Page number + 1 per (side, page), 0 = none.
    directory: Box<[u32]>,
    levels: Box<[[Level; LEVELS_PER_PAGE]]>,
    /// Occupied levels per page.
    occupied: Box<[u64]>,
    /// Free pages, last in, first out.
    free: Vec<u32>,
}

#[inline(always)]
fn highest_bit(word: u64) -> u32 {
    63 - word.leading_zeros()
}

/// Bits at or below `bit`.
#[inline(always)]
fn at_or_below(word: u64, bit: u32) -> u64 {
    word & (u64::MAX >> (63 - bit))
}

impl Ladders {
    pub fn new(instruments: u32, pages: u32) -> Self {
        let sides = (instruments as usize + 1) * SIDES;
        Self {
            best: vec![NIL; sides].into_boxed_slice(),
            sides: (0..sides)
                .map(|_| SideIndex {
                    top: 0,
                    pages: [0; 64],
                })
                .collect(),
            directory: vec![0; sides * PAGES_PER_SIDE].into_boxed_slice(),
            // Zero pages are touched only as prices are.
            levels: <[[Level; LEVELS_PER_PAGE]]>::new_box_zeroed_with_elems(pages as usize)
                .expect("Invariant: the page pool fits the address space"),
            occupied: vec![0; pages as usize].into_boxed_slice(),
            free: (0..pages).rev().collect(),
        }
    }

    #[inline(always)]
    fn page(&self, side: u32, key: u32) -> Option<usize> {
        let page = self.directory[side as usize * PAGES_PER_SIDE + (key >> 6) as usize];
        (page != 0).then(|| page as usize - 1)
    }

    /// Whether an order can rest at `key`.
    #[inline]
    pub fn has_room(&self, side: u32, key: u32) -> bool {
        !self.free.is_empty() || self.page(side, key).is_some()
    }

    /// Makes the levels resident; the directory is touched as instruments trade.
    pub fn touch(&mut self) {
        for page in &mut self.levels {
            page[0] = std::hint::black_box(page[0]);
        }
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(self.levels.as_ptr().cast(), size_of_val(&*self.levels));
        each(
            self.directory.as_ptr().cast(),
            size_of_val(&*self.directory),
        );
    }

    pub fn free_pages(&self) -> usize {
        self.free.len()
    }

    /// Highest occupied key, `NIL` = the side is empty.
    #[inline(always)]
    pub fn best(&self, side: u32) -> u32 {
        self.best[side as usize]
    }

    /// Where the level of an occupied key is.
    #[inline(always)]
    pub fn place(&self, side: u32, key: u32) -> Place {
        // An empty directory entry gives a page beyond the pool, which the next look refuses.
        let page = self.directory[side as usize * PAGES_PER_SIDE + (key >> 6) as usize];
        let page = page.wrapping_sub(1);
        Place { side, key, page }
    }

    #[inline(always)]
    pub fn at(&self, place: Place) -> &Level {
        &self.levels[place.page as usize][place.key as usize & 63]
    }

    #[inline(always)]
    pub fn at_mut(&mut self, place: Place) -> &mut Level {
        &mut self.levels[place.page as usize][place.key as usize & 63]
    }

    /// The level at an occupied key.
    pub fn level(&self, side: u32, key: u32) -> &Level {
        self.at(self.place(side, key))
    }

    /// Highest occupied key at or below `key`.
    pub fn at_or_below(&self, side: u32, key: u32) -> Option<u32> {
        let index = &self.sides[side as usize];
        let (word, bit) = ((key >> 12), (key >> 6) & 63);
        if let Some(page) = self.page(side, key) {
            let levels = at_or_below(self.occupied[page], key & 63);
            if levels != 0 {
                return Some(key & !63 | highest_bit(levels));
            }
        }
        let below = if bit == 0 {
            0
        } else {
            at_or_below(index.pages[word as usize], bit - 1)
        };
        let page_key = if below != 0 {
            word << 6 | highest_bit(below)
        } else {
            let words = if word == 0 {
                0
            } else {
                at_or_below(index.top, word - 1)
            };
            if words == 0 {
                return None;
            }
            let word = highest_bit(words);
            word << 6 | highest_bit(index.pages[word as usize])
        };
        let page = self.page(side, page_key << 6)?;
        Some(page_key << 6 | highest_bit(self.occupied[page]))
    }

    /// Puts an order at the back of its level. The caller checked [`Ladders::has_room`].
    #[inline]
    pub fn append(&mut self, orders: &mut Orders, side: u32, key: u32, slot: u32) {
        let entry = side as usize * PAGES_PER_SIDE + (key >> 6) as usize;
        if self.directory[entry] == 0 {
            let page = self
                .free
                .pop()
                .expect("Invariant: room for a page was checked");
            self.directory[entry] = page + 1;
            let index = &mut self.sides[side as usize];
            index.pages[(key >> 12) as usize] |= 1 << ((key >> 6) & 63);
            index.top |= 1 << (key >> 12);
        }
        let page = self.directory[entry] as usize - 1;
        let bit = 1u64 << (key & 63);
        let level = &mut self.levels[page][key as usize & 63];
        let hot = &orders.hot[slot as usize];
        let leaves = hot.leaves;
        let hidden = if hot.flags.any(Flags::ICEBERG) {
            orders.extra[slot as usize].hidden
        } else {
            0
        };
        if self.occupied[page] & bit == 0 {
            self.occupied[page] |= bit;
            *level = Level {
                lots: leaves,
                head: slot,
                tail: slot,
                count: 1,
                reserved: 0,
                hidden,
            };
            let best = &mut self.best[side as usize];
            if *best == NIL || key > *best {
                *best = key;
            }
        } else {
            let tail = level.tail;
            orders.hot[tail as usize].next = slot;
            orders.hot[slot as usize].prev = tail;
            level.tail = slot;
            level.lots += leaves;
            level.hidden += hidden;
            level.count += 1;
        }
    }

    /// Takes an order out of its level. Its leaves still count in the level's lots.
    #[inline(always)]
    pub fn remove(&mut self, orders: &mut Orders, place: Place, slot: u32) {
        let hot = &mut orders.hot[slot as usize];
        let (prev, next, leaves) = (hot.prev, hot.next, hot.leaves);
        hot.next = NIL;
        hot.prev = NIL;
        let iceberg = hot.flags.any(Flags::ICEBERG);
        let level = self.at_mut(place);
        debug_assert!(level.count > 0, "Invariant: the order's level counts it");
        level.lots -= leaves;
        if iceberg {
            level.hidden -= orders.extra[slot as usize].hidden;
        }
        level.count -= 1;
        if level.count == 0 {
            debug_assert!(level.lots == 0, "Invariant: an empty level has no lots");
            self.vacate(place);
            return;
        }
        match prev {
            NIL => level.head = next,
            prev => orders.hot[prev as usize].next = next,
        }
        match next {
            NIL => level.tail = prev,
            next => orders.hot[next as usize].prev = prev,
        }
    }

    fn vacate(&mut self, place: Place) {
        let Place { side, key, page } = place;
        let occupied = &mut self.occupied[page as usize];
        *occupied &= !(1 << (key & 63));
        if *occupied == 0 {
            self.directory[side as usize * PAGES_PER_SIDE + (key >> 6) as usize] = 0;
            self.free.push(page);
            let index = &mut self.sides[side as usize];
            let word = &mut index.pages[(key >> 12) as usize];
            *word &= !(1 << ((key >> 6) & 63));
            if *word == 0 {
                index.top &= !(1 << (key >> 12));
            }
        }
        if self.best[side as usize] == key {
            let below = at_or_below(self.occupied[page as usize], key & 63);
            self.best[side as usize] = if below == 0 {
                self.at_or_below(side, key).unwrap_or(NIL)
            } else {
                key & !63 | highest_bit(below)
            };
        }
    }

    /// Occupied keys of a side, best first.
    pub fn keys(&self, side: u32) -> impl Iterator<Item = u32> + '_ {
        let mut next = match self.best(side) {
            NIL => None,
            key => Some(key),
        };
        std::iter::from_fn(move || {
            let key = next?;
            next = key
                .checked_sub(1)
                .and_then(|below| self.at_or_below(side, below));
            Some(key)
        })
    }
}
