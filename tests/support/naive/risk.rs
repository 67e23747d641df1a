//! Pre-trade risk. Nothing is counted on the way: what is open is added up from the open orders, and
//! what was bought and sold from the day's trades, whenever a limit asks for it.

use trading_engine::engine::command::{CommandKind, SetLimits};
use trading_engine::limits::RISK_WINDOW_MAX;
use trading_engine_protocol::types::Reason;

use super::{
    AT_THE_CLOSE, AT_THE_OPENING, BUY, Book, CONTINUOUS, MARKET, MARKET_TO_LIMIT, MILLISECOND,
    Order, STOP, Venue, What, better,
};

/// Orders and fills that a set remembers.
const REMEMBERED: usize = RISK_WINDOW_MAX as usize;

/// What a trade, or the bust or correction of one, did to one of its two sides.
#[derive(Clone, Copy, Debug)]
struct Booked {
    trade: u64,
    firm: u32,
    account: u32,
    instrument: u32,
    side: u8,
    /// Lots that the position changes by.
    lots: i64,
    /// Notional that what was bought or sold changes by.
    notional: i128,
}

/// An order as the duplicate check compares it, of any session of the firm: account, instrument, side, price if it has one,
/// and quantity.
type Terms = (u32, u32, u8, Option<i64>, u64);

/// What of an order has to be within a collar.
#[derive(Clone, Copy, Debug)]
pub(super) enum Collared {
    Nothing,
    Limit,
    /// The best price there is for it; it goes no further than the collar from there.
    Best(i64),
}

/// One set of limits.
#[derive(Clone, Debug)]
struct Limits {
    set: SetLimits,
    /// Earlier trades are none of its business.
    first_trade: u64,
    /// A position, and how much of the ledger it has in it already.
    position: (i64, usize),
    stopped: bool,
    /// When it stopped, until that is told.
    stopped_at: Option<u64>,
    /// When its orders were filled, the last few since it was released.
    fills: Vec<u64>,
    /// Orders it saw accepted, the last few.
    accepted: Vec<(u64, Terms)>,
    /// When all messages so far are worked off, at one each so and so many nanoseconds.
    worked_off_at: u64,
}

impl Limits {
    fn hold_for(&self, firm: u32, account: u32, instrument: u32) -> bool {
        let set = &self.set;
        set.firm.0 == firm
            && (set.by_account == 0 || set.account.0 == account)
            && (set.instrument.0 == 0 || set.instrument.0 == instrument)
    }

    /// Whether it is the set that a command means.
    fn is_for(&self, set: &SetLimits) -> bool {
        (self.set.firm, self.set.instrument, self.set.by_account)
            == (set.firm, set.instrument, set.by_account)
            && (set.by_account == 0 || self.set.account == set.account)
    }

    /// Nanoseconds that a message takes to be worked off.
    fn each(&self) -> u64 {
        let window = u64::from(self.set.messages_ms) * MILLISECOND;
        (window / u64::from(self.set.messages).max(1)).max(1)
    }

    /// The most that may have to be worked off.
    fn backlog(&self) -> u64 {
        self.each() * u64::from(self.set.messages)
    }
}

/// The limits and all that they look at.
#[derive(Default)]
pub(super) struct Risk {
    /// In the order in which they were set first.
    sets: Vec<Limits>,
    capacity: usize,
    /// What the day's trades did.
    ledger: Vec<Booked>,
}

impl Risk {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }
}

fn notional_of(units: (i64, i64), price: i64, lots: u64) -> i128 {
    let (price_unit, lot_size) = units;
    let price = i128::from(price.unsigned_abs()) * i128::from(price_unit);
    price * (i128::from(lots) * i128::from(lot_size)) / 100_000_000
}

fn terms_of(order: &Order, price: i64) -> Terms {
    let has_none = [MARKET, MARKET_TO_LIMIT].contains(&order.order_type);
    (
        order.account,
        order.instrument,
        order.side,
        (!has_none).then_some(price),
        order.quantity,
    )
}

impl Venue {
    fn notional(&self, instrument: u32, price: i64, lots: u64) -> i128 {
        let of = &self.instruments[instrument as usize - 1];
        notional_of((of.price_unit_e8, of.lot_size_e8), price, lots)
    }

    /// The price at which what is open of an order counts.
    fn counts_at(&self, order: &Order) -> i64 {
        let for_an_auction = [AT_THE_OPENING, AT_THE_CLOSE].contains(&order.time_in_force);
        if order.order_type == STOP && order.is_waiting() {
            order.terms.stop_price.0
        } else if order.order_type == MARKET && for_an_auction {
            let of = &self.instruments[order.instrument as usize - 1];
            let (low, high) = (of.price_min.0, of.price_max.0);
            if low.abs() > high.abs() { low } else { high }
        } else {
            order.price
        }
    }

    /// The price that makes most of what an order would do at once: it may meet the best opposite price,
    /// and any from there to its own.
    fn at_worst(&self, order: &Order) -> i64 {
        let own = self.counts_at(order);
        let book = &self.books[order.instrument as usize - 1];
        let is_set_aside = order.is_waiting() || order.time_in_force == AT_THE_CLOSE;
        match book.best_opposite(order.side) {
            Some(best) if book.phase == CONTINUOUS && !is_set_aside => {
                let meets = best == own || better(order.side, own, best);
                if meets && best.abs() > own.abs() {
                    best
                } else {
                    own
                }
            }
            _ => own,
        }
    }

    // Setting.

    pub fn set_limits(&mut self, set: &SetLimits) {
        self.asking = 0;
        if let Err(why) = self.check_set(set) {
            let what = What::DefinitionRefused(CommandKind::SetLimits as u8, set.firm.0);
            self.tell(0, why, what);
            return;
        }
        let at = self.risk.sets.iter().position(|known| known.is_for(set));
        let at = at.unwrap_or_else(|| {
            self.risk.sets.push(Limits {
                set: *set,
                first_trade: self.trades + 1,
                position: (0, self.risk.ledger.len()),
                stopped: false,
                stopped_at: None,
                fills: Vec::new(),
                accepted: Vec::new(),
                worked_off_at: 0,
            });
            self.risk.sets.len() - 1
        });
        let (now, booked) = (self.now, self.risk.ledger.len());
        let limits = &mut self.risk.sets[at];
        limits.set = *set;
        limits.worked_off_at = limits.worked_off_at.min(now + limits.backlog());
        if set.release == 1 {
            limits.stopped = false;
            limits.fills.clear();
        }
        if set.sets_position == 1 {
            limits.position = (set.position, booked);
        }
        let (limits, stopped) = self.limits_as_stated(at);
        self.tell(0, Reason::None, What::LimitsSet(limits, stopped));
    }

    fn check_set(&self, set: &SetLimits) -> Result<(), Reason> {
        if !self.firms.contains_key(&set.firm.0) {
            return Err(Reason::InvalidDefinition);
        }
        if set.instrument.0 as usize > self.instruments.len() {
            return Err(Reason::UnknownInstrument);
        }
        let flags = [set.by_account, set.release, set.sets_position];
        let of_a_firm = set.by_account == 0 && set.instrument.0 == 0;
        let of_a_position = set.sets_position == 1 || set.position_limit.0 != 0;
        let half_a_window = [
            (set.duplicates, set.duplicates_ms),
            (set.executions, set.executions_ms),
            (set.messages, set.messages_ms),
        ]
        .iter()
        .any(|(count, ms)| (*count == 0) != (*ms == 0));
        if flags.iter().any(|flag| *flag > 1)
            || set.by_account == 0 && set.account.0 != 0
            || set.instrument.0 == 0 && of_a_position
            || !of_a_firm && set.messages != 0
            || half_a_window
            || set.duplicates.max(set.executions) > RISK_WINDOW_MAX
        {
            return Err(Reason::InvalidDefinition);
        }
        let is_new = !self.risk.sets.iter().any(|known| known.is_for(set));
        if is_new && self.risk.sets.len() >= self.risk.capacity {
            return Err(Reason::DefinitionCapacity);
        }
        Ok(())
    }

    /// A set as the venue is told of it: with the position as it is.
    fn limits_as_stated(&self, at: usize) -> (SetLimits, bool) {
        let limits = &self.risk.sets[at];
        let stated = SetLimits {
            position: self.position(limits),
            ..limits.set
        };
        (stated, limits.stopped)
    }

    /// All sets as they are.
    pub fn all_limits(&self) -> Vec<(SetLimits, bool)> {
        let all = 0..self.risk.sets.len();
        all.map(|at| self.limits_as_stated(at)).collect()
    }

    // Sums.

    /// Entries of the ledger that a set counts, with their places.
    fn booked<'a>(&'a self, limits: &'a Limits) -> impl Iterator<Item = (usize, &'a Booked)> {
        let all = self.risk.ledger.iter().enumerate();
        all.filter(|(_, one)| {
            one.trade >= limits.first_trade
                && limits.hold_for(one.firm, one.account, one.instrument)
        })
    }

    fn position(&self, limits: &Limits) -> i64 {
        let (stated, from) = limits.position;
        let since = self.booked(limits).filter(|(at, _)| *at >= from);
        stated + since.map(|(_, one)| one.lots).sum::<i64>()
    }

    /// Notional of today, bought or sold.
    fn done(&self, limits: &Limits, side: u8) -> i128 {
        let of_side = self.booked(limits).filter(|(_, one)| one.side == side);
        of_side.map(|(_, one)| one.notional).sum()
    }

    /// Open orders that a set counts, but for this one.
    fn open_in<'a>(&'a self, limits: &'a Limits, but: u64) -> impl Iterator<Item = &'a Order> {
        let orders = self.books.iter().flat_map(Book::orders);
        orders.chain(&self.entering).filter(move |order| {
            order.number != but && limits.hold_for(order.firm, order.account, order.instrument)
        })
    }

    fn open_lots(&self, limits: &Limits, but: u64, side: u8) -> i64 {
        let orders = self.open_in(limits, but).filter(|one| one.side == side);
        orders.map(|one| one.open() as i64).sum()
    }

    fn open_notional(&self, limits: &Limits, but: u64, side: u8) -> i128 {
        let orders = self.open_in(limits, but).filter(|one| one.side == side);
        orders
            .map(|one| self.notional(one.instrument, self.counts_at(one), one.open()))
            .sum()
    }

    // Asking.

    /// Sets that hold for an order: the firm's, its account's, the firm's in the instrument, its
    /// account's there.
    fn holding(&self, order: &Order) -> Vec<&Limits> {
        let (firm, account, instrument) = (order.firm, order.account, order.instrument);
        let mut sets: Vec<&Limits> = (self.risk.sets.iter())
            .filter(|limits| limits.hold_for(firm, account, instrument))
            .collect();
        sets.sort_by_key(|limits| (limits.set.instrument.0 != 0, limits.set.by_account));
        sets
    }

    /// Whether limits let an order be what it is to become. It is no more counted as what it was.
    /// `is_new`: it may be one too many of the same.
    pub(super) fn within_limits(
        &self,
        order: &Order,
        collared: Collared,
        is_new: bool,
    ) -> Result<(), Reason> {
        for limits in self.holding(order) {
            self.within(limits, order, collared, is_new)?;
        }
        Ok(())
    }

    /// Whether a price is outside a set's collar, on either side.
    fn is_too_far(&self, limits: &Limits, order: &Order, price: i64) -> bool {
        let bp = i128::from(limits.set.collar_bp);
        let market = self.books[order.instrument as usize - 1].center;
        market.is_some_and(|market| {
            let away = i128::from((price - market).abs()) * 10_000;
            bp != 0 && market != 0 && away > i128::from(market.abs()) * bp
        })
    }

    /// Whether a price is outside on the side to which the order pushes it.
    fn goes_too_far(&self, limits: &Limits, order: &Order, price: i64) -> bool {
        let market = self.books[order.instrument as usize - 1].center;
        let pushes = market.is_some_and(|market| better(order.side, price, market));
        pushes && self.is_too_far(limits, order, price)
    }

    /// The price up to which every collar lets an order go that would go to `furthest`.
    pub(super) fn up_to_collars(&mut self, order: &Order, furthest: i64) -> i64 {
        let tick = self.instruments[order.instrument as usize - 1].tick as i64;
        let back = if order.side == BUY { -tick } else { tick };
        let mut price = furthest;
        while (self.holding(order).iter()).any(|limits| self.goes_too_far(limits, order, price)) {
            price += back;
        }
        if price != furthest {
            self.saw("a collar ends how far an order goes");
        }
        price
    }

    fn within(
        &self,
        limits: &Limits,
        order: &Order,
        collared: Collared,
        is_new: bool,
    ) -> Result<(), Reason> {
        let set = &limits.set;
        let price = self.counts_at(order);
        let (side, other) = (order.side, 3 - order.side);
        let beyond = |limit: u64, value: i128| limit != 0 && value > i128::from(limit);
        if limits.stopped {
            return Err(Reason::LimitExecutions);
        }
        if beyond(set.quantity.0, order.quantity.into()) {
            return Err(Reason::LimitQuantity);
        }
        let worst = self.at_worst(order);
        let whole = self.notional(order.instrument, worst, order.quantity);
        if beyond(set.notional_e8, whole) {
            return Err(Reason::LimitNotional);
        }
        let outside = match collared {
            Collared::Nothing => false,
            Collared::Limit => self.is_too_far(limits, order, order.price),
            Collared::Best(best) => self.goes_too_far(limits, order, best),
        };
        if outside {
            return Err(Reason::LimitCollar);
        }
        let but = order.number;
        let others = self.open_in(limits, but).count();
        if beyond(set.open_orders.into(), others as i128 + 1) {
            return Err(Reason::LimitOpenOrders);
        }
        if set.position_limit.0 != 0 {
            let position = self.position(limits);
            let ours = if side == BUY { position } else { -position };
            let lots = self.open_lots(limits, but, side) + order.open() as i64;
            if beyond(set.position_limit.0, i128::from(ours + lots)) {
                return Err(Reason::LimitPosition);
            }
        }
        if set.gross_e8 != 0 || set.net_e8 != 0 {
            let this = self.notional(order.instrument, worst, order.open());
            let ours = self.done(limits, side) + self.open_notional(limits, but, side) + this;
            let done_opposite = self.done(limits, other);
            let opposite = done_opposite + self.open_notional(limits, but, other);
            if beyond(set.gross_e8, ours + opposite) {
                return Err(Reason::LimitGross);
            }
            if beyond(set.net_e8, ours - done_opposite) {
                return Err(Reason::LimitNet);
            }
        }
        if is_new && set.duplicates != 0 {
            let window = u64::from(set.duplicates_ms) * MILLISECOND;
            let terms = terms_of(order, price);
            let same = (limits.accepted.iter())
                .filter(|(at, other)| at + window > self.now && *other == terms);
            if same.count() + 1 > set.duplicates as usize {
                return Err(Reason::LimitDuplicates);
            }
        }
        Ok(())
    }

    /// The set that bounds the rate of a session's firm.
    fn rated(&mut self, session: u32) -> Option<&mut Limits> {
        let firm = self.sessions[session as usize].firm;
        self.risk.sets.iter_mut().find(|limits| {
            limits.set.firm.0 == firm
                && (limits.set.by_account, limits.set.instrument.0) == (0, 0)
                && limits.set.messages != 0
        })
    }

    /// A mass status is as many messages as it states orders, but no more than may come at once; for
    /// the first it was asked before.
    pub(super) fn take_more_messages(&mut self, session: u32, stated: u64) {
        let now = self.now;
        if let Some(limits) = self.rated(session) {
            let more = stated.min(limits.set.messages.into()).saturating_sub(1);
            limits.worked_off_at = limits.worked_off_at.max(now) + more * limits.each();
        }
    }

    /// A session of the firm sends a message; what is refused for the rate is none.
    pub(super) fn take_message(&mut self, session: u32) -> Result<(), Reason> {
        let now = self.now;
        let Some(limits) = self.rated(session) else {
            return Ok(());
        };
        let worked_off_at = limits.worked_off_at.max(now) + limits.each();
        if worked_off_at - now > limits.backlog() {
            return Err(Reason::LimitMessages);
        }
        limits.worked_off_at = worked_off_at;
        Ok(())
    }

    // What happens to orders.

    /// Sets remember an order that was accepted.
    pub(super) fn remember(&mut self, order: &Order) {
        let (now, terms) = (self.now, terms_of(order, self.counts_at(order)));
        for limits in &mut self.risk.sets {
            if limits.hold_for(order.firm, order.account, order.instrument) {
                limits.accepted.push((now, terms));
                let more = limits.accepted.len().saturating_sub(REMEMBERED);
                limits.accepted.drain(..more);
            }
        }
    }

    /// One side of the newest trade.
    pub(super) fn book_fill(&mut self, order: &Order, price: i64, lots: u64) {
        let now = self.now;
        let signed = lots as i64;
        self.risk.ledger.push(Booked {
            trade: self.trades,
            firm: order.firm,
            account: order.account,
            instrument: order.instrument,
            side: order.side,
            lots: if order.side == BUY { signed } else { -signed },
            notional: self.notional(order.instrument, price, lots),
        });
        let mut stopped = false;
        for limits in &mut self.risk.sets {
            if !limits.hold_for(order.firm, order.account, order.instrument) {
                continue;
            }
            limits.fills.push(now);
            let more = limits.fills.len().saturating_sub(REMEMBERED);
            limits.fills.drain(..more);
            let window = u64::from(limits.set.executions_ms) * MILLISECOND;
            let recent = limits.fills.iter().filter(|at| *at + window > now).count();
            if limits.set.executions != 0 && recent >= limits.set.executions as usize {
                if !limits.stopped {
                    stopped = true;
                    limits.stopped_at = Some(now);
                }
                limits.stopped = true;
            }
        }
        if stopped {
            self.saw("limits: stopped after executions");
        }
    }

    /// When those are told that stopped and were not told of yet.
    pub(super) fn untold_limits(&self) -> Option<u64> {
        self.risk.sets.iter().filter_map(|one| one.stopped_at).min()
    }

    /// Tells them, by firm, account and instrument; a set for all accounts before those of one.
    pub(super) fn tell_stopped(&mut self) {
        let mut untold: Vec<usize> = (0..self.risk.sets.len())
            .filter(|at| self.risk.sets[*at].stopped_at.take().is_some())
            .collect();
        untold.sort_by_key(|at| {
            let set = &self.risk.sets[*at].set;
            let account = (set.by_account == 1).then_some(set.account.0);
            (set.firm.0, account, set.instrument.0)
        });
        for at in untold {
            let (limits, stopped) = self.limits_as_stated(at);
            self.tell(0, Reason::LimitExecutions, What::LimitsSet(limits, stopped));
        }
    }

    /// One side of a trade was busted (no new price) or corrected.
    pub(super) fn book_amendment(
        &mut self,
        trade: u64,
        of: (u32, u32, u32, u8),
        (price, new_price): (i64, Option<i64>),
        lots: u64,
    ) {
        let (firm, account, instrument, side) = of;
        let was = self.notional(instrument, price, lots);
        let is = new_price.map_or(0, |price| self.notional(instrument, price, lots));
        let undone = if new_price.is_some() { 0 } else { lots as i64 };
        self.risk.ledger.push(Booked {
            trade,
            firm,
            account,
            instrument,
            side,
            lots: if side == BUY { -undone } else { undone },
            notional: is - was,
        });
    }

    /// What was bought and sold was yesterday; positions stay.
    pub(super) fn roll_limits(&mut self) {
        let positions: Vec<i64> = (self.risk.sets.iter())
            .map(|limits| self.position(limits))
            .collect();
        for (limits, position) in self.risk.sets.iter_mut().zip(positions) {
            limits.position = (position, 0);
        }
        self.risk.ledger.clear();
    }
}
