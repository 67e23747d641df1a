//! Mass quotes and quote cancels. A quote is an order in the slab, flagged `Flags::QUOTE`: matching,
//! cancels of many and the day roll treat it as one. What differs is its name: a record of the quote
//! book, which `Cold::bucket` leads to, in place of a ClientOrderId.
//!
//! A mass quote is answered as a whole first, in one event of its own step. By then everything is
//! decided: what is gone is gone, and new quotes have their slots and ids. They enter the book one
//! after the other in later steps, each matching to its end before the next.

use trading_engine_protocol::types::{
    ClientOrderId, Instructions, OrderId, OrderStatus, OrderType, Price, Quantity,
    QuoteCancelScope, QuoteStatus, Reason, SelfTradePrevention, SessionId, Side, TimeInForce,
    TradingPhase,
};
use zerocopy::IntoBytes;

use super::collect::{Meant, Purpose};
use super::command::{MassQuote, MassQuoteHead, QUOTE_ENTRIES_MAX, QuoteCancel, QuoteEntry};
use super::event::{
    EventSink, Fill, MassQuoteAnsweredHead, OrderCanceled, OrderRestated, QuoteCancelDone,
    QuoteCanceled, QuoteFill, QuoteRestated, QuoteResult,
};
use super::instrument::ladder_side;
use super::mass_cancel::Owners;
use super::order::{Cold, Flags};
use super::quote_book::{Found, QuoteName};
use super::risk::{Candidate, Collar};
use super::{Engine, Progress, Work};
use crate::limits::STEP_EVENTS_MAX;

/// Quotes a step may cancel.
const CANCELS_PER_STEP: usize = STEP_EVENTS_MAX - 2;
/// All new quotes of one message may end in one step.
const _: () = assert!(2 * QUOTE_ENTRIES_MAX < STEP_EVENTS_MAX);

/// The mass quote or quote cancel at work.
pub(super) struct Quoting {
    results: Vec<QuoteResult>,
    /// Records that the message named so far.
    named: Vec<u32>,
    /// Ids of the new quotes, in the order in which they enter: ascending.
    entering: Vec<u64>,
    /// The first of them that is still to enter.
    next: usize,
    /// The answer to the quote cancel, which has what it means too.
    canceled: QuoteCancelDone,
    scope: QuoteCancelScope,
}

impl Quoting {
    pub fn new() -> Self {
        Self {
            results: Vec::with_capacity(QUOTE_ENTRIES_MAX),
            named: Vec::with_capacity(QUOTE_ENTRIES_MAX),
            entering: Vec::with_capacity(2 * QUOTE_ENTRIES_MAX),
            next: 0,
            canceled: QuoteCancelDone::default(),
            scope: QuoteCancelScope::All,
        }
    }

    /// Ids of the quotes that are still to enter.
    pub fn entering(&self) -> &[u64] {
        self.entering.get(self.next..).unwrap_or(&[])
    }
}

/// What all quotes of a message have in common.
struct Common<'a> {
    session: SessionId,
    head: &'a MassQuoteHead,
    flags: Flags,
}

/// Where an entry's quotes are remembered.
struct Named {
    name: QuoteName,
    found: Found,
    record: Option<u32>,
}

/// What an entry says of a side; `None` = nothing.
fn stated(entry: &QuoteEntry, side: Side) -> Option<(Price, u64)> {
    let (bit, price, lots) = match side {
        Side::Buy => (1, entry.bid_price, entry.bid_quantity.0),
        Side::Sell => (2, entry.ask_price, entry.ask_quantity.0),
    };
    (entry.not_stated & bit == 0).then_some((price, lots))
}

/// Whether no side that an entry states has lots.
fn only_takes_away(entry: &QuoteEntry) -> bool {
    let sides = [Side::Buy, Side::Sell].map(|side| stated(entry, side));
    sides.iter().flatten().all(|(_, lots)| *lots == 0)
}

/// Whether a mass quote does nothing but take quotes away.
fn is_withdrawal(entries: &[QuoteEntry]) -> bool {
    let takes_away = |entry: &QuoteEntry| entry.edge_reason == 0 && only_takes_away(entry);
    !entries.is_empty() && entries.iter().all(takes_away)
}

/// Whether an entry's sides would trade with each other.
fn is_crossed(entry: &QuoteEntry) -> bool {
    match (stated(entry, Side::Buy), stated(entry, Side::Sell)) {
        (Some((bid, bid_lots)), Some((ask, ask_lots))) => {
            bid_lots > 0 && ask_lots > 0 && bid >= ask
        }
        _ => false,
    }
}

/// Whether one of these entries has the same instrument and layer.
fn names_too(entries: &[QuoteEntry], entry: &QuoteEntry) -> bool {
    let name = |entry: &QuoteEntry| (entry.instrument, entry.layer);
    entries.iter().any(|other| name(other) == name(entry))
}

impl Engine {
    /// Whether an instrument's phase takes quotes: asked when they are answered, and again when
    /// each enters the book.
    pub(super) fn may_quote(&self, instrument: u16) -> Result<(), Reason> {
        match self.instruments[usize::from(instrument)].phase {
            TradingPhase::Continuous => Ok(()),
            TradingPhase::Closed | TradingPhase::Halted => Err(Reason::InstrumentNotTrading),
            TradingPhase::PreOpen
            | TradingPhase::OpeningAuction
            | TradingPhase::VolatilityAuction
            | TradingPhase::ClosingAuction => Err(Reason::NotAllowedInPhase),
        }
    }

    #[inline(never)]
    pub(super) fn mass_quote(&mut self, quote: &MassQuote, sink: &mut impl EventSink) -> Progress {
        self.quoting.results.clear();
        self.quoting.entering.clear();
        self.quoting.next = 0;
        // Who takes quotes away is not kept from it.
        let withdraws = is_withdrawal(&quote.entries);
        let rate = if withdraws { Ok(()) } else { self.check_rate() };
        let flags = match self.check_mass_quote(&quote.head, withdraws, rate) {
            Ok(flags) => flags,
            Err(reason) => {
                self.answer_mass_quote(&quote.head, reason, sink);
                return Progress::Done;
            }
        };
        let common = Common {
            session: self.asking.0,
            head: &quote.head,
            flags,
        };
        for index in 0..quote.entries.len().min(QUOTE_ENTRIES_MAX) {
            let (earlier, rest) = quote.entries.split_at(index);
            let result = self.look_at_entry(&common, earlier, &rest[0]);
            self.quoting.results.push(result);
        }
        while let Some(record) = self.quoting.named.pop() {
            self.quotes.record_mut(record).named = false;
        }
        self.answer_mass_quote(&quote.head, Reason::None, sink);
        if self.quoting.entering.is_empty() {
            return Progress::Done;
        }
        self.work = Work::EnterQuotes;
        Progress::More
    }

    /// What would be wrong with all of it; otherwise what its orders have in common.
    fn check_mass_quote(
        &self,
        head: &MassQuoteHead,
        withdraws: bool,
        rate: Result<(), Reason>,
    ) -> Result<Flags, Reason> {
        if head.quote_id.is_none() {
            return Err(Reason::InvalidClientOrderId);
        }
        if !withdraws && self.session_blocked(self.asking.0) {
            return Err(Reason::TradingBlocked);
        }
        rate?;
        if !withdraws {
            self.check_account(self.asking.0, head.account)?;
        }
        if head.instructions & !Instructions::POST_ONLY.0 != 0 {
            return Err(Reason::UnsupportedInstruction);
        }
        let self_trade = SelfTradePrevention::try_from(head.self_trade_prevention)
            .map_err(|_| Reason::UnsupportedSelfTradePrevention)?;
        if !withdraws {
            self.check_frozen(self.asking.0, head.protection_group)?;
        }
        let post_only = Instructions(head.instructions).has(Instructions::POST_ONLY);
        Ok(Flags::RESTS
            .with(Flags::QUOTE)
            .with_if(self_trade != SelfTradePrevention::None, Flags::SELF_TRADE)
            .with_if(post_only, Flags::POST_ONLY)
            .with_if(head.protection_group != 0, Flags::PROTECTED)
            .with_if(self.is_limited(self.asking.0), Flags::LIMITED))
    }

    /// The whole answer is one event, the only one of its step.
    fn answer_mass_quote(
        &mut self,
        head: &MassQuoteHead,
        reason: Reason,
        sink: &mut impl EventSink,
    ) {
        let mut answer = MassQuoteAnsweredHead {
            quote_id: head.quote_id,
            protection_group: head.protection_group,
            response: head.response,
            account: head.account,
            ..MassQuoteAnsweredHead::default()
        };
        for result in &self.quoting.results {
            for status in [result.bid_status, result.ask_status] {
                let refused = status == QuoteStatus::Refused.as_u8();
                let stated = status != QuoteStatus::NotStated.as_u8();
                answer.refused += u16::from(refused);
                answer.accepted += u16::from(stated && !refused);
            }
        }
        let header = self
            .next_header(self.asking.0, reason, 0)
            .of_mass_quote(self.quoting.results.len());
        let results = self.quoting.results.as_bytes();
        sink.write([header.as_bytes(), answer.as_bytes(), results]);
    }

    /// Decides an entry: both sides of it, and what they replace.
    fn look_at_entry(
        &mut self,
        common: &Common<'_>,
        earlier: &[QuoteEntry],
        entry: &QuoteEntry,
    ) -> QuoteResult {
        let name = QuoteName {
            session: common.session,
            instrument: entry.instrument,
            group: common.head.protection_group,
            layer: entry.layer,
        };
        let found = self.quotes.find(&name);
        let mut named = Named {
            name,
            record: found.record,
            found,
        };
        let verdict = self.check_quotes(&named, earlier, entry);
        self.note_named(named.record);
        let mut result = QuoteResult {
            entry_id: entry.entry_id,
            instrument: entry.instrument,
            layer: entry.layer,
            ..QuoteResult::default()
        };
        if verdict.is_err() && entry.edge_reason != 0 {
            result.ref_tag = entry.edge_tag;
        }
        let mut taken = false;
        for side in [Side::Buy, Side::Sell] {
            let mut gone = OrderId(0);
            let (status, reason) = match stated(entry, side) {
                None => (QuoteStatus::NotStated, Reason::None),
                Some(asked) => {
                    match verdict
                        .and_then(|()| self.quote_side(common, &mut named, side, asked, &mut gone))
                    {
                        Ok(status) => (status, Reason::None),
                        Err(reason) => (QuoteStatus::Refused, reason),
                    }
                }
            };
            taken |= !matches!(status, QuoteStatus::NotStated | QuoteStatus::Refused);
            let (order, price, lots) = self.quoted(named.record, side, gone);
            match side {
                Side::Buy => {
                    (result.bid_order, result.bid_price, result.bid_quantity) =
                        (order, price, lots);
                    (result.bid_status, result.bid_reason) = (status.as_u8(), reason.code());
                }
                Side::Sell => {
                    (result.ask_order, result.ask_price, result.ask_quantity) =
                        (order, price, lots);
                    (result.ask_status, result.ask_reason) = (status.as_u8(), reason.code());
                }
            }
        }
        if let Some(record) = named.record.filter(|_| taken) {
            self.quotes.record_mut(record).entry_id = entry.entry_id;
        }
        result
    }

    /// Checks of both sides together.
    #[inline]
    fn check_quotes(
        &self,
        named: &Named,
        earlier: &[QuoteEntry],
        entry: &QuoteEntry,
    ) -> Result<(), Reason> {
        if entry.edge_reason != 0 {
            let reason = u16::from(entry.edge_reason);
            return Err(Reason::try_from(reason).unwrap_or(Reason::InvalidField));
        }
        let instrument = self.defined(entry.instrument)?;
        if instrument.blocked && !only_takes_away(entry) {
            return Err(Reason::TradingBlocked);
        }
        self.may_quote(instrument.id())?;
        // Entries without a record have left no trace but in the message.
        let twice = match named.record {
            Some(record) => self.quotes.record(record).named,
            None => names_too(earlier, entry),
        };
        if twice {
            return Err(Reason::DuplicateQuoteEntry);
        }
        if is_crossed(entry) {
            return Err(Reason::QuoteCrossed);
        }
        Ok(())
    }

    /// A later entry with the same name is one too many.
    #[inline]
    fn note_named(&mut self, record: Option<u32>) {
        let Some(number) = record else { return };
        let record = self.quotes.record_mut(number);
        if !record.named {
            record.named = true;
            self.quoting.named.push(number);
        }
    }

    /// A side as it is after its answer: order, price and open lots. `gone` = the last it had.
    fn quoted(&self, record: Option<u32>, side: Side, gone: OrderId) -> (OrderId, Price, Quantity) {
        let slot = record.and_then(|record| self.quotes.record(record).slot(side));
        match slot {
            Some(slot) => {
                let state = &self.orders.slots[slot as usize].cold.state;
                let open = Quantity(self.orders.slots[slot as usize].hot.leaves);
                (state.order_id, state.price, open)
            }
            None => (gone, Price(0), Quantity(0)),
        }
    }

    /// Checks a side and does what it asks for, up to its entering the book. `gone` becomes the id of
    /// what is removed.
    #[inline]
    fn quote_side(
        &mut self,
        common: &Common<'_>,
        named: &mut Named,
        side: Side,
        (price, lots): (Price, u64),
        gone: &mut OrderId,
    ) -> Result<QuoteStatus, Reason> {
        let old = named
            .record
            .and_then(|record| self.quotes.record(record).slot(side));
        if lots == 0 {
            let Some(slot) = old else {
                return Ok(QuoteStatus::Absent);
            };
            *gone = self.orders.order_id(slot);
            self.withdraw(slot);
            self.give_back(named);
            return Ok(QuoteStatus::Removed);
        }
        let instrument = self.defined(named.name.instrument)?;
        let id = instrument.id();
        instrument.check_quantity(Quantity(lots))?;
        let tick = instrument.tick_of(price)?;
        let rules = match instrument.has_price_rules {
            true => self.check_rules(instrument, price, tick),
            false => Ok(()),
        };
        if let Some(slot) = old {
            let hot = &self.orders.slots[slot as usize].hot;
            if hot.tick == tick && lots <= hot.leaves {
                self.keep(slot, lots, common.head.quote_id);
                return Ok(QuoteStatus::Kept);
            }
        }
        rules?;
        if common.flags.any(Flags::LIMITED) {
            self.check_limits(&Candidate {
                session: common.session,
                account: common.head.account,
                instrument: named.name.instrument,
                side,
                price,
                may_trade: true,
                quantity: Quantity(lots),
                open: lots,
                seen: None,
                collar: Collar::Limit,
                instead_of: old,
            })?;
        }
        if old.is_none() && !self.orders.has_room() {
            return Err(Reason::OrderCapacity);
        }
        if !self.orders.has_ids() {
            return Err(Reason::OrderIdExhausted);
        }
        let record = self.record_of(named)?;
        if let Some(slot) = old {
            self.withdraw(slot);
        }
        let slot = self.orders.take(id, tick, lots, common.flags);
        self.quotes.record_mut(record).set_slot(side, slot);
        let order_id = self.orders.order_id(slot);
        let cold = &mut self.orders.slots[slot as usize].cold;
        describe(cold, common, side, price, lots);
        cold.state.order_id = order_id;
        cold.state.instrument = named.name.instrument;
        cold.bucket = record;
        self.quoting.entering.push(order_id.0);
        if common.flags.any(Flags::LIMITED) {
            self.count(slot);
        }
        Ok(QuoteStatus::Entered)
    }

    /// The record of a name, which gets one now if it had none.
    #[inline]
    fn record_of(&mut self, named: &mut Named) -> Result<u32, Reason> {
        if let Some(record) = named.record {
            return Ok(record);
        }
        let firm = self.firm_of(named.name.session).0 as usize;
        let has_room = self.firms[firm].quotes < self.limits.quotes_per_firm;
        if !has_room || !self.quotes.has_room() {
            return Err(Reason::QuoteCapacity);
        }
        self.firms[firm].quotes += 1;
        let record = self.quotes.insert(named.name, &named.found);
        named.record = Some(record);
        self.note_named(named.record);
        Ok(record)
    }

    /// A name whose last quote this entry took away is free, for the entries behind it already.
    fn give_back(&mut self, named: &mut Named) {
        let empty = |&record: &u32| self.quotes.record(record).is_empty();
        let Some(record) = named.record.filter(empty) else {
            return;
        };
        // It is the one that was noted last.
        let noted = self.quoting.named.pop();
        debug_assert!(noted == Some(record), "Invariant: an entry notes its name");
        self.free_name(record);
        named.record = None;
        named.found = self.quotes.find(&named.name);
    }

    fn free_name(&mut self, record: u32) {
        let firm = self.firm_of(self.quotes.record(record).name.session);
        self.firms[firm.0 as usize].quotes -= 1;
        self.quotes.remove(record);
    }

    /// A quote at rest is gone; the answer says so.
    fn withdraw(&mut self, slot: u32) {
        self.take_off(slot);
        if let Some(before) = self.counted(slot) {
            self.orders.slots[slot as usize].hot.leaves = 0;
            self.recount(slot, before);
        }
        self.release(slot, OrderStatus::Canceled);
    }

    /// A quote at rest gets smaller, or only another id, and keeps its place.
    #[inline]
    fn keep(&mut self, slot: u32, lots: u64, quote_id: ClientOrderId) {
        let less = self.orders.slots[slot as usize].hot.leaves - lots;
        if less > 0 {
            let counted = self.counted(slot);
            let place = self.place_of(slot);
            self.ladders.at_mut(place).lots -= less;
            self.orders.slots[slot as usize].hot.leaves = lots;
            if let Some(before) = counted {
                self.recount(slot, before);
            }
        }
        let state = &mut self.orders.slots[slot as usize].cold.state;
        state.quantity.0 -= less;
        state.client_order_id = quote_id;
    }

    /// A quote ended: its record has nothing on that side any more. The mass quote at work decides
    /// itself what becomes of the names it names.
    pub(super) fn quote_ended(&mut self, slot: u32) {
        let cold = &self.orders.slots[slot as usize].cold;
        let (number, side) = (cold.bucket, cold.side());
        let record = self.quotes.record_mut(number);
        record.clear_slot(side);
        if record.is_empty() && !record.named {
            self.free_name(number);
        }
    }

    fn entry_id_of(&self, slot: u32) -> ClientOrderId {
        let record = self.orders.slots[slot as usize].cold.bucket;
        self.quotes.record(record).entry_id
    }

    /// New quotes enter the book: those that only come to rest together, one that trades in steps of
    /// its own.
    pub(super) fn enter_quotes(&mut self, sink: &mut impl EventSink) -> Progress {
        let mut ended = 0;
        while let Some(&id) = self.quoting.entering().first() {
            // One that is gone was pulled with its group.
            let Some(slot) = self.orders.find(OrderId(id)) else {
                self.quoting.next += 1;
                continue;
            };
            match self.check_entering(slot) {
                Ok(false) => self.come_to_rest(slot),
                Ok(true) if ended > 0 => break,
                Ok(true) => {
                    self.quoting.next += 1;
                    let progress = self.match_on(slot, sink);
                    return self.after_quote(progress);
                }
                Err(reason) => {
                    self.end(slot, OrderStatus::Canceled, reason, sink);
                    ended += 1;
                }
            }
            self.quoting.next += 1;
        }
        self.work = Work::Nothing;
        self.after_quote(Progress::Done)
    }

    /// What a quote did is finished, or not: others of its message may still have to enter.
    #[inline]
    pub(super) fn after_quote(&mut self, progress: Progress) -> Progress {
        if progress == Progress::Done && !self.quoting.entering().is_empty() {
            self.work = Work::EnterQuotes;
            return Progress::More;
        }
        progress
    }

    /// Whether a quote that is about to enter would trade at once; or why it cannot enter.
    fn check_entering(&self, slot: u32) -> Result<bool, Reason> {
        let hot = &self.orders.slots[slot as usize].hot;
        let id = hot.instrument;
        if self.may_quote(id).is_err() {
            return Err(Reason::PhaseEnded);
        }
        let side = self.side_of(slot);
        let instrument = &self.instruments[usize::from(id)];
        let takes = self.would_take(id, instrument, side, hot.tick);
        if takes && hot.flags.any(Flags::POST_ONLY) {
            return Err(Reason::PostOnlyWouldTake);
        }
        self.check_level(ladder_side(id, side), instrument.key(side, hot.tick))?;
        Ok(takes)
    }

    /// [`Engine::fill_both`]'s report of one side, if it may be a quote.
    pub(super) fn report_fill(
        &mut self,
        slot: u32,
        status: OrderStatus,
        fill: Fill,
        sink: &mut impl EventSink,
    ) {
        if !self.orders.slots[slot as usize].hot.flags.any(Flags::QUOTE) {
            return self.report(sink, slot, status, Reason::None, &fill);
        }
        let body = QuoteFill {
            entry_id: self.entry_id_of(slot),
            fill,
        };
        self.report(sink, slot, status, Reason::None, &body);
    }

    /// What self-trade prevention left of a quote.
    #[inline(never)]
    pub(super) fn restate_quote(
        &mut self,
        slot: u32,
        status: OrderStatus,
        restated: OrderRestated,
        sink: &mut impl EventSink,
    ) {
        let body = QuoteRestated {
            entry_id: self.entry_id_of(slot),
            restated,
        };
        self.report(sink, slot, status, Reason::SelfTradePrevented, &body);
    }

    /// [`Engine::end_for`] of a quote.
    #[inline(never)]
    pub(super) fn end_quote(
        &mut self,
        slot: u32,
        status: OrderStatus,
        reason: Reason,
        request: ClientOrderId,
        sink: &mut impl EventSink,
    ) {
        let counted = self.counted(slot);
        let open = std::mem::take(&mut self.orders.slots[slot as usize].hot.leaves);
        if let Some(before) = counted {
            self.recount(slot, before);
        }
        let body = QuoteCanceled {
            entry_id: self.entry_id_of(slot),
            canceled: OrderCanceled {
                request,
                canceled: Quantity(open),
                ..OrderCanceled::default()
            },
        };
        self.report(sink, slot, status, reason, &body);
        self.release(slot, status);
    }

    #[inline(never)]
    pub(super) fn quote_cancel(
        &mut self,
        request: &QuoteCancel,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.quoting.canceled = QuoteCancelDone {
            quote_id: request.quote_id,
            instrument: request.instrument,
            protection_group: request.protection_group,
            layer: request.layer,
            scope: request.scope,
            ..QuoteCancelDone::default()
        };
        let session = self.asking.0;
        match self.check_quote_cancel(request) {
            Err(reason) => {
                self.tell(sink, session, reason, self.quoting.canceled);
                Progress::Done
            }
            Ok(QuoteCancelScope::Entry) => {
                self.collect_entry(request);
                self.cancel_quotes_from(0, sink)
            }
            Ok(scope) => {
                self.quoting.scope = scope;
                let place = self.orders_of_owners(Owners::Session(session));
                self.search(place, Meant::ByQuoteCancel, Purpose::CancelQuotes, sink)
            }
        }
    }

    fn check_quote_cancel(&self, request: &QuoteCancel) -> Result<QuoteCancelScope, Reason> {
        if request.quote_id.is_none() {
            return Err(Reason::InvalidClientOrderId);
        }
        let scope =
            QuoteCancelScope::try_from(request.scope).map_err(|_| Reason::InvalidQuoteCancel)?;
        if matches!(
            scope,
            QuoteCancelScope::Instrument | QuoteCancelScope::Entry
        ) {
            self.defined(request.instrument)?;
        }
        Ok(scope)
    }

    /// Whether the quote cancel at work means a quote of the session.
    pub(super) fn is_quote_meant(&self, slot: u32) -> bool {
        let state = &self.orders.slots[slot as usize].cold.state;
        let request = &self.quoting.canceled;
        match self.quoting.scope {
            QuoteCancelScope::All | QuoteCancelScope::Entry => true,
            QuoteCancelScope::Instrument => state.instrument == request.instrument,
            QuoteCancelScope::Group => state.protection_group == request.protection_group,
        }
    }

    /// Both sides of one quote.
    fn collect_entry(&mut self, request: &QuoteCancel) {
        self.scratch.clear();
        let name = QuoteName {
            session: self.asking.0,
            instrument: request.instrument,
            group: request.protection_group,
            layer: request.layer,
        };
        let Some(record) = self.quotes.find(&name).record else {
            return;
        };
        for side in [Side::Buy, Side::Sell] {
            if let Some(slot) = self.quotes.record(record).slot(side) {
                self.scratch.push(self.orders.order_id(slot).0);
            }
        }
        self.scratch.sort_unstable();
    }

    /// Cancels the quotes that `scratch` names from `next` on, and then says how many.
    pub(super) fn cancel_quotes_from(
        &mut self,
        next: usize,
        sink: &mut impl EventSink,
    ) -> Progress {
        let request = self.quoting.canceled.quote_id;
        let last = self.scratch.len().min(next + CANCELS_PER_STEP);
        for index in next..last {
            if let Some(slot) = self.orders.find(OrderId(self.scratch[index])) {
                self.take_off(slot);
                let reason = Reason::CanceledByRequest;
                self.end_for(slot, OrderStatus::Canceled, reason, request, sink);
                self.quoting.canceled.canceled += 1;
            }
        }
        if last < self.scratch.len() {
            self.work = Work::CancelQuotes { next: last };
            return Progress::More;
        }
        self.work = Work::Nothing;
        let session = self.asking.0;
        self.tell(sink, session, Reason::None, self.quoting.canceled);
        Progress::Done
    }
}

/// What reports say of a new quote; the caller adds its instrument and record.
#[inline]
fn describe(cold: &mut Cold, common: &Common<'_>, side: Side, price: Price, lots: u64) {
    let head = common.head;
    cold.session = common.session;
    let state = &mut cold.state;
    state.client_order_id = head.quote_id;
    state.price = price;
    state.quantity = Quantity(lots);
    state.cumulative = Quantity(0);
    state.notional = [0; 2];
    state.account = head.account;
    state.side = side.as_u8();
    state.order_type = OrderType::Limit.as_u8();
    state.time_in_force = TimeInForce::Day.as_u8();
    state.instructions = head.instructions;
    state.self_trade_prevention = head.self_trade_prevention;
    state.protection_group = head.protection_group;
}
