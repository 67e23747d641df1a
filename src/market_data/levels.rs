//! One side of a book by price: pages of 64 neighbouring ticks, best page last. Where orders come
//! and go, near the best price, a change is a look at the last page or two; a side as deep as the
//! price limits allow has 4096 pages.

use trading_engine_protocol::types::Side;

/// What rests at one price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// Lots everyone may see.
    pub lots: u64,
    pub orders: u64,
}

const PAGE: usize = 64;

struct Page {
    /// Levels with orders.
    used: u64,
    levels: [Level; PAGE],
}

/// A side.
pub(super) struct Levels {
    side: Side,
    /// Price limit and tick of the instrument: what numbers ticks.
    base: i64,
    tick: i64,
    /// Ascending by number; none is empty.
    pages: Vec<(i64, Box<Page>)>,
    /// An emptied page is kept for the next one that is needed.
    spare: Option<Box<Page>>,
    count: u64,
}

impl Levels {
    pub fn new(side: Side) -> Self {
        Self {
            side,
            base: 0,
            tick: 1,
            pages: Vec::new(),
            spare: None,
            count: 0,
        }
    }

    /// How prices are numbered. Only while there are none: an instrument's never change.
    pub fn set_ticks(&mut self, base: i64, tick: u64) {
        if self.pages.is_empty() {
            self.base = base;
            self.tick = i64::try_from(tick).unwrap_or(i64::MAX).max(1);
        }
    }

    /// Higher is better.
    #[inline]
    fn rank(&self, price: i64) -> i64 {
        let distance = price.wrapping_sub(self.base);
        let number = if self.tick == 1 {
            distance
        } else {
            distance.div_euclid(self.tick)
        };
        match self.side {
            Side::Buy => number,
            Side::Sell => !number,
        }
    }

    fn price(&self, rank: i64) -> i64 {
        let number = match self.side {
            Side::Buy => rank,
            Side::Sell => !rank,
        };
        self.base.wrapping_add(number.wrapping_mul(self.tick))
    }

    #[inline]
    fn place(&self, page: i64) -> Result<usize, usize> {
        match self.pages.last() {
            None => Err(0),
            Some((last, _)) if *last == page => Ok(self.pages.len() - 1),
            Some((last, _)) if *last < page => Err(self.pages.len()),
            Some(_) => self
                .pages
                .binary_search_by_key(&page, |(number, _)| *number),
        }
    }

    #[inline]
    fn split(rank: i64) -> (i64, usize) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "masked to six bits"
        )]
        let within = (rank & (PAGE as i64 - 1)) as usize;
        (rank >> PAGE.trailing_zeros(), within)
    }

    /// So many lots more at a price, and an order more or none.
    #[inline]
    pub fn add(&mut self, price: i64, lots: u64, orders: u64) {
        let (page, within) = Self::split(self.rank(price));
        let place = match self.place(page) {
            Ok(place) => place,
            Err(place) => {
                let new = self.spare.take().unwrap_or_else(|| {
                    Box::new(Page {
                        used: 0,
                        levels: [Level::default(); PAGE],
                    })
                });
                self.pages.insert(place, (page, new));
                place
            }
        };
        let page = &mut self.pages[place].1;
        let level = &mut page.levels[within];
        level.lots += lots;
        level.orders += orders;
        let bit = 1 << within;
        self.count += u64::from(page.used & bit == 0);
        page.used |= bit;
    }

    /// So many less. What is not there is not taken.
    #[inline]
    pub fn take(&mut self, price: i64, lots: u64, orders: u64) {
        let (page, within) = Self::split(self.rank(price));
        let Ok(place) = self.place(page) else {
            return;
        };
        let page = &mut self.pages[place].1;
        let level = &mut page.levels[within];
        debug_assert!(
            level.orders >= orders && level.lots >= lots,
            "Invariant: what is taken off a level was put there"
        );
        level.lots = level.lots.saturating_sub(lots);
        level.orders = level.orders.saturating_sub(orders);
        if level.orders > 0 {
            return;
        }
        *level = Level::default();
        self.count -= u64::from(page.used & 1 << within != 0);
        page.used &= !(1 << within);
        if page.used == 0 {
            let (_, empty) = self.pages.remove(place);
            self.spare = Some(empty);
        }
    }

    /// Prices with orders.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Best first.
    pub fn iter(&self) -> impl Iterator<Item = (i64, Level)> + '_ {
        self.pages.iter().rev().flat_map(move |(number, page)| {
            let mut left = page.used;
            std::iter::from_fn(move || {
                let within = left.checked_ilog2()?;
                left &= !(1 << within);
                let rank = (number << PAGE.trailing_zeros()) + i64::from(within);
                Some((self.price(rank), page.levels[within as usize]))
            })
        })
    }

    /// The worst price.
    pub fn worst(&self) -> Option<i64> {
        let (number, page) = self.pages.first()?;
        let within = i64::from(page.used.trailing_zeros());
        Some(self.price((number << PAGE.trailing_zeros()) + within))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Against a map, over seeded changes, with prices below zero and ticks other than one.
    #[test]
    fn a_side_is_a_map_by_price_whatever_its_ticks_are() {
        for (side, base, tick) in [
            (Side::Buy, 0, 1),
            (Side::Sell, 0, 1),
            (Side::Buy, -1_000, 25),
            (Side::Sell, -1_000, 25),
        ] {
            let mut levels = Levels::new(side);
            levels.set_ticks(base, tick);
            let mut expected: BTreeMap<i64, Level> = BTreeMap::new();
            let mut state = 7_u64;
            let mut random = |below: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) % below
            };
            for _ in 0..20_000 {
                let price = base + (random(300) * tick).cast_signed();
                let known = expected.get(&price).copied().unwrap_or_default();
                if random(2) == 0 || known.orders == 0 {
                    let lots = random(10);
                    levels.add(price, lots, 1);
                    let level = expected.entry(price).or_default();
                    level.lots += lots;
                    level.orders += 1;
                } else {
                    let lots = if known.orders == 1 {
                        known.lots
                    } else {
                        random(known.lots + 1)
                    };
                    levels.take(price, lots, 1);
                    let level = expected.entry(price).or_default();
                    level.lots -= lots;
                    level.orders -= 1;
                    if level.orders == 0 {
                        expected.remove(&price);
                    }
                }
            }
            let mut ascending: Vec<_> = expected.into_iter().collect();
            if side == Side::Buy {
                ascending.reverse();
            }
            assert_eq!(levels.iter().collect::<Vec<_>>(), ascending);
            assert_eq!(levels.count(), ascending.len() as u64);
            assert_eq!(levels.worst(), ascending.last().map(|(price, _)| *price));
        }
    }
}
