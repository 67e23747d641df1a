//! Price levels of all books: paged arrays under a three-level bitmap.
//!
//! A side of a book maps tick indexes to *keys* so that the best price is always the highest key:
//! a bid's key is its tick, an ask's is mirrored. Both sides then share one code path, "the highest
//! bit at or below". 64 levels form a page from a common pool; a page goes back when its last level
//! empties, so memory follows occupied prices, not price ranges.

use zerocopy::FromZeros;

use super::order::{Flags, NIL, Orders, touch};
use crate::limits::PRICE_TICKS_MAX;

const LEVELS_PER_PAGE: usize = 64;
/// Pages that one entry of a side's directory leads to.
const PAGES_PER_BLOCK: usize = 64;
const BLOCKS_PER_SIDE: usize = 64;
/// Sides an instrument has.
pub const SIDES: usize = 4;
const _: () =
    assert!((LEVELS_PER_PAGE * PAGES_PER_BLOCK * BLOCKS_PER_SIDE) as u64 == PRICE_TICKS_MAX);

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

/// The levels of 64 neighbouring keys.
#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(64))]
struct Page {
    levels: [Level; LEVELS_PER_PAGE],
    /// Bit = the level has orders.
    occupied: u64,
    reserved: [u64; 7],
}

struct SideIndex {
    /// Bit = a word of `pages` is not zero.
    top: u64,
    /// Bit = a page has an occupied level.
    pages: [u64; 64],
}

/// Where an occupied level is: found once, used while the level stays occupied. Orders at rest
/// remember theirs.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Place {
    side: u32,
    key: u32,
    page: u32,
}

impl Place {
    /// In no level.
    pub const NOWHERE: Self = Self {
        side: 0,
        key: 0,
        page: NIL,
    };

    /// Which side.
    pub fn side(self) -> u32 {
        self.side
    }

    /// Tick of an order in a book, not of a stop.
    #[inline(always)]
    pub fn tick(self, last_tick: u32) -> u32 {
        if self.side & 1 == 0 {
            self.key
        } else {
            last_tick - self.key
        }
    }

    /// Which key.
    pub fn key(self) -> u32 {
        self.key
    }
}

/// All sides of all books, and the stops that wait beside them. A side is named by
/// `instrument * 4 + (0 bid, 1 ask, 2 buy stop, 3 sell stop)`.
pub struct Ladders {
    /// Highest occupied key of each side of each instrument, `NIL` = empty.
    best: Box<[[u32; SIDES]]>,
    sides: Box<[SideIndex]>,
    /// Block of each (side, word of its bitmap); 0 = nothing is there.
    directory: Box<[[u32; BLOCKS_PER_SIDE]]>,
    /// Page number + 1 of 64 neighbouring pages, 0 = none. Block 0 is empty for good. A block has a page
    /// at least, so there are as many as there are pages, and not 64 for each side there may be.
    blocks: Box<[[u32; PAGES_PER_BLOCK]]>,
    free_blocks: Vec<u32>,
    pages: Box<[Page]>,
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
            best: vec![[NIL; SIDES]; sides / SIDES].into_boxed_slice(),
            sides: (0..sides)
                .map(|_| SideIndex {
                    top: 0,
                    pages: [0; 64],
                })
                .collect(),
            directory: <[[u32; BLOCKS_PER_SIDE]]>::new_box_zeroed_with_elems(sides)
                .expect("Invariant: the directory fits the address space"),
            blocks: <[[u32; PAGES_PER_BLOCK]]>::new_box_zeroed_with_elems(pages as usize + 1)
                .expect("Invariant: the blocks fit the address space"),
            free_blocks: (1..=pages).rev().collect(),
            // Zero pages are touched only as prices are.
            pages: <[Page]>::new_box_zeroed_with_elems(pages as usize)
                .expect("Invariant: the page pool fits the address space"),
            free: (0..pages).rev().collect(),
        }
    }

    /// What the directory says of a key: page number + 1, 0 = none.
    #[inline(always)]
    fn entry(&self, side: u32, key: u32) -> u32 {
        let block = self.directory[side as usize][(key >> 12) as usize % BLOCKS_PER_SIDE];
        self.blocks[block as usize][(key >> 6) as usize % PAGES_PER_BLOCK]
    }

    #[inline(always)]
    fn page(&self, side: u32, key: u32) -> Option<usize> {
        let page = self.entry(side, key);
        (page != 0).then(|| page as usize - 1)
    }

    /// Whether an order can rest at `key`.
    #[inline]
    pub fn has_room(&self, side: u32, key: u32) -> bool {
        !self.free.is_empty() || self.page(side, key).is_some()
    }

    /// Makes the memory resident.
    pub fn touch(&mut self) {
        touch(&mut self.pages);
        touch(&mut self.directory);
        touch(&mut self.blocks);
    }

    /// Start and length of each table.
    pub fn memory(&self, each: &mut impl FnMut(*const u8, usize)) {
        each(self.pages.as_ptr().cast(), size_of_val(&*self.pages));
        each(
            self.directory.as_ptr().cast(),
            size_of_val(&*self.directory),
        );
        each(self.blocks.as_ptr().cast(), size_of_val(&*self.blocks));
        each(self.sides.as_ptr().cast(), size_of_val(&*self.sides));
    }

    pub fn free_pages(&self) -> usize {
        self.free.len()
    }

    /// Highest occupied key, `NIL` = the side is empty.
    #[inline(always)]
    pub fn best(&self, side: u32) -> u32 {
        self.best[side as usize / SIDES][side as usize % SIDES]
    }

    #[inline(always)]
    fn best_mut(&mut self, side: u32) -> &mut u32 {
        &mut self.best[side as usize / SIDES][side as usize % SIDES]
    }

    /// Where a level is in memory, and the last order of it, if there is one; for hints alone.
    #[inline(always)]
    pub fn look_at(&self, side: u32, key: u32) -> (*const u8, Option<u32>) {
        let Some(page) = self.page(side, key) else {
            return (std::ptr::null(), None);
        };
        let level = &self.pages[page].levels[key as usize & 63];
        (std::ptr::from_ref(level).cast(), Some(level.tail))
    }

    /// Where the level of an occupied key is.
    #[inline(always)]
    pub fn place(&self, side: u32, key: u32) -> Place {
        // An empty directory entry gives a page beyond the pool, which the next look refuses.
        let page = self.entry(side, key).wrapping_sub(1);
        Place { side, key, page }
    }

    #[inline(always)]
    pub fn at(&self, place: Place) -> &Level {
        &self.pages[place.page as usize].levels[place.key as usize & 63]
    }

    #[inline(always)]
    pub fn at_mut(&mut self, place: Place) -> &mut Level {
        &mut self.pages[place.page as usize].levels[place.key as usize & 63]
    }

    /// The level at an occupied key.
    pub fn level(&self, side: u32, key: u32) -> &Level {
        self.at(self.place(side, key))
    }

    /// The last order of a level, if there is one.
    pub fn last(&self, side: u32, key: u32) -> Option<u32> {
        let page = &self.pages[self.page(side, key)?];
        let level = &page.levels[(key & 63) as usize];
        (page.occupied & 1 << (key & 63) != 0).then_some(level.tail)
    }

    /// Highest occupied key at or below `key`.
    pub fn at_or_below(&self, side: u32, key: u32) -> Option<u32> {
        let index = &self.sides[side as usize];
        let (word, bit) = ((key >> 12), (key >> 6) & 63);
        if let Some(page) = self.page(side, key) {
            let levels = at_or_below(self.pages[page].occupied, key & 63);
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
        Some(page_key << 6 | highest_bit(self.pages[page].occupied))
    }

    /// Whether anything rests at `key` or above.
    #[inline(always)]
    pub fn reaches(&self, side: u32, key: u32) -> bool {
        // `NIL` + 1 is 0.
        self.best(side).wrapping_add(1) > key
    }

    /// Puts an order at the back of its level. The caller checked [`Ladders::has_room`].
    #[inline]
    pub fn append(&mut self, orders: &mut Orders, side: u32, key: u32, slot: u32) {
        let order = &mut orders.slots[slot as usize];
        let mut hidden = 0;
        if order.hot.flags.any(Flags::ICEBERG) {
            hidden = orders.extra[slot as usize].hidden;
        }
        let (place, before) = self.join(side, key, slot, order.hot.leaves, hidden);
        order.place = place;
        order.hot.prev = before;
        if before != NIL {
            orders.slots[before as usize].hot.next = slot;
        }
    }

    /// The level's part of [`Ladders::append`]: returns where the level is, and the order before
    /// this one, whose next one it is now; `NIL` = it is the first.
    #[inline(always)]
    pub fn join(
        &mut self,
        side: u32,
        key: u32,
        slot: u32,
        leaves: u64,
        hidden: u64,
    ) -> (Place, u32) {
        let mut page = self.entry(side, key).wrapping_sub(1);
        if page == NIL {
            page = self.open_page(side, key);
        }
        let at = &mut self.pages[page as usize];
        let level = &mut at.levels[key as usize & 63];
        let before = if level.count == 0 {
            at.occupied |= 1 << (key & 63);
            *level = Level {
                lots: leaves,
                head: slot,
                tail: slot,
                count: 1,
                reserved: 0,
                hidden,
            };
            let best = self.best_mut(side);
            // `NIL` + 1 is 0: every key is better than none.
            if key >= best.wrapping_add(1) {
                *best = key;
            }
            NIL
        } else {
            level.lots += leaves;
            level.hidden += hidden;
            level.count += 1;
            std::mem::replace(&mut level.tail, slot)
        };
        (Place { side, key, page }, before)
    }

    /// The first order in 64 keys.
    #[cold]
    fn open_page(&mut self, side: u32, key: u32) -> u32 {
        let page = self
            .free
            .pop()
            .expect("Invariant: room for a page was checked");
        let block = &mut self.directory[side as usize][(key >> 12) as usize % BLOCKS_PER_SIDE];
        if *block == 0 {
            *block = (self.free_blocks)
                .pop()
                .expect("Invariant: every block in use has a page");
        }
        self.blocks[*block as usize][(key >> 6) as usize % PAGES_PER_BLOCK] = page + 1;
        let index = &mut self.sides[side as usize];
        index.pages[(key >> 12) as usize] |= 1 << ((key >> 6) & 63);
        index.top |= 1 << (key >> 12);
        page
    }

    /// Takes an order out of its level. Its leaves still count in the level's lots.
    #[inline(always)]
    pub fn remove(&mut self, orders: &mut Orders, place: Place, slot: u32) {
        let hot = &mut orders.slots[slot as usize].hot;
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
            prev => orders.slots[prev as usize].hot.next = next,
        }
        match next {
            NIL => level.tail = prev,
            next => orders.slots[next as usize].hot.prev = prev,
        }
    }

    /// The level is empty now.
    #[inline]
    fn vacate(&mut self, place: Place) {
        let Place { side, key, page } = place;
        let occupied = &mut self.pages[page as usize].occupied;
        *occupied &= !(1 << (key & 63));
        let left = *occupied;
        if self.best(side) == key {
            // What is left of this page is below.
            *self.best_mut(side) = if left == 0 {
                self.next_below(side, key)
            } else {
                key & !63 | highest_bit(left)
            };
        }
        if left == 0 {
            self.close_page(place);
        }
    }

    /// Highest occupied key of the pages below this key's, `NIL` = none.
    #[inline(never)]
    fn next_below(&self, side: u32, key: u32) -> u32 {
        (key & !63)
            .checked_sub(1)
            .and_then(|below| self.at_or_below(side, below))
            .unwrap_or(NIL)
    }

    /// The last order in 64 keys is gone.
    #[inline(never)]
    fn close_page(&mut self, place: Place) {
        let Place { side, key, page } = place;
        let block = &mut self.directory[side as usize][(key >> 12) as usize % BLOCKS_PER_SIDE];
        self.blocks[*block as usize][(key >> 6) as usize % PAGES_PER_BLOCK] = 0;
        self.free.push(page);
        let index = &mut self.sides[side as usize];
        let word = &mut index.pages[(key >> 12) as usize];
        *word &= !(1 << ((key >> 6) & 63));
        if *word == 0 {
            index.top &= !(1 << (key >> 12));
            self.free_blocks.push(std::mem::take(block));
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
