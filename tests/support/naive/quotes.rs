//! Quotes, and what protects who makes them.

use std::collections::{BTreeSet, VecDeque};

use trading_engine::engine::command::{
    ConfigureProtection, MassQuoteHead, OrderTerms, QuoteCancel, QuoteEntry, ResetProtection,
};
use trading_engine::limits::{
    FEASIBILITY_VISITS_MAX, PROTECTION_FILLS_MAX, PROTECTION_WINDOW_MS_MAX,
};
use trading_engine_protocol::types::{
    Instructions, OrderStatus, ProtectionLimit, QuoteCancelScope, QuoteStatus, Reason,
    SelfTradePrevention,
};

use super::risk::Collared;
use super::{
    BUY, Book, CLOSED, CONTINUOUS, DAY, HALTED, LIMIT, MILLISECOND, Order, Venue, What, lots,
    number_of, within,
};

/// Whether an entry asks for nothing to be quoted.
fn takes_away(entry: &QuoteEntry) -> bool {
    let bid = entry.not_stated & 1 != 0 || entry.bid_quantity.0 == 0;
    let ask = entry.not_stated & 2 != 0 || entry.ask_quantity.0 == 0;
    bid && ask
}

/// Which quote an order is a side of: its session, group and instrument it has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteOf {
    pub layer: u16,
    /// QuoteEntryID.
    pub entry: u64,
}

/// What a mass quote's answer says of one side of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuoteSide {
    pub entry: u64,
    pub instrument: u32,
    pub layer: u16,
    /// 0 = there is none.
    pub number: u64,
    pub price: i64,
    pub lots: u64,
    pub status: u8,
    pub reason: Reason,
    /// Of the whole entry.
    pub tag: u16,
}

/// What protects a group of a firm, and what it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    pub quantity: u64,
    pub net: u64,
    pub fills: u32,
    pub window_ms: u32,
    pub frozen_ms: u32,
    /// `u64::MAX`: until it is reset.
    pub frozen_until: u64,
    /// When, how many lots, bought or (less than 0) sold.
    pub window: Vec<(u64, i64)>,
}

impl Protection {
    fn forget(&mut self, now: u64) {
        let window = u64::from(self.window_ms) * MILLISECOND;
        self.window.retain(|fill| fill.0 + window > now);
    }

    fn lots(&self) -> u64 {
        self.window.iter().map(|fill| fill.1.unsigned_abs()).sum()
    }

    fn net(&self) -> i64 {
        self.window.iter().map(|fill| fill.1).sum()
    }

    /// Counts a fill of now. The first limit that it reaches.
    fn count(&mut self, now: u64, side: u8, lots: u64) -> Option<ProtectionLimit> {
        let signed = lots as i64;
        self.window
            .push((now, if side == BUY { signed } else { -signed }));
        self.forget(now);
        let (lots, net, fills) = (self.lots(), self.net(), self.window.len() as u32);
        let reached = |limit: u64, is: u64| limit != 0 && is >= limit;
        if reached(self.quantity, lots) {
            Some(ProtectionLimit::Quantity)
        } else if reached(u64::from(self.fills), u64::from(fills)) {
            Some(ProtectionLimit::Fills)
        } else if reached(self.net, net.unsigned_abs()) {
            Some(ProtectionLimit::Net)
        } else if fills > PROTECTION_FILLS_MAX {
            Some(ProtectionLimit::Capacity)
        } else {
            None
        }
    }

    /// Its settings alone, as they are told.
    fn settings(&self) -> Self {
        Self {
            window: Vec::new(),
            frozen_until: 0,
            ..self.clone()
        }
    }
}

impl Venue {
    // Protection.

    pub(super) fn is_frozen(&self, session: u32, group: u16) -> bool {
        let firm = self.sessions[session as usize].firm;
        let group = self.groups.get(&(firm, group));
        group.is_some_and(|group| group.frozen_until > self.now)
    }

    /// There may be no other group, at all or of the firm.
    fn has_all_groups(&self, firm: u32) -> bool {
        let of_firm = self.groups.keys().filter(|(owner, _)| *owner == firm);
        let (all, one) = self.group_capacity;
        self.groups.len() >= all || of_firm.count() >= one
    }

    pub fn configure_protection(&mut self, session: u32, request: &ConfigureProtection) {
        let firm = self.sessions[session as usize].firm;
        let key = (firm, request.protection_group);
        let refusal = if number_of(&request.client_order_id) == 0 {
            Some(Reason::InvalidClientOrderId)
        } else if request.protection_group == 0
            || request.window_ms > PROTECTION_WINDOW_MS_MAX
            || request.fills > PROTECTION_FILLS_MAX
        {
            Some(Reason::ProtectionInvalid)
        } else if request.window_ms != 0
            && !self.groups.contains_key(&key)
            && self.has_all_groups(firm)
        {
            Some(Reason::ProtectionCapacity)
        } else {
            None
        };
        if refusal.is_none() {
            if request.window_ms == 0 {
                let was = self.groups.remove(&key).is_some();
                self.saw(format!("protection taken away: {was}"));
            } else {
                self.saw("protection set");
                let now = self.now;
                let group = self.groups.entry(key).or_default();
                group.forget(now);
                group.quantity = request.quantity.0;
                group.net = request.net.0;
                group.fills = request.fills;
                group.window_ms = request.window_ms;
                group.frozen_ms = request.frozen_ms;
                group.forget(now);
            }
        }
        let asked = Protection {
            quantity: request.quantity.0,
            net: request.net.0,
            fills: request.fills,
            window_ms: request.window_ms,
            frozen_ms: request.frozen_ms,
            ..Protection::default()
        };
        let client = number_of(&request.client_order_id);
        self.tell_protection(session, client, key, refusal, asked);
    }

    pub fn reset_protection(&mut self, session: u32, request: &ResetProtection) {
        let firm = self.sessions[session as usize].firm;
        let key = (firm, request.protection_group);
        let client = number_of(&request.client_order_id);
        let now = self.now;
        let mut refusal = None;
        let mut settings = Protection::default();
        if client == 0 {
            refusal = Some(Reason::InvalidClientOrderId);
        } else if let Some(group) = self.groups.get_mut(&key) {
            let thaws = group.frozen_until > now;
            group.frozen_until = 0;
            group.window.clear();
            settings = group.settings();
            self.saw(format!("protection reset, frozen: {thaws}"));
        } else {
            refusal = Some(Reason::ProtectionInvalid);
        }
        self.tell_protection(session, client, key, refusal, settings);
    }

    fn tell_protection(
        &mut self,
        session: u32,
        client: u64,
        key: (u32, u16),
        refusal: Option<Reason>,
        settings: Protection,
    ) {
        let mut what = (0, 0, 0);
        if refusal.is_none()
            && let Some(group) = self.groups.get(&key)
        {
            let frozen = group.frozen_until > self.now;
            let until = if frozen { group.frozen_until } else { 0 };
            what = (until, group.lots(), group.window.len() as u32);
        }
        let what = What::ProtectionSet {
            client,
            group: key.1,
            settings,
            frozen_until: what.0,
            window_lots: what.1,
            window_fills: what.2,
        };
        self.tell(session, refusal.unwrap_or(Reason::None), what);
    }

    /// An order at rest was filled; its group counts it, and may trip.
    /// Whether the incoming order is still there: it may be of the group, too.
    pub(super) fn count_fill(&mut self, filled: &Order, lots: u64, incoming: &Order) -> bool {
        let now = self.now;
        let Some(group) = self.groups.get_mut(&(filled.firm, filled.group)) else {
            return true;
        };
        let Some(limit) = group.count(now, filled.side, lots) else {
            return true;
        };
        let (total, net, fills) = (group.lots(), group.net(), group.window.len() as u32);
        group.frozen_until = match group.frozen_ms {
            0 => u64::MAX,
            frozen => now + u64::from(frozen) * MILLISECOND,
        };
        let what = What::Tripped {
            group: filled.group,
            number: filled.number,
            limit: limit as u8,
            frozen_until: group.frozen_until,
            lots: total,
            net,
            fills,
        };
        group.window.clear();
        self.saw(format!("protection tripped: {limit:?}"));
        self.tell(filled.session, Reason::ProtectionTripped, what);
        let theirs = |order: &Order| (order.firm, order.group) == (filled.firm, filled.group);
        let mut ending: Vec<Order> = self.open_orders().into_iter().cloned().collect();
        let entering = std::mem::take(&mut self.entering);
        let (gone, stay) = entering.into_iter().partition(theirs);
        self.entering = stay;
        if !Vec::is_empty(&gone) {
            self.saw("protection tripped in a mass quote");
        }
        ending.retain(theirs);
        ending.extend(gone);
        let ends = theirs(incoming) && incoming.open() > 0;
        if ends {
            self.saw("protection ended the incoming order");
            ending.push(incoming.clone());
        }
        ending.sort_by_key(|order| order.number);
        for order in ending {
            self.remove(order.number);
            let kind = if order.quote.is_some() {
                "a quote"
            } else {
                "an order"
            };
            self.saw(format!("protection ended {kind}"));
            let why = Reason::ProtectionTripped;
            self.end(order, OrderStatus::Canceled, why, 0);
        }
        !ends
    }

    /// What an order could trade at once, as FOK and MinQty count it: matched in thought, with all that would trip.
    pub(super) fn enough(&self, at: usize, order: &Order, band: (i64, i64)) -> u64 {
        if self.groups.is_empty() {
            return self.books[at].enough(order, band);
        }
        let mut groups = self.groups.clone();
        let mut queue: VecDeque<Order> = (self.books[at].side(3 - order.side).iter())
            .take_while(|resting| order.reaches(resting.price) && within(band, resting.price))
            .cloned()
            .collect();
        let (mut found, mut visits, mut price) = (0, 0, None);
        while let Some(mut resting) = queue.pop_front() {
            visits += 1 + usize::from(price.replace(resting.price) != Some(resting.price));
            if found == order.open() || visits > FEASIBILITY_VISITS_MAX {
                break;
            }
            if order.may_not_meet(&resting) {
                if matches!(order.self_trade_prevention & 0x0F, 2) {
                    continue;
                }
                break;
            }
            let lots = resting.shown.min(order.open() - found);
            found += lots;
            resting.filled += lots;
            resting.shown -= lots;
            let theirs = |order: &Order| (order.firm, order.group) == (resting.firm, resting.group);
            let group = groups.get_mut(&(resting.firm, resting.group));
            if group.is_some_and(|group| group.count(self.now, resting.side, lots).is_some()) {
                queue.retain(|order| !theirs(order));
                if theirs(order) {
                    break;
                }
            } else if resting.open() > 0 && resting.shown == 0 {
                resting.shown = resting.full_display();
                let behind = queue.iter().position(|next| next.price != resting.price);
                queue.insert(behind.unwrap_or(queue.len()), resting);
            }
        }
        found
    }

    // Quotes.

    fn quote(&self, session: u32, group: u16, entry: &QuoteEntry, side: u8) -> Option<&Order> {
        let key = (session, group, entry.instrument.0, side);
        (self.books.iter().flat_map(Book::orders))
            .chain(&self.entering)
            .find(|order| {
                order.quote.is_some_and(|quote| quote.layer == entry.layer)
                    && (order.session, order.group, order.instrument, order.side) == key
            })
    }

    /// Whether the name would be one too many: a name is there as long as one of its sides is.
    fn has_all_names(&mut self, key: (u32, u16, u32, u16)) -> bool {
        let orders = (self.books.iter().flat_map(Book::orders)).chain(&self.entering);
        let names: BTreeSet<(u32, u16, u32, u16)> = orders
            .filter_map(|order| {
                let quote = order.quote?;
                Some((order.session, order.group, order.instrument, quote.layer))
            })
            .collect();
        let firm = |session: u32| self.sessions[session as usize].firm;
        let of_firm = names.iter().filter(|name| firm(name.0) == firm(key.0));
        let (all, one) = self.quote_capacity;
        let full = (names.len() >= all, of_firm.count() >= one);
        if names.contains(&key) || full == (false, false) {
            return false;
        }
        self.saw(format!(
            "quote capacity: of all {}, of the firm {}",
            full.0, full.1
        ));
        true
    }

    pub fn mass_quote(&mut self, session: u32, head: &MassQuoteHead, entries: &[QuoteEntry]) {
        let withdraws = !entries.is_empty()
            && (entries.iter()).all(|entry| entry.edge_reason == 0 && takes_away(entry));
        // Who takes quotes away sends no message, to the rate.
        let rate = if withdraws {
            Ok(())
        } else {
            self.take_message(session)
        };
        let other_bits = head.instructions & !Instructions::POST_ONLY.0 != 0;
        let refusal = if number_of(&head.quote_id) == 0 {
            Some(Reason::InvalidClientOrderId)
        } else if !withdraws && self.is_blocked(session, 0) {
            Some(Reason::TradingBlocked)
        } else if let Err(why) = rate {
            Some(why)
        } else if !withdraws && !self.takes_account(session, head.account.0) {
            Some(Reason::UnknownAccount)
        } else if other_bits {
            Some(Reason::UnsupportedInstruction)
        } else if SelfTradePrevention::try_from(head.self_trade_prevention).is_err() {
            Some(Reason::UnsupportedSelfTradePrevention)
        } else if !withdraws && self.is_frozen(session, head.protection_group) {
            Some(Reason::ProtectionFrozen)
        } else {
            None
        };
        let mut answer = What::Quoted {
            quote_id: number_of(&head.quote_id),
            accepted: 0,
            refused: 0,
            group: head.protection_group,
            response: head.response,
            account: head.account.0,
            results: Vec::new(),
        };
        if let Some(why) = refusal {
            self.tell(session, why, answer);
            return;
        }
        self.saw("mass quote");
        let What::Quoted {
            accepted,
            refused,
            results,
            ..
        } = &mut answer
        else {
            unreachable!("it is an answer");
        };
        for (index, entry) in entries.iter().enumerate() {
            let refusal = self.check_entry_of_quote(session, index, entries);
            let sides = [1, 2].map(|side| {
                let result = self.quote_side(session, head, entry, side, refusal);
                match result.status {
                    0 => {}
                    4 => *refused += 1,
                    _ => *accepted += 1,
                }
                let status = QuoteStatus::try_from(result.status).expect("a status");
                self.saw(format!("quote: {status:?}"));
                if result.reason != Reason::None {
                    self.saw(format!("quote refused: {:?}", result.reason));
                }
                result
            });
            // An entry that does something gives its id to the whole quote.
            if sides.iter().any(|side| ![0, 4].contains(&side.status)) {
                self.take_entry_id(session, head.protection_group, entry);
            }
            results.push(sides);
        }
        self.tell(session, Reason::None, answer);
        while !self.entering.is_empty() {
            let order = self.entering.remove(0);
            self.enter_quote(order);
        }
    }

    fn take_entry_id(&mut self, session: u32, group: u16, entry: &QuoteEntry) {
        let key = (session, group, entry.instrument.0);
        let orders = self.books.iter_mut().flat_map(Book::lists).flatten();
        for order in orders.chain(&mut self.entering) {
            if (order.session, order.group, order.instrument) == key
                && let Some(quote) = &mut order.quote
                && quote.layer == entry.layer
            {
                quote.entry = number_of(&entry.entry_id);
            }
        }
    }

    /// A new quote enters the book, or ends before it.
    fn enter_quote(&mut self, order: Order) {
        let book = self.book(&order);
        let best = book.best_opposite(order.side);
        if book.phase != CONTINUOUS {
            self.saw("a quote's phase ended before it entered");
            self.end(order, OrderStatus::Canceled, Reason::PhaseEnded, 0);
        } else if order.is(Instructions::POST_ONLY) && best.is_some_and(|best| order.reaches(best))
        {
            self.end(order, OrderStatus::Canceled, Reason::PostOnlyWouldTake, 0);
        } else if !self.has_level(&order) {
            self.end(order, OrderStatus::Canceled, Reason::PriceLevelCapacity, 0);
        } else {
            self.go(order, false);
        }
    }

    /// What is wrong with both sides of an entry.
    fn check_entry_of_quote(
        &self,
        session: u32,
        index: usize,
        entries: &[QuoteEntry],
    ) -> Option<Reason> {
        let entry = &entries[index];
        if entry.edge_reason != 0 {
            return Reason::try_from(u16::from(entry.edge_reason)).ok();
        }
        let at = (entry.instrument.0 as usize).wrapping_sub(1);
        let Some(book) = self.books.get(at) else {
            return Some(Reason::UnknownInstrument);
        };
        if !takes_away(entry) && self.is_blocked(session, entry.instrument.0) {
            return Some(Reason::TradingBlocked);
        }
        if [CLOSED, HALTED].contains(&book.phase) {
            return Some(Reason::InstrumentNotTrading);
        }
        if book.phase != CONTINUOUS {
            return Some(Reason::NotAllowedInPhase);
        }
        let again = (entries[..index].iter())
            .any(|one| (one.instrument, one.layer) == (entry.instrument, entry.layer));
        if again {
            return Some(Reason::DuplicateQuoteEntry);
        }
        let both = entry.not_stated & 3 == 0;
        if both
            && entry.bid_quantity.0 != 0
            && entry.ask_quantity.0 != 0
            && entry.bid_price >= entry.ask_price
        {
            return Some(Reason::QuoteCrossed);
        }
        None
    }

    fn quote_side(
        &mut self,
        session: u32,
        head: &MassQuoteHead,
        entry: &QuoteEntry,
        side: u8,
        refusal: Option<Reason>,
    ) -> QuoteSide {
        let group = head.protection_group;
        let there = self.quote(session, group, entry, side).cloned();
        let (price, wanted) = if side == BUY {
            (entry.bid_price.0, entry.bid_quantity.0)
        } else {
            (entry.ask_price.0, entry.ask_quantity.0)
        };
        let mut result = QuoteSide {
            entry: number_of(&entry.entry_id),
            instrument: entry.instrument.0,
            layer: entry.layer,
            number: there.as_ref().map_or(0, |order| order.number),
            price: there.as_ref().map_or(0, |order| order.price),
            lots: there.as_ref().map_or(0, Order::open),
            status: QuoteStatus::NotStated as u8,
            reason: Reason::None,
            tag: entry.edge_tag,
        };
        if entry.not_stated & side != 0 {
            return result;
        }
        if let Some(why) = refusal {
            result.status = QuoteStatus::Refused as u8;
            result.reason = why;
            return result;
        }
        if wanted == 0 {
            result.status = QuoteStatus::Absent as u8;
            if let Some(there) = there {
                self.remove(there.number);
                result.price = 0;
                result.lots = 0;
                result.status = QuoteStatus::Removed as u8;
            }
            return result;
        }
        let kept = there
            .as_ref()
            .filter(|order| order.price == price && wanted <= order.open());
        let key = (session, group, entry.instrument.0, entry.layer);
        let new = there.is_none()
            && self.open_orders().len() + self.entering.len() >= self.order_capacity;
        let unknown = self.has_all_names(key);
        let instrument = self.instruments[entry.instrument.0 as usize - 1];
        let quote = QuoteOf {
            layer: entry.layer,
            entry: number_of(&entry.entry_id),
        };
        // What it would be: until it is another order it is what is there, for the limits.
        let mut order = Order {
            number: result.number,
            session,
            firm: self.sessions[session as usize].firm,
            client: number_of(&head.quote_id),
            account: head.account.0,
            instrument: entry.instrument.0,
            side,
            order_type: LIMIT,
            time_in_force: DAY,
            instructions: head.instructions,
            self_trade_prevention: head.self_trade_prevention,
            price,
            terms: OrderTerms::NONE,
            quantity: wanted,
            filled: 0,
            notional: 0,
            shown: 0,
            released: false,
            reached: false,
            group,
            quote: Some(quote),
        };
        let mut check = lots(&instrument, wanted);
        if kept.is_none() {
            check = check
                .and_then(|()| self.limit(&instrument, price))
                .and_then(|()| self.within_limits(&order, Collared::Limit, false));
        }
        if new {
            check = check.and(Err(Reason::OrderCapacity));
        }
        if unknown {
            check = check.and(Err(Reason::QuoteCapacity));
        }
        if let Err(why) = check {
            result.status = QuoteStatus::Refused as u8;
            result.reason = why;
            return result;
        }
        result.price = price;
        result.lots = wanted;
        if let Some(kept) = kept {
            let number = kept.number;
            let orders = self.books[entry.instrument.0 as usize - 1].side_mut(side);
            for order in orders.iter_mut().filter(|order| order.number == number) {
                order.quantity = order.filled + wanted;
                order.shown = wanted;
                order.client = number_of(&head.quote_id);
                order.quote = Some(quote);
            }
            result.status = QuoteStatus::Kept as u8;
            return result;
        }
        if let Some(there) = there {
            self.remove(there.number);
        }
        self.accepted += 1;
        result.number = self.accepted;
        result.status = QuoteStatus::Entered as u8;
        order.number = self.accepted;
        self.entering.push(order);
        result
    }

    pub fn quote_cancel(&mut self, session: u32, request: &QuoteCancel) {
        let scope = QuoteCancelScope::try_from(request.scope);
        let named = matches!(
            scope,
            Ok(QuoteCancelScope::Instrument | QuoteCancelScope::Entry)
        );
        let instrument = request.instrument.0;
        let refusal = if number_of(&request.quote_id) == 0 {
            Some(Reason::InvalidClientOrderId)
        } else if scope.is_err() {
            Some(Reason::InvalidQuoteCancel)
        } else if named && (instrument == 0 || instrument as usize > self.instruments.len()) {
            Some(Reason::UnknownInstrument)
        } else {
            None
        };
        let mut canceled = 0;
        if let (None, Ok(scope)) = (refusal, scope) {
            let of_group = request.protection_group;
            let asked = number_of(&request.quote_id);
            canceled = self.cancel_all(Reason::CanceledByRequest, asked, |order| {
                let Some(quote) = order.quote else {
                    return false;
                };
                order.session == session
                    && match scope {
                        QuoteCancelScope::All => true,
                        QuoteCancelScope::Instrument => order.instrument == instrument,
                        QuoteCancelScope::Group => order.group == of_group,
                        QuoteCancelScope::Entry => {
                            (order.instrument, order.group, quote.layer)
                                == (instrument, of_group, request.layer)
                        }
                    }
            });
            let what = if canceled == 0 { " of nothing" } else { "" };
            self.saw(format!("quote cancel: {scope:?}{what}"));
        }
        let what = What::QuoteCancelDone {
            quote_id: number_of(&request.quote_id),
            canceled,
            instrument,
            group: request.protection_group,
            layer: request.layer,
            scope: request.scope,
        };
        self.tell(session, refusal.unwrap_or(Reason::None), what);
    }
}
