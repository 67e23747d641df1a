//! Auctions: the one price at which most of a collected book trades, and the trades at it.
//!
//! Nothing is sorted or copied: the best levels of both sides are walked towards each other, which
//! costs what crosses.

use trading_engine_protocol::types::{
    InstrumentId, Liquidity, OrderStatus, OrderType, Price, Quantity, Reason, SessionId, Side,
    TradingPhase, UtcNanos,
};

use super::Engine;
use super::command::NO_PRICE;
use super::deadlines::{NOWHERE, Whose};
use super::event::{AuctionIndicative, AuctionUncrossed, EventSink, Fill};
use super::instrument::{Indicative, ladder_side};
use super::ladder::Place;
use super::matching::TRADES_PER_STEP;
use super::order::{Flags, NIL};
use crate::limits::AUCTION_INDICATIVE_INTERVAL_NS;

/// Which of an instrument's deadlines.
pub(super) const INDICATIVE: u32 = 0;
pub(super) const INTERRUPTION_ENDS: u32 = 1;

/// What comes of an auction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Uncrossing {
    Nothing,
    /// Its price would be outside the static band, so there is none.
    OutsideBand,
    Begun,
}

/// Prices that are as good as each other, from the lowest to the highest.
#[derive(Clone, Copy)]
struct Candidates {
    lowest: u32,
    highest: u32,
    /// Lots that could trade there and would not.
    surplus: u64,
    /// Up to this one it is to buy.
    to_buy: Option<u32>,
    /// From this one on it is to sell.
    to_sell: Option<u32>,
}

impl Candidates {
    /// What prices of them have a surplus of, if all have it of one side.
    fn side(&self, lowest: u32, highest: u32) -> Option<Side> {
        if self.to_buy.is_some_and(|last| highest <= last) {
            Some(Side::Buy)
        } else if self.to_sell.is_some_and(|first| lowest >= first) {
            Some(Side::Sell)
        } else {
            None
        }
    }
}

/// A side's levels that cross, best first.
struct Walk<'a, I: Iterator<Item = (u32, u64)>> {
    levels: &'a mut I,
    now: Option<(u32, u64)>,
}

impl<I: Iterator<Item = (u32, u64)>> Walk<'_, I> {
    fn take(&mut self, lots: u64) {
        if let Some((_, left)) = &mut self.now {
            *left -= lots;
            if *left == 0 {
                self.now = self.levels.next();
            }
        }
    }
}

impl Engine {
    /// A side's ticks with all their open lots, best first.
    fn open_levels(&self, id: u16, side: Side) -> impl Iterator<Item = (u32, u64)> + '_ {
        let instrument = &self.instruments[usize::from(id)];
        let ladder = ladder_side(id, side);
        self.ladders.keys(ladder).map(move |key| {
            let level = self.ladders.level(ladder, key);
            (instrument.key(side, key), level.lots + level.hidden)
        })
    }

    /// What an auction would do now.
    pub(super) fn crossing(&self, id: u16) -> Indicative {
        let mut bid_levels = self.open_levels(id, Side::Buy);
        let mut ask_levels = self.open_levels(id, Side::Sell);
        let mut bids = Walk {
            now: bid_levels.next(),
            levels: &mut bid_levels,
        };
        let mut asks = Walk {
            now: ask_levels.next(),
            levels: &mut ask_levels,
        };
        let mut volume = 0;
        let (mut lowest, mut highest) = (0, 0);
        while let (Some((bid, to_buy)), Some((ask, to_sell))) = (bids.now, asks.now) {
            if bid < ask {
                break;
            }
            (lowest, highest) = (ask, bid);
            let lots = to_buy.min(to_sell);
            volume += lots;
            bids.take(lots);
            asks.take(lots);
        }
        if volume == 0 {
            return Indicative::default();
        }
        // All prices from `lowest` to `highest` trade the most. What is left of the two sides does
        // not cross any more, so a price has a surplus of one of them at most.
        let (bid, ask) = (bids.now, asks.now);
        let next_bid = bid.and_then(|_| bids.levels.next()).map(|(tick, _)| tick);
        let next_ask = ask.and_then(|_| asks.levels.next()).map(|(tick, _)| tick);
        let even = Candidates {
            lowest: bid.map_or(lowest, |(tick, _)| lowest.max(tick + 1)),
            highest: ask.map_or(highest, |(tick, _)| highest.min(tick.wrapping_sub(1))),
            surplus: 0,
            to_buy: None,
            to_sell: None,
        };
        // Without a level of its own a price has no surplus; the first level left sets the least.
        let to_buy = bid.filter(|(tick, _)| *tick >= lowest).map(|(tick, lots)| {
            let last = tick.min(highest);
            Candidates {
                lowest: next_bid.map_or(lowest, |next| lowest.max(next + 1)),
                highest: last,
                surplus: lots,
                to_buy: Some(last),
                to_sell: None,
            }
        });
        let to_sell = ask
            .filter(|(tick, _)| *tick <= highest)
            .map(|(tick, lots)| {
                let first = tick.max(lowest);
                Candidates {
                    lowest: first,
                    highest: next_ask.map_or(highest, |next| highest.min(next.wrapping_sub(1))),
                    surplus: lots,
                    to_buy: None,
                    to_sell: Some(first),
                }
            });
        let no_ask_at_zero = ask.is_none_or(|(tick, _)| tick > 0);
        let even = (no_ask_at_zero && even.lowest <= even.highest)
            .then_some(even)
            .filter(|even| self.any_on_table(id, even));
        let chosen = match (even, to_buy, to_sell) {
            (Some(even), _, _) => even,
            (None, Some(buy), Some(sell)) if buy.surplus == sell.surplus => Candidates {
                lowest: buy.lowest,
                highest: sell.highest,
                surplus: buy.surplus,
                to_buy: buy.to_buy,
                to_sell: sell.to_sell,
            },
            (None, Some(buy), Some(sell)) if buy.surplus < sell.surplus => buy,
            (None, _, Some(sell)) => sell,
            (None, Some(buy), None) => buy,
            // Every price between two neighbours is even: there is one unless a level is left.
            (None, None, None) => even_at(highest),
        };
        let Some(tick) = self.choose(id, &chosen) else {
            return Indicative::default();
        };
        let side = chosen.side(tick, tick).map_or(0, Side::as_u8);
        Indicative {
            tick: tick + 1,
            volume,
            imbalance: chosen.surplus,
            side,
        }
    }

    fn any_on_table(&self, id: u16, candidates: &Candidates) -> bool {
        self.instruments[usize::from(id)].definition.tick_table == 0
            || self
                .on_table_above(id, candidates.lowest, candidates.highest)
                .is_some()
    }

    /// One of prices that are as good as each other; none if nobody but market orders would pay.
    fn choose(&self, id: u16, candidates: &Candidates) -> Option<u32> {
        let instrument = &self.instruments[usize::from(id)];
        let &Candidates {
            mut lowest,
            mut highest,
            ..
        } = candidates;
        if instrument.definition.static_band != 0 {
            (lowest, highest) = self.within_band(id, lowest, highest);
        }
        let open_below = lowest == 0 && !self.is_limit(id, 0);
        let open_above =
            highest == instrument.last_tick && !self.is_limit(id, instrument.last_tick);
        // The band may have left those with a surplus of one side alone.
        match candidates.side(lowest, highest) {
            Some(Side::Buy) if !open_above => return Some(highest),
            Some(Side::Sell) if !open_below => return Some(lowest),
            _ => {}
        }
        if instrument.definition.tick_table != 0 {
            // An order's own price stays, if it was entered under another table.
            lowest = self.on_table_above(id, lowest, highest).unwrap_or(lowest);
            highest = self.on_table_below(id, highest, lowest).unwrap_or(highest);
        }
        let reference = instrument.center;
        let wanted = match reference.checked_sub(1) {
            Some(reference) => reference.clamp(lowest, highest),
            None => match (open_below, open_above) {
                (true, true) => return None,
                (true, false) => highest,
                (false, true) => lowest,
                (false, false) => lowest + (highest - lowest) / 2,
            },
        };
        if instrument.definition.tick_table == 0 {
            return Some(wanted);
        }
        let below = self.on_table_below(id, wanted, lowest);
        // What is not nearest to something is rounded down.
        if let (0, Some(below)) = (reference, below) {
            return Some(below);
        }
        let above = self.on_table_above(id, wanted, highest);
        Some(match (below, above) {
            (Some(below), Some(above)) if above - wanted < wanted - below => above,
            (Some(below), _) => below,
            (None, Some(above)) => above,
            // An order's own price, entered under another table.
            (None, None) => wanted,
        })
    }

    /// Of prices that are as good as each other those within the static band, if there are any.
    fn within_band(&self, id: u16, lowest: u32, highest: u32) -> (u32, u32) {
        let instrument = &self.instruments[usize::from(id)];
        let (low, high) = instrument.band();
        let (low, high) = (lowest.max(low), highest.min(high));
        if low > high {
            return (lowest, highest);
        }
        if instrument.definition.tick_table == 0 {
            return (low, high);
        }
        let ends = (
            self.on_table_above(id, low, high),
            self.on_table_below(id, high, low),
        );
        match ends {
            (Some(low), Some(high)) => (low, high),
            _ => (lowest, highest),
        }
    }

    /// Whether an order that states a price rests there, on either side.
    fn is_limit(&self, id: u16, tick: u32) -> bool {
        let instrument = &self.instruments[usize::from(id)];
        [Side::Buy, Side::Sell].iter().any(|&side| {
            let ladder = ladder_side(id, side);
            let key = instrument.key(side, tick);
            if self.ladders.at_or_below(ladder, key) != Some(key) {
                return false;
            }
            let mut slot = self.ladders.level(ladder, key).head;
            while slot != NIL {
                let order_type = self.orders.slots[slot as usize].cold.state.order_type;
                if order_type != OrderType::Market.as_u8() {
                    return true;
                }
                slot = self.orders.slots[slot as usize].hot.next;
            }
            false
        })
    }

    /// Begins the trades of an auction, if there are any at a price that may be.
    pub(super) fn begin_uncrossing(&mut self, id: u16, sink: &mut impl EventSink) -> Uncrossing {
        let crossing = self.crossing(id);
        let Some(tick) = crossing.tick.checked_sub(1) else {
            return Uncrossing::Nothing;
        };
        let (lowest, highest) = self.instruments[usize::from(id)].band();
        if tick < lowest || tick > highest {
            return Uncrossing::OutsideBand;
        }
        let instrument = &mut self.instruments[usize::from(id)];
        instrument.traded = crossing.tick;
        instrument.reference = crossing.tick;
        instrument.center = crossing.tick;
        if instrument.stops > 0 {
            self.traded.add(tick, tick);
        }
        let body = AuctionUncrossed {
            instrument: InstrumentId(u32::from(id)),
            price: instrument.price_of(tick),
            volume: Quantity(crossing.volume),
            imbalance: Quantity(crossing.imbalance),
            side: crossing.side,
            ..AuctionUncrossed::default()
        };
        self.note(sink, SessionId(0), Reason::None, body);
        Uncrossing::Begun
    }

    /// Trades what crosses at the price of the last trade, as far as a step allows. Returns
    /// whether all is done.
    pub(super) fn uncross(&mut self, id: u16, sink: &mut impl EventSink) -> bool {
        let instrument = &self.instruments[usize::from(id)];
        let (last_tick, price) = (
            instrument.last_tick,
            instrument.price_of(instrument.traded.wrapping_sub(1)),
        );
        let ladders = [Side::Buy, Side::Sell].map(|side| ladder_side(id, side));
        for _ in 0..TRADES_PER_STEP {
            let [bid, ask] = ladders.map(|ladder| self.ladders.best(ladder));
            // An ask's key is mirrored.
            if bid == NIL || ask == NIL || bid < last_tick - ask {
                return true;
            }
            let places = [(ladders[0], bid), (ladders[1], ask)];
            let places = places.map(|(ladder, key)| self.ladders.place(ladder, key));
            self.trade_both(places, price, sink);
        }
        false
    }

    /// One trade of the first orders of two levels.
    fn trade_both(&mut self, places: [Place; 2], price: Price, sink: &mut impl EventSink) {
        let slots = places.map(|place| self.ladders.at(place).head);
        let leaves = slots.map(|slot| self.orders.slots[slot as usize].hot.leaves);
        let lots = leaves[0].min(leaves[1]);
        let mut again = [false; 2];
        for at in 0..2 {
            if leaves[at] > lots {
                self.ladders.at_mut(places[at]).lots -= lots;
                continue;
            }
            self.ladders.remove(&mut self.orders, places[at], slots[at]);
            let iceberg = self.orders.slots[slots[at] as usize]
                .hot
                .flags
                .any(Flags::ICEBERG);
            if iceberg && self.orders.extra[slots[at] as usize].hidden > 0 {
                self.show_next(slots[at]);
                again[at] = true;
            }
        }
        let trade_id = self.next_trade_id();
        let ids = slots.map(|slot| self.orders.order_id(slot));
        let order = if ids[0] < ids[1] { [0, 1] } else { [1, 0] };
        for at in order {
            let status = self.fill(slots[at], lots, price);
            let body = Fill {
                trade_id,
                last_price: price,
                last_quantity: Quantity(lots),
                liquidity: Liquidity::Auction.as_u8(),
                ..Fill::default()
            };
            self.report(sink, slots[at], status, Reason::None, &body);
        }
        for at in 0..2 {
            if again[at] {
                let (side, key) = (places[at].side(), places[at].key());
                self.ladders.append(&mut self.orders, side, key, slots[at]);
            } else if self.orders.slots[slots[at] as usize].hot.leaves == 0 {
                self.release(slots[at], OrderStatus::Filled);
            }
        }
    }

    /// The book of an order's instrument is not what it was.
    #[inline(always)]
    pub(super) fn book_changed(&mut self, slot: u32) {
        let id = self.orders.slots[slot as usize].hot.instrument;
        if self.instruments[usize::from(id)].phase != TradingPhase::Continuous {
            self.arm_indicative(id);
        }
    }

    /// What an auction would do is published soon.
    #[inline(never)]
    pub(super) fn arm_indicative(&mut self, id: u16) {
        let instrument = &self.instruments[usize::from(id)];
        let auction = matches!(
            instrument.phase,
            TradingPhase::OpeningAuction
                | TradingPhase::VolatilityAuction
                | TradingPhase::ClosingAuction
        );
        if auction && instrument.deadlines[INDICATIVE as usize] == NOWHERE {
            let at = self
                .sequenced_at
                .0
                .saturating_add(AUCTION_INDICATIVE_INTERVAL_NS);
            self.arm_instrument(id, INDICATIVE, UtcNanos(at));
        }
    }

    pub(super) fn arm_instrument(&mut self, id: u16, which: u32, at: UtcNanos) {
        self.add_deadline(at, Whose::Instrument(u32::from(id) << 1 | which));
    }

    pub(super) fn disarm_instrument(&mut self, id: u16, which: u32) {
        let place = self.instruments[usize::from(id)].deadlines[which as usize];
        if place != NOWHERE {
            self.remove_deadline(place);
        }
    }

    /// Publishes what an auction would do, if that is news.
    pub(super) fn publish_indicative(&mut self, id: u16, sink: &mut impl EventSink) {
        let now = self.crossing(id);
        let instrument = &mut self.instruments[usize::from(id)];
        if instrument.indicative == now {
            return;
        }
        instrument.indicative = now;
        let price = match now.tick.checked_sub(1) {
            Some(tick) => instrument.price_of(tick),
            None => NO_PRICE,
        };
        let body = AuctionIndicative {
            instrument: InstrumentId(u32::from(id)),
            price,
            volume: Quantity(now.volume),
            imbalance: Quantity(now.imbalance),
            side: now.side,
            ..AuctionIndicative::default()
        };
        self.note(sink, SessionId(0), Reason::None, body);
    }
}

fn even_at(tick: u32) -> Candidates {
    Candidates {
        lowest: tick,
        highest: tick,
        surplus: 0,
        to_buy: None,
        to_sell: None,
    }
}
