//! Phases, their transitions, and the one price of an auction.

use trading_engine::engine::command::{NO_PRICE, SetPhase};
use trading_engine::limits::AUCTION_INDICATIVE_INTERVAL_NS;
use trading_engine_protocol::types::{Liquidity, OrderStatus, Reason, TradingPhase};

use super::{
    AT_THE_CLOSE, AT_THE_OPENING, BUY, Book, CLOSED, CLOSING, CONTINUOUS, HALTED, MARKET,
    MILLISECOND, OPENING, Order, VOLATILITY, Venue, What, within,
};

/// What an auction trades, or would trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indication {
    pub price: i64,
    pub lots: u64,
    /// Of what is left over, 0 = nothing is.
    pub side: u8,
    pub imbalance: u64,
}

impl Indication {
    const NOTHING: Self = Self {
        price: NO_PRICE.0,
        lots: 0,
        side: 0,
        imbalance: 0,
    };
}

impl Venue {
    pub fn set_phase(&mut self, request: &SetPhase) {
        self.asking = 0;
        let named = request.instrument.0;
        if TradingPhase::try_from(request.phase).is_err() {
            self.tell(0, Reason::InvalidDefinition, What::Ignored(0));
            return;
        }
        if named as usize > self.instruments.len() {
            self.tell(0, Reason::UnknownInstrument, What::Ignored(0));
            return;
        }
        if named != 0 {
            self.set_phase_by_name(named as usize - 1, request.phase);
            return;
        }
        for at in 0..self.books.len() {
            if self.books[at].held {
                self.saw("phase: a held instrument passed over");
            } else if self.books[at].phase != request.phase {
                self.change_phase(at, request.phase, Reason::None, 0);
            }
        }
    }

    fn set_phase_by_name(&mut self, at: usize, phase: u8) {
        let book = &mut self.books[at];
        let was_held = std::mem::replace(&mut book.held, phase == HALTED);
        if book.phase != phase {
            self.change_phase(at, phase, Reason::None, 0);
        } else if phase == HALTED && !was_held {
            self.saw("phase: halted with all, then held");
            let what = What::PhaseChanged {
                instrument: at as u32 + 1,
                phase,
                previous: phase,
                held: true,
                until: 0,
            };
            self.tell(0, Reason::None, what);
        } else {
            self.tell(0, Reason::NotAllowedInPhase, What::Ignored(0));
        }
    }

    /// The instrument goes from its phase into another; `lasts` nanoseconds, 0 = until it is told.
    pub(super) fn change_phase(&mut self, at: usize, asked: u8, why: Reason, lasts: u64) {
        let (mut phase, mut why, mut lasts) = (asked, why, lasts);
        let previous = self.books[at].phase;
        let name = |phase| TradingPhase::try_from(phase).expect("a phase");
        self.saw(format!("phase: {:?} to {:?}", name(previous), name(phase)));
        if phase == CONTINUOUS || previous == CLOSING && phase == CLOSED {
            let instrument = self.instruments[at];
            let (found, _) = self.one_price(at);
            let inside = within(self.static_band(&instrument), found.price);
            if found == Indication::NOTHING || inside {
                self.uncross(at);
            } else if phase == CONTINUOUS {
                self.saw("an auction's price outside the band: longer");
                phase = VOLATILITY;
                why = Reason::VolatilityInterruption;
                lasts = u64::from(instrument.interruption_ms) * MILLISECOND;
            } else {
                self.saw("an auction's price outside the band: no trade");
            }
        }
        let until = if lasts == 0 {
            None
        } else {
            Some(self.now + lasts)
        };
        let publishes = [OPENING, VOLATILITY, CLOSING].contains(&phase);
        let due = self.now + AUCTION_INDICATIVE_INTERVAL_NS;
        let book = &mut self.books[at];
        book.phase = phase;
        book.until = until;
        book.indicative_at = publishes.then_some(due);
        // That nothing would trade goes without saying.
        book.published = Some(Indication::NOTHING);
        let what = What::PhaseChanged {
            instrument: at as u32 + 1,
            phase,
            previous,
            held: self.books[at].held,
            until: until.unwrap_or(0),
        };
        self.tell(0, why, what);
        self.end_with_phase(at, previous, phase);
        if phase == CLOSING {
            for order in std::mem::take(&mut self.books[at].parked) {
                let what = What::Triggered {
                    order: order.state(order.open_status()),
                };
                self.tell(order.session, Reason::AuctionBegun, what);
                if self.has_level(&order) {
                    self.rest(order);
                } else {
                    let why = Reason::PriceLevelCapacity;
                    self.end(order, OrderStatus::Canceled, why, 0);
                }
            }
        }
        if phase == CONTINUOUS {
            let book = &mut self.books[at];
            let last = book.last;
            let before: Vec<u64> = (book.waiting.iter())
                .filter(|stop| stop.reached)
                .map(|stop| stop.number)
                .collect();
            for stop in &mut book.waiting {
                stop.reached = false;
            }
            if let Some(last) = last {
                book.note_price(last);
            }
            let mut alone = false;
            let mut newcomers = false;
            for stop in &mut book.waiting {
                let was = before.contains(&stop.number);
                alone |= was && !stop.reached;
                newcomers |= !before.is_empty() && !was && !stop.reached;
                stop.reached |= was;
            }
            if alone {
                self.saw("stop released by a trade before an interruption");
            }
            if alone && newcomers {
                self.saw("a passed stop is released, one that came later waits");
            }
            self.release_stops(at);
        }
        let book = &mut self.books[at];
        book.noted = book.fingerprint();
        book.aside = (book.waiting.iter().map(|one| (one.number, one.client))).collect();
    }

    /// Quotes and auction orders whose phase is over end, in ascending order id.
    fn end_with_phase(&mut self, at: usize, previous: u8, phase: u8) {
        let mut orders: Vec<Order> = self.books[at].orders().cloned().collect();
        orders.sort_by_key(|order| order.number);
        for order in orders {
            let is_parked = (self.books[at].parked.iter()).any(|one| one.number == order.number);
            let quote_ends = order.quote.is_some() && previous == CONTINUOUS;
            let auction_is_over = match order.time_in_force {
                AT_THE_OPENING => [CONTINUOUS, CLOSED, CLOSING].contains(&phase),
                AT_THE_CLOSE => phase == CLOSED || phase == CONTINUOUS && !is_parked,
                _ => false,
            };
            if !quote_ends && !auction_is_over {
                continue;
            }
            let order = self.remove(order.number).expect("it is open");
            if quote_ends {
                self.end(order, OrderStatus::Canceled, Reason::PhaseEnded, 0);
            } else {
                self.end(order, OrderStatus::Expired, Reason::AuctionRemainder, 0);
            }
        }
    }

    /// All that crosses trades at one price.
    fn uncross(&mut self, at: usize) {
        let (found, how) = self.one_price(at);
        if !how.is_empty() {
            self.saw(format!("auction price: {how}"));
        }
        if found == Indication::NOTHING {
            return;
        }
        self.tell(0, Reason::None, What::Uncrossed(at as u32 + 1, found));
        let mut traded = 0;
        while let (Some(bid), Some(ask)) =
            (self.books[at].bids.first(), self.books[at].asks.first())
            && bid.price >= ask.price
        {
            let lots = bid.shown.min(ask.shown);
            let bid = self.books[at].bids.remove(0);
            let ask = self.books[at].asks.remove(0);
            self.trades += 1;
            traded += lots;
            let (mut one, mut other) = if bid.number < ask.number {
                (bid, ask)
            } else {
                (ask, bid)
            };
            for order in [&mut one, &mut other] {
                order.shown -= lots;
                self.fill(order, found.price, lots, Liquidity::Auction);
            }
            for order in [one, other] {
                if order.open() > 0 && order.shown == 0 {
                    self.saw("iceberg showed its next part in an auction");
                }
                self.put_back(order);
            }
        }
        assert_eq!(traded, found.lots, "what crosses is what was announced");
        self.books[at].last = Some(found.price);
        self.books[at].reference = Some(found.price);
        self.books[at].center = Some(found.price);
        self.books[at].note_price(found.price);
    }

    /// What the auction would trade at now, by trying every price.
    fn one_price(&self, at: usize) -> (Indication, &'static str) {
        let instrument = self.instruments[at];
        let book = &self.books[at];
        if book.bids.is_empty() || book.asks.is_empty() || book.bids[0].price < book.asks[0].price {
            return (Indication::NOTHING, "");
        }
        let (bid, ask) = (book.bids[0].price, book.asks[0].price);
        // Nothing trades at other prices. An order that was entered under another tick table keeps its
        // price.
        let is_an_order_s = |price: i64| {
            let mut there = book.bids.iter().chain(&book.asks);
            there.any(|order| order.price == price)
        };
        let prices: Vec<i64> = (ask..=bid)
            .filter(|price| self.price(&instrument, *price).is_ok() || is_an_order_s(*price))
            .collect();
        let bought = |price| -> u64 {
            let would = book.bids.iter().filter(|order| order.price >= price);
            would.map(Order::open).sum()
        };
        let sold = |price| -> u64 {
            let would = book.asks.iter().filter(|order| order.price <= price);
            would.map(Order::open).sum()
        };
        let mut all: Vec<(i64, u64, i64)> = Vec::new();
        for price in prices {
            let (buy, sell) = (bought(price), sold(price));
            all.push((price, buy.min(sell), buy as i64 - sell as i64));
        }
        let most = all.iter().map(|one| one.1).max().unwrap_or(0);
        all.retain(|one| one.1 == most && most > 0);
        let least = all.iter().map(|one| one.2.abs()).min().unwrap_or(0);
        all.retain(|one| one.2.abs() == least);
        if all.is_empty() {
            return (Indication::NOTHING, "");
        }
        let band = self.static_band(&instrument);
        if all.iter().any(|one| within(band, one.0)) {
            all.retain(|one| within(band, one.0));
        }
        let (low, high) = (all[0].0, all[all.len() - 1].0);
        // Only orders without a price are there.
        let only_market = |price| {
            let mut there = book.bids.iter().chain(&book.asks);
            there.all(|order| order.price != price || order.order_type == MARKET)
        };
        let low_is_open = low == instrument.price_min.0 && only_market(low);
        let high_is_open = high == instrument.price_max.0 && only_market(high);
        let all_to_buy = all.iter().all(|one| one.2 > 0);
        let all_to_sell = all.iter().all(|one| one.2 < 0);
        let (price, how) = if all_to_buy && !high_is_open {
            (high, "surplus to buy")
        } else if all_to_sell && !low_is_open {
            (low, "surplus to sell")
        } else if let Some(reference) = book.center {
            let away = |one: &&(i64, u64, i64)| (one.0 - reference).abs();
            let nearest = all.iter().min_by_key(away).expect("some").0;
            let how = if low_is_open || high_is_open {
                "the reference, of open ends"
            } else {
                "the reference"
            };
            (nearest, how)
        } else {
            match (low_is_open, high_is_open) {
                (true, true) => return (Indication::NOTHING, "none, of two open ends"),
                (true, false) => (high, "the end that is not open"),
                (false, true) => (low, "the end that is not open"),
                (false, false) => {
                    let middle = (low + high).div_euclid(2);
                    let below = all.iter().rev().find(|one| one.0 <= middle);
                    (below.expect("the lowest is").0, "the middle")
                }
            }
        };
        let surplus = all.iter().find(|one| one.0 == price).expect("of them").2;
        let found = Indication {
            price,
            lots: most,
            side: match surplus {
                0 => 0,
                1.. => BUY,
                _ => 3 - BUY,
            },
            imbalance: surplus.unsigned_abs(),
        };
        (found, how)
    }

    /// It is time to say what an auction would trade at.
    pub(super) fn publish(&mut self, at: usize) {
        self.books[at].indicative_at = None;
        let (now, _) = self.one_price(at);
        if self.books[at].published == Some(now) {
            self.saw("indicative price unchanged");
            return;
        }
        self.books[at].published = Some(now);
        if now == Indication::NOTHING {
            self.saw("indicative: nothing would trade");
        }
        self.tell(0, Reason::None, What::Indicative(at as u32 + 1, now));
    }

    /// Books that changed in an auction are looked at again in a while.
    pub(super) fn note_changes(&mut self) {
        let due = self.now + AUCTION_INDICATIVE_INTERVAL_NS;
        for book in &mut self.books {
            if ![OPENING, VOLATILITY, CLOSING].contains(&book.phase) {
                continue;
            }
            let now = book.fingerprint();
            let aside: Vec<(u64, u64)> = (book.waiting.iter())
                .map(|order| (order.number, order.client))
                .collect();
            // A waiting stop that is gone or another counts, too; a new one does not.
            let left = book.aside.iter().any(|one| !aside.contains(one));
            book.aside = aside;
            if now != book.noted || left {
                book.noted = now;
                book.indicative_at.get_or_insert(due);
            }
        }
    }
}

impl Book {
    pub(super) fn fingerprint(&self) -> Vec<(u64, i64, u64, u64)> {
        (self.bids.iter().chain(&self.asks))
            .map(|order| (order.number, order.price, order.open(), order.client))
            .collect()
    }
}
