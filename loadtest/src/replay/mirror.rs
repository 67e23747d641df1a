//! The book as execution reports alone tell it, and its comparison with a recorded row.

use std::collections::{BTreeMap, HashMap};

use super::lobster::Row;
use crate::client::{Answer, Side};

/// Mantissa of 10^-8 by recorded price unit (a ten-thousandth of a dollar).
pub const PRICE_UNIT: i64 = 10_000;
/// Mantissa of 10^-8 of one share.
pub const SHARE: i64 = 100_000_000;

/// The book.
#[derive(Debug, Default)]
pub struct Mirror {
    /// Side, price and open quantity by client order id.
    orders: HashMap<u64, (Side, i64, i64)>,
    /// Quantity and orders by price.
    bids: BTreeMap<i64, (i64, u64)>,
    asks: BTreeMap<i64, (i64, u64)>,
}

impl Mirror {
    fn book(&mut self, side: Side) -> &mut BTreeMap<i64, (i64, u64)> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }

    fn add(&mut self, id: u64, side: Side, price: i64, leaves: i64) {
        if leaves == 0 {
            return;
        }
        self.orders.insert(id, (side, price, leaves));
        let level = self.book(side).entry(price).or_default();
        level.0 += leaves;
        level.1 += 1;
    }

    fn remove(&mut self, id: u64) -> Option<(Side, i64, i64)> {
        let (side, price, leaves) = self.orders.remove(&id)?;
        let book = self.book(side);
        if let Some(level) = book.get_mut(&price) {
            level.0 -= leaves;
            level.1 -= 1;
            if level.1 == 0 {
                book.remove(&price);
            }
        }
        Some((side, price, leaves))
    }

    /// Takes a report of the session whose orders rest.
    pub fn apply(&mut self, answer: &Answer) {
        match *answer {
            Answer::Accepted {
                id,
                side,
                price,
                leaves,
            } => self.add(id, side, price, leaves),
            Answer::Replaced {
                id,
                original,
                price,
                leaves,
            } => {
                if let Some((side, _, _)) = self.remove(original) {
                    self.add(id, side, price, leaves);
                }
            }
            Answer::Canceled { original, .. } => {
                self.remove(original);
            }
            Answer::Fill { id, leaves, .. } => {
                if let Some((side, price, _)) = self.remove(id) {
                    self.add(id, side, price, leaves);
                }
            }
            // Nothing came to rest and nothing went.
            _ => {}
        }
    }

    /// Orders that rest.
    pub fn resting(&self) -> usize {
        self.orders.len()
    }

    /// Price, quantity and orders of a side, best first, as the record counts them.
    pub fn levels(&self, side: Side) -> Vec<(i64, i64, u64)> {
        let level =
            |(price, level): (&i64, &(i64, u64))| (price / PRICE_UNIT, level.0 / SHARE, level.1);
        match side {
            Side::Buy => self.bids.iter().rev().map(level).collect(),
            Side::Sell => self.asks.iter().map(level).collect(),
        }
    }

    /// Compares before the edge step: prices that both hold have equal sizes, and what only one
    /// holds is beyond the other's worst. Returns how many prices both hold.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare_inside(&self, row: &Row) -> Result<u64, String> {
        let mut compared = 0;
        for side in [Side::Buy, Side::Sell] {
            let ours = self.levels(side);
            let recorded = row.side(side);
            let worse = |price: i64, than: i64| match side {
                Side::Buy => price < than,
                Side::Sell => price > than,
            };
            for &(price, size, _) in &ours {
                match recorded.iter().find(|level| level.0 == price) {
                    Some(level) if level.1 == size => compared += 1,
                    Some(level) => {
                        return Err(format!("{side:?} {price}: {size}, recorded {}", level.1));
                    }
                    None => {
                        if recorded.last().is_some_and(|last| !worse(price, last.0)) {
                            return Err(format!("{side:?} {price}: {size}, not recorded"));
                        }
                    }
                }
            }
            for &(price, size) in recorded {
                let there = ours.iter().any(|level| level.0 == price);
                if !there && ours.last().is_some_and(|last| !worse(price, last.0)) {
                    return Err(format!("{side:?} {price}: nothing, recorded {size}"));
                }
            }
        }
        Ok(compared)
    }

    /// Compares after the edge step: the whole book is the row.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare_whole(&self, row: &Row) -> Result<(), String> {
        for side in [Side::Buy, Side::Sell] {
            let ours: Vec<(i64, i64)> = self
                .levels(side)
                .into_iter()
                .map(|(price, size, _)| (price, size))
                .collect();
            if &ours != row.side(side) {
                return Err(format!("{side:?}: {ours:?}, recorded {:?}", row.side(side)));
            }
        }
        Ok(())
    }
}
