//! What a desk asks for: mass cancels, kill switches, status, busts and corrections.

use trading_engine::engine::command::{
    AmendTrade, CommandKind, DefineInstrument, KillSwitch, MassCancel, NO_PRICE,
    OrderStatusRequest, OrderTerms,
};
use trading_engine_protocol::types::{KillScope, OrderStatus, Reason};

use super::{Book, CLOSED, Known, Means, Order, Refusal, Venue, What, agrees, number_of};

/// A kill switch that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    Session(u32),
    Firm(u32),
    /// Of a firm.
    User(u32, u32),
    Instrument(u32),
    Venue,
}

impl Venue {
    pub(super) fn is_blocked(&self, session: u32, instrument: u32) -> bool {
        let Some(of) = self.sessions.get(session as usize) else {
            return false;
        };
        [
            Block::Session(session),
            Block::Firm(of.firm),
            Block::User(of.firm, of.user),
            Block::Instrument(instrument),
            Block::Venue,
        ]
        .iter()
        .any(|block| {
            [true, false]
                .iter()
                .any(|by| self.blocks.contains(&(*by, *block)))
        })
    }

    pub fn mass_cancel(&mut self, session: u32, request: &MassCancel) {
        let done = |canceled: u64| What::MassCancelDone(canceled as u32, *request);
        if let Err(why) = self.check_mass_cancel(session, request) {
            self.tell(session, why, done(0));
            return;
        }
        let (firm, user) = {
            let of = &self.sessions[session as usize];
            (of.firm, of.user)
        };
        let theirs: Vec<bool> = (self.sessions.iter().enumerate())
            .map(|(id, other)| match request.scope {
                1 => id as u32 == session,
                2 => other.firm == firm,
                _ => other.firm == firm && other.user == user,
            })
            .collect();
        let products: Vec<u32> = self.instruments.iter().map(|one| one.product).collect();
        let closed: Vec<bool> = (self.books.iter().map(|book| book.phase == CLOSED)).collect();
        let filter = *request;
        let canceled = self.cancel_all(Reason::MassCanceled, 0, |order| {
            let at = order.instrument as usize - 1;
            theirs[order.session as usize]
                && (filter.instrument.0 == 0 || filter.instrument.0 == order.instrument)
                && (filter.product == 0 || filter.product == products[at])
                && (filter.side == 0 || filter.side == order.side)
                && (filter.by_account == 0 || filter.account.0 == order.account)
                && (filter.protection_group == 0 || filter.protection_group == order.group)
                && (filter.kinds != 1 || order.quote.is_some())
                && (filter.kinds != 2 || order.quote.is_none())
                && !closed[at]
        });
        let what = if canceled == 0 { " of nothing" } else { "" };
        let scope = match request.scope {
            1 => "session",
            2 => "firm",
            _ => "user",
        };
        self.saw(format!("mass cancel of a {scope}{what}"));
        self.tell(session, Reason::None, done(canceled));
    }

    fn check_mass_cancel(&self, session: u32, request: &MassCancel) -> Result<(), Reason> {
        let of = &self.sessions[session as usize];
        if number_of(&request.client_order_id) == 0 {
            return Err(Reason::InvalidClientOrderId);
        }
        let named = (request.instrument.0 != 0, request.product != 0);
        let is_of_its_type = match request.request_type {
            0 => true,
            b'1' => named == (true, false),
            b'3' => named == (false, true),
            b'7' => named == (false, false),
            _ => false,
        };
        let no_user = request.scope == 3 && of.user == 0;
        if request.side > 2
            || ![1, 2, 3].contains(&request.scope)
            || no_user
            || request.by_account > 1
            || request.kinds > 2
            || !is_of_its_type
        {
            return Err(Reason::InvalidMassCancel);
        }
        if request.scope == 2 && !of.risk {
            return Err(Reason::NotPermitted);
        }
        match request.instrument.0 as usize {
            0 => Ok(()),
            named if named > self.instruments.len() => Err(Reason::UnknownInstrument),
            named if self.books[named - 1].phase == CLOSED => Err(Reason::InstrumentNotTrading),
            _ => Ok(()),
        }
    }

    /// `session` 0: the venue.
    pub fn kill_switch(&mut self, session: u32, request: &KillSwitch) {
        let client = number_of(&request.client_order_id);
        let done = |canceled| What::KillSwitchDone {
            client,
            canceled,
            target: request.target,
            scope: request.scope,
            release: request.release,
            cancels_only: request.cancels_only,
        };
        let blocks = match self.check_kill_switch(session, request) {
            Ok(blocks) => blocks,
            Err(why) => {
                self.tell(session, why, done(0));
                return;
            }
        };
        let scope = KillScope::try_from(request.scope).expect("it was checked");
        if request.release == 1 {
            let mut was_set = false;
            for block in &blocks {
                was_set |= self.blocks.remove(&(false, *block));
                // What the venue has set a desk cannot release.
                if session == 0 {
                    was_set |= self.blocks.remove(&(true, *block));
                }
            }
            self.saw(format!("kill switch released: {scope:?} {was_set}"));
            self.tell(session, Reason::None, done(0));
            return;
        }
        let cancels_only = request.cancels_only == 1;
        let mut new = false;
        for block in blocks.iter().filter(|_| !cancels_only) {
            new |= self.blocks.insert((session == 0, *block));
        }
        if cancels_only {
            self.saw("kill switch that only cancels");
        } else if !new {
            self.saw("kill switch set again");
        }
        let sessions: Vec<(u32, u32)> = (self.sessions.iter())
            .map(|one| (one.firm, one.user))
            .collect();
        let why = if cancels_only {
            Reason::MassCanceled
        } else {
            Reason::KilledBySwitch
        };
        let canceled = self.cancel_all(why, 0, |order| {
            let (firm, user) = sessions[order.session as usize];
            blocks.iter().any(|block| match *block {
                Block::Session(session) => order.session == session,
                Block::Firm(one) => firm == one,
                Block::User(one, whose) => (firm, user) == (one, whose),
                Block::Instrument(instrument) => order.instrument == instrument,
                Block::Venue => true,
            })
        });
        let by = if session == 0 { "venue" } else { "session" };
        self.saw(format!("kill switch: {scope:?} by {by}"));
        self.tell(session, Reason::None, done(canceled));
    }

    fn check_kill_switch(&self, session: u32, request: &KillSwitch) -> Result<Vec<Block>, Reason> {
        if session != 0 && number_of(&request.client_order_id) == 0 {
            return Err(Reason::InvalidClientOrderId);
        }
        let target = request.target;
        let scope =
            KillScope::try_from(request.scope).map_err(|_| Reason::UnsupportedInstruction)?;
        let only_cancels = request.cancels_only != 0;
        if request.release > 1
            || request.cancels_only > 1
            || only_cancels && (session != 0 || request.release == 1)
        {
            return Err(Reason::UnsupportedInstruction);
        }
        let asking = &self.sessions[session as usize];
        let of_session = match scope {
            KillScope::Session | KillScope::Firm | KillScope::User => true,
            KillScope::Instrument | KillScope::Venue => false,
        };
        if session != 0 && (!asking.risk || !of_session) {
            return Err(Reason::NotPermitted);
        }
        match scope {
            KillScope::Session => {
                let of = (self.sessions.get(target as usize)).filter(|_| target != 0);
                let of = of.ok_or(Reason::UnknownSession)?;
                if session != 0 && of.firm != asking.firm {
                    return Err(Reason::NotPermitted);
                }
                Ok(vec![Block::Session(target)])
            }
            KillScope::Firm => {
                if session != 0 && target != asking.firm {
                    return Err(Reason::NotPermitted);
                }
                if !self.firms.contains_key(&target) {
                    return Err(Reason::UnknownSession);
                }
                Ok(vec![Block::Firm(target)])
            }
            KillScope::User => {
                let mut blocks: Vec<Block> = (self.sessions.iter())
                    .filter(|one| one.user == target && target != 0)
                    .filter(|one| session == 0 || one.firm == asking.firm)
                    .map(|one| Block::User(one.firm, target))
                    .collect();
                blocks.dedup();
                if blocks.is_empty() {
                    return Err(Reason::UnknownSession);
                }
                Ok(blocks)
            }
            KillScope::Instrument => {
                if target == 0 || target as usize > self.instruments.len() {
                    return Err(Reason::UnknownInstrument);
                }
                Ok(vec![Block::Instrument(target)])
            }
            KillScope::Venue => Ok(vec![Block::Venue]),
        }
    }

    // Asking.

    pub fn order_status(&mut self, session: u32, request: &OrderStatusRequest, means: Means) {
        let client = number_of(&request.client_order_id);
        let rate = self.take_message(session);
        if request.all == 1 {
            self.mass_status(session, request, rate);
            return;
        }
        let target = self.status_target(session, request, means);
        // Beyond the rate that is the answer, whatever is wrong with the question.
        let target = match (rate, target) {
            (Ok(()), target) => target,
            (Err(reason), Ok(order)) => Err((reason, order.open_status())),
            (Err(reason), Err((_, status))) => Err((reason, status)),
        };
        match target {
            Ok(order) => self.state_order(&order, client, 1, true, false),
            Err(why) => {
                let ids = (client, means.original);
                self.refused(session, ids, CommandKind::OrderStatusRequest, why);
            }
        }
    }

    fn status_target(
        &self,
        session: u32,
        request: &OrderStatusRequest,
        means: Means,
    ) -> Result<Order, Refusal> {
        let quote = (self.find(means.number))
            .filter(|order| order.session == session && order.quote.is_some());
        let order = match quote {
            Some(quote) if means.original == 0 => quote,
            _ => self.target(session, means)?,
        };
        agrees(order, request.instrument.0, request.side)?;
        Ok(order.clone())
    }

    fn mass_status(
        &mut self,
        session: u32,
        request: &OrderStatusRequest,
        rate: Result<(), Reason>,
    ) {
        let client = number_of(&request.client_order_id);
        if let Err(reason) = rate {
            self.saw("mass status beyond the rate");
            self.state_none(session, client, reason);
            return;
        }
        let orders: Vec<Order> = (self.open_orders().into_iter())
            .filter(|order| order.session == session)
            .filter(|order| [0, order.instrument].contains(&request.instrument.0))
            .filter(|order| [0, order.side].contains(&request.side))
            .cloned()
            .collect();
        let total = orders.len() as u32;
        for (index, order) in orders.iter().enumerate() {
            self.state_order(order, client, total, index + 1 == orders.len(), true);
        }
        if orders.is_empty() {
            self.saw("mass status of nothing");
            self.state_none(session, client, Reason::None);
        } else {
            self.saw("mass status");
            self.take_more_messages(session, u64::from(total));
        }
    }

    fn state_none(&mut self, session: u32, request: u64, why: Reason) {
        let what = What::Status {
            order: None,
            terms: OrderTerms::NONE,
            request,
            total: 0,
            is_last: true,
            all: true,
            quote: None,
            waits: 0,
            shown: 0,
        };
        self.tell(session, why, what);
    }

    fn state_order(&mut self, order: &Order, request: u64, total: u32, is_last: bool, all: bool) {
        let is_parked = (self.book(order).parked.iter()).any(|one| one.number == order.number);
        let waits = match (order.is_waiting(), is_parked) {
            (true, _) => 1,
            (_, true) => 2,
            _ => 0,
        };
        let kind = match (order.quote.is_some(), waits) {
            (true, _) => "a quote",
            (_, 1) => "a waiting stop",
            (_, 2) => "a parked order",
            _ => "a resting order",
        };
        self.saw(format!("status of {kind}"));
        let what = What::Status {
            order: Some(order.state(order.open_status())),
            terms: order.terms,
            request,
            total,
            is_last,
            all,
            quote: order.quote,
            waits,
            shown: if waits == 0 { order.shown } else { 0 },
        };
        self.tell(order.session, Reason::None, what);
    }

    // Busts and corrections.

    /// `numbers` and sessions: of the two fills, in their order. `newest`: the ExecIDs are those of the
    /// last reports of the trade.
    pub fn amend(&mut self, request: &AmendTrade, numbers: [u64; 2], newest: bool) {
        self.asking = 0;
        let trade = request.trade_id.0;
        let ended = [0, 1].map(|at: usize| {
            let fill = &request.fills[at];
            let states_end = fill.order.leaves.0 == 0 && [2, 4, 12].contains(&fill.order.status);
            let is_open = self.find(numbers[at]).is_some();
            u8::from(fill.checks_end == 1 && !states_end && !is_open) << at
        });
        let ended = ended[0] | ended[1];
        let refusal = if trade < self.first_trade || trade > self.trades {
            Some(Reason::UnknownTrade)
        } else if self.amended.get(&trade) == Some(&None) {
            Some(Reason::TradeAlreadyBusted)
        } else if self
            .amended
            .get(&trade)
            .is_some_and(|&at| !newest || at != Some(request.price.0))
        {
            Some(Reason::UnknownTrade)
        } else if ended != 0 {
            Some(Reason::OrderEnded)
        } else if request.new_price == NO_PRICE {
            None
        } else {
            let at = request.fills[0].order.instrument.0 as usize - 1;
            // Any price of the instrument, whatever its tick table says now.
            let any = DefineInstrument {
                tick_table: 0,
                ..self.instruments[at]
            };
            self.price(&any, request.new_price.0).err()
        };
        if let Some(why) = refusal {
            let ended = if why == Reason::OrderEnded { ended } else { 0 };
            self.tell(0, why, What::Ignored(ended));
            return;
        }
        let lots = request.quantity.0;
        let busts = request.new_price == NO_PRICE;
        let stands_at = (!busts).then_some(request.new_price.0);
        if let Some(before) = self.amended.insert(trade, stands_at) {
            let how = if busts { "busted" } else { "corrected again" };
            assert!(before.is_some());
            self.saw(format!("what was corrected is {how}"));
        }
        let change = if busts {
            -i128::from(request.price.0)
        } else {
            i128::from(request.new_price.0) - i128::from(request.price.0)
        } * i128::from(lots);
        for (number, fill) in numbers.into_iter().zip(&request.fills) {
            let mut open = None;
            // Of what ended the venue says it.
            let mut is_quote = fill.is_quote == 1;
            for order in self.books.iter_mut().flat_map(Book::lists).flatten() {
                if order.number == number {
                    order.notional += change;
                    if busts {
                        order.filled -= lots;
                        order.quantity -= lots;
                    }
                    open = Some(order.state(order.open_status()));
                    is_quote = order.quote.is_some();
                }
            }
            let is_open = open.is_some();
            let state = open.unwrap_or_else(|| {
                let mut state = self.last_reports[&number].clone();
                state.notional += change;
                // A quote that a mass quote removed was not told so in a report of its own.
                if state.leaves != 0 {
                    state.leaves = 0;
                    state.status = OrderStatus::Canceled as u8;
                }
                if busts {
                    state.cumulative -= lots;
                    if state.status == OrderStatus::Filled as u8 {
                        state.status = OrderStatus::Canceled as u8;
                    }
                }
                state
            });
            let id = (fill.session.0, number_of(&fill.order.client_order_id));
            let was_filled = matches!(self.known.get(&id), Some(Known::Ended(OrderStatus::Filled)));
            if was_filled && !is_open && !is_quote && state.status == OrderStatus::Canceled as u8 {
                let canceled = Known::Ended(OrderStatus::Canceled);
                self.known.insert(id, canceled);
                self.saw("what was filled is not any more");
            }
            let how = if busts { "bust" } else { "correction" };
            let of = if is_open { "open" } else { "ended" };
            let what = if is_quote { "a quote" } else { "an order" };
            self.saw(format!("{how} of {what} that is {of}"));
            let what = What::Amended {
                order: state,
                trade,
                price: request.price.0,
                lots,
                new_price: request.new_price.0,
                liquidity: fill.liquidity,
                is_quote,
            };
            self.tell(fill.session.0, Reason::None, what);
            let firm = self.sessions[fill.session.0 as usize].firm;
            let order = &fill.order;
            let of = (firm, order.account.0, order.instrument.0, order.side);
            let new_price = (!busts).then_some(request.new_price.0);
            self.book_amendment(trade, of, (request.price.0, new_price), lots);
        }
    }
}
