//! The matching core: a pure function of (state, sequenced command).
//!
//! Called by the engine agent (live), by recovery (replay) and by tests, always the same way:
//! [`Engine::apply_bytes`], then [`Engine::resume`] until [`Progress::Done`]. It never reads a clock, a
//! socket, a file, an environment variable or a random number, never allocates after
//! construction and never fails: a refusal is an event.
//!
//! * `order`: the slab; `ladder`: price levels; `client_ids`: ids of the day; `deadlines`: what is
//!   due when
//! * `phase`: trading phases; `auction`: the one price; `prices`: tick tables and bands
//! * `plain`: what most commands are; `entry`: new orders; `requests`: cancels and replaces; `matching`: trades; `stops`: orders that
//!   wait for a price; `mass_cancel`, `kill_switch`: many at once, `collect`: finding them; `day`: the trading day and
//!   expiries; `status`: what orders are; `amend`: trades that did not happen so
//! * `quotes`, `quote_book`: mass quotes, and what is quoted; `protection`: groups of a market maker,
//!   `mates`: their orders
//! * `risk`: limits of firms, and what is counted for them; `accounts`: which accounts a firm has
//! * `session`, `sessions`, `definitions`: logons and numbers, reference data
//! * `state_hash`: what two engines must agree on; `snapshot`: all of it as bytes; `view`: reference
//!   data for readers beside the core

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod accounts;
mod amend;
mod auction;
mod capacities;
mod client_ids;
mod collect;
pub mod command;
mod day;
mod deadlines;
mod definitions;
mod entry;
pub mod event;
mod feasibility;
mod instrument;
mod kill_switch;
// The bare book is public for `benches/engine.rs` alone.
#[doc(hidden)]
pub mod ladder;
mod mass_cancel;
mod matching;
mod mates;
#[doc(hidden)]
pub mod order;
mod phase;
mod plain;
mod prices;
mod protection;
mod quote_book;
mod quotes;
mod requests;
mod risk;
mod session;
mod sessions;
pub mod snapshot;
pub(crate) mod state_hash;
mod status;
mod stops;
mod view;

pub use session::SessionState;
pub use view::KillBlock;

use accounts::Accounts;
use amend::AmendedTrades;
use client_ids::ClientIds;
use collect::{Purpose, Search, Sorting};
use command::{
    CancelOrder, CommandBody, CommandError, CommandHeader, CommandKind, DefineFirm,
    DefineInstrument, DefineTickTable, EnterOrder, MassCancel, OrderTerms, ReplaceOrder,
};
use deadlines::Deadlines;
use event::{
    AuctionIndicative, AuditNoted, Body, CommandRefused, Event, EventHeader, EventSink,
    InstrumentState, KillSwitchDone, MassCancelDone, OpenOrder, OrderReport, OrderState,
    OrderStatusReport,
};
use instrument::{Instrument, ladder_side};
use ladder::Ladders;
use mass_cancel::Then;
use order::{Flags, NIL, Orders, touch, touch_spare};
use phase::{Afterwards, Stage, Transition};
use protection::Protection;
use quote_book::QuoteBook;
use quotes::Quoting;
use risk::{Counting, RiskLimits};
use session::Firm;
use stops::TradedRange;
use trading_engine_protocol::types::{
    Epoch, ExecId, FirmId, Generation, InstrumentId, OrderStatus, Price, Quantity, Reason,
    Sequence, SessionId, Side, TradeId, TradingPhase, UtcNanos,
};

use zerocopy::IntoBytes;

use crate::limits::{COMMAND_LENGTH_MAX, EngineLimits, ORDER_SLOT_BITS, TICK_TABLES_MAX};

/// Whether a command is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Everything it causes has been written.
    Done,
    /// [`Engine::resume`] has more to write; no other command may come in between.
    More,
}

/// Open orders from which on levels and orders are looked ahead to: fewer are in the core's own cache
/// (a megabyte) all the time. Ids of the day are not. Tests have few orders and are to look at all.
const MANY: u32 = if cfg!(debug_assertions) { 2 } else { 4_096 };

/// What a look ahead found: where the id of a command's order is, or may be. It may be out of date.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead(u32);

/// What is left of a command whose events did not fit one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Nothing,
    /// The order in this slot goes on matching.
    Match {
        slot: u32,
    },
    /// Day orders expire; the list of them is in `scratch`, `next` is the first not done.
    Expire {
        next: usize,
        trading_day: u32,
    },
    /// The day's ids are forgotten.
    ForgetIds {
        trading_day: u32,
    },
    /// Sessions from `next` on roll to the new day.
    RollSessions {
        next: usize,
        trading_day: u32,
    },
    /// Orders that outlive the day are restated; the list is the one of `Expire`.
    CarryOver {
        next: usize,
        trading_day: u32,
    },
    /// Orders that a command of many means are looked for.
    Search(Search),
    /// Those that were found are put into order.
    Sort {
        sorting: Sorting,
        purpose: Purpose,
    },
    /// Stops of this instrument may have to be released.
    Trigger {
        instrument: u16,
    },
    /// Orders that `scratch` names are canceled, from `next` on.
    Cancel {
        next: usize,
        reason: Reason,
        then: Then,
    },
    /// Orders that `scratch` names are stated, from `next` on.
    Status {
        next: usize,
    },
    /// New quotes of the mass quote at work enter the book.
    EnterQuotes,
    /// Quotes that `scratch` names are canceled, from `next` on.
    CancelQuotes {
        next: usize,
    },
    /// Orders of a protection group that reached a limit end, from `next` on; then the order that
    /// traded with it goes on.
    Pull {
        next: u32,
        instrument: u16,
        taker: u32,
    },
    /// Orders of a protection group that was set come to it, from `next` on.
    Gather {
        next: u32,
        firm: FirmId,
        group: u16,
    },
    /// What is open is counted in a set of limits that is new.
    CountOpen(Counting),
    /// More may be due before the command that is held.
    Deadlines,
    /// An instrument changes its phase.
    Phase(Stage),
}

/// What events say of the command at work, beside its number and time.
#[derive(Clone, Copy, Default)]
struct Cause {
    received_at: UtcNanos,
    /// Events so far.
    events: u32,
}

impl Cause {
    /// Header of the next event.
    #[inline(always)]
    fn next(&mut self, sequence: Sequence, sequenced_at: UtcNanos) -> EventHeader {
        let index = self.events;
        self.events += 1;
        EventHeader {
            sequence,
            sequenced_at,
            received_at: self.received_at,
            index,
            ..EventHeader::default()
        }
    }
}

/// What is done with start and length of a large table before it is made resident.
pub type Prepare = fn(*const u8, usize);

/// The matching core of one segment.
pub struct Engine {
    limits: EngineLimits,
    orders: Orders,
    ladders: Ladders,
    ids: ClientIds,
    quotes: QuoteBook,
    quoting: Quoting,
    protection: Protection,
    instruments: Box<[Instrument]>,
    firms: Box<[Firm]>,
    sessions: Box<[SessionState]>,
    /// Ids of orders that a command of many works through.
    scratch: Vec<u64>,
    /// Where they are merged while they are sorted.
    merged: Vec<u64>,
    deadlines: Deadlines,
    /// When the earliest is due.
    next_deadline: UtcNanos,
    /// A command that waits until what is due before it is done; empty = none.
    held: Box<[u64]>,
    held_length: usize,
    /// The mass cancel at work, and its answer.
    mass_cancel: MassCancel,
    mass_canceled: MassCancelDone,
    /// The answer to the kill switch at work.
    killed: KillSwitchDone,
    /// What the answers to the status request at work have in common.
    status: OrderStatusReport,
    /// A kill switch for everyone is on.
    venue_blocked: bool,
    amended: AmendedTrades,
    traded: TradedRange,
    /// Keys, of the stops to buy and to sell, above which none is that was passed; while they are released.
    search_passed_from: [u32; 2],
    tick_tables: Box<[DefineTickTable]>,
    risk: RiskLimits,
    accounts: Accounts,
    /// Tick + 1 that the dynamic band of the order at work is around, 0 = none.
    anchor: u32,
    transition: Transition,
    afterwards: Afterwards,
    sequence: Sequence,
    sequenced_at: UtcNanos,
    executions: u64,
    trades: u64,
    trading_day: u32,
    log_id: u64,
    /// See [`command::RULES`]; 0 = the log has not said.
    rules: u32,
    /// Its memory is resident, and each table was shown to this before.
    resident: Option<Prepare>,
    work: Work,
    cause: Cause,
    /// Inbound number and session of the command at work.
    asking: (SessionId, u64),
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("sequence", &self.sequence)
            .field("open_orders", &self.orders.live())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An empty engine; all memory it will ever use is allocated here.
    ///
    /// # Panics
    /// When a limit is outside what the layouts can name.
    pub fn new(limits: EngineLimits) -> Self {
        assert!(
            limits.orders >= 1 && limits.orders <= 1 << ORDER_SLOT_BITS,
            "Invariant: an order id can name every slot"
        );
        assert!(
            limits.client_order_ids >= limits.orders,
            "Invariant: every open order can keep its client order id"
        );
        assert!(
            limits.instruments <= u32::from(u16::MAX),
            "Invariant: 16 bits name an instrument"
        );
        let count = |limit: u32| limit as usize + 1;
        Self {
            limits,
            orders: Orders::new(limits.orders),
            ladders: Ladders::new(limits.instruments, limits.price_pages),
            ids: ClientIds::new(limits.client_order_ids),
            quotes: QuoteBook::new(limits.quotes, limits.instruments),
            quoting: Quoting::new(),
            protection: Protection::new(limits.protection_groups),
            instruments: vec![Instrument::default(); count(limits.instruments)].into(),
            firms: vec![Firm::default(); count(limits.firms)].into(),
            sessions: vec![SessionState::undefined(); count(limits.sessions)].into(),
            scratch: Vec::with_capacity(limits.orders as usize),
            merged: Vec::with_capacity(limits.orders as usize),
            deadlines: Deadlines::new(
                limits.orders as usize
                    + 2 * count(limits.sessions)
                    + 2 * count(limits.instruments)
                    + 1,
            ),
            next_deadline: UtcNanos(u64::MAX),
            held: vec![0; COMMAND_LENGTH_MAX / 8].into(),
            held_length: 0,
            mass_cancel: MassCancel::default(),
            mass_canceled: MassCancelDone::default(),
            killed: KillSwitchDone::default(),
            status: OrderStatusReport::default(),
            venue_blocked: false,
            amended: AmendedTrades::new(),
            traded: TradedRange::default(),
            search_passed_from: [u32::MAX; 2],
            tick_tables: vec![DefineTickTable::default(); count(TICK_TABLES_MAX)].into(),
            risk: RiskLimits::new(limits.risk_limits),
            accounts: Accounts::new(limits.accounts),
            anchor: 0,
            transition: Transition {
                instrument: 0,
                phase: TradingPhase::Continuous,
                reason: Reason::None,
            },
            afterwards: Afterwards::Nothing,
            sequence: Sequence(0),
            sequenced_at: UtcNanos(0),
            executions: 0,
            trades: 0,
            trading_day: 0,
            log_id: 0,
            rules: 0,
            resident: None,
            work: Work::Nothing,
            cause: Cause::default(),
            asking: (SessionId(0), 0),
        }
    }

    /// Start and length of each large table.
    pub fn memory(&self, mut each: impl FnMut(*const u8, usize)) {
        self.orders.memory(&mut each);
        self.ladders.memory(&mut each);
        self.ids.memory(&mut each);
        self.quotes.memory(&mut each);
        self.protection.memory(&mut each);
        self.deadlines.memory(&mut each);
        self.risk.memory(&mut each);
        self.accounts.memory(&mut each);
        self.amended.memory(&mut each);
        for ids in [&self.scratch, &self.merged] {
            each(ids.as_ptr().cast(), ids.capacity() * size_of::<u64>());
        }
    }

    /// Makes all of it resident, so that no command pays for a page of memory, and who has too little is
    /// told now. (Instruments, firms and sessions were written when they were made.) Once, before the
    /// first command that somebody waits for. The system is asked for large pages by `prepare` before; other capacities
    /// are given other memory in the same way.
    pub fn touch(&mut self, prepare: Prepare) {
        self.resident = Some(prepare);
        self.memory(prepare);
        self.orders.touch();
        self.ladders.touch();
        self.ids.touch();
        self.quotes.touch();
        self.protection.touch();
        self.deadlines.touch();
        self.risk.touch();
        self.accounts.touch();
        self.amended.touch();
        touch_spare(&mut self.scratch);
        touch_spare(&mut self.merged);
        touch(&mut self.held);
    }

    /// Names the memory that a command a few places ahead will look at first, and returns what
    /// [`Engine::look_closer`] and [`Engine::look_around`] go on from; nothing, while there are few
    /// orders. All three are hints: the state is not changed, and bytes that are no command name
    /// nothing, or what they would if they were one.
    #[inline(always)]
    pub fn look_ahead(&self, bytes: &[u8], mut each: impl FnMut(*const u8)) -> Ahead {
        let is_many = self.orders.live() >= MANY;
        if let Some(enter) = command::read_as::<EnterOrder>(bytes) {
            let id = &enter.body.client_order_id;
            each(self.ids.begins(enter.header.session, id).1);
            if is_many {
                let order = &enter.body;
                each(self.level_of(order.instrument, order.side, order.price));
            }
            return Ahead::default();
        }
        if let Some(replace) = command::read_as::<ReplaceOrder>(bytes) {
            let (session, request) = (replace.header.session, &replace.body);
            each(self.ids.begins(session, &request.client_order_id).1);
            if is_many {
                each(self.level_of(request.instrument, request.side, request.price));
            }
            let (bucket, address) = self.ids.begins(session, &request.original);
            each(address);
            return Ahead(if is_many { bucket + 1 } else { 0 });
        }
        let Some((session, id, is_there)) = command::first_id(bytes) else {
            return Ahead::default();
        };
        let (bucket, address) = self.ids.begins(session, id);
        each(address);
        // What enters has no order yet.
        Ahead(if is_there && is_many { bucket + 1 } else { 0 })
    }

    /// Names the memory of the order that a command looked ahead to means, some commands before it:
    /// what its id leads to is at hand now.
    #[inline(always)]
    pub fn look_closer(&self, ahead: Ahead, each: impl FnMut(*const u8)) {
        if let Some(slot) = self.meant(ahead) {
            self.orders.lines(slot).into_iter().for_each(each);
        }
    }

    /// Names the memory of the neighbours of that order, just before the command.
    #[inline(always)]
    pub fn look_around(&self, ahead: Ahead, each: impl FnMut(*const u8)) {
        if let Some(slot) = self.meant(ahead) {
            self.orders.neighbours(slot).into_iter().for_each(each);
        }
    }

    /// Where the level of an order is, if it has one and the order is as most are.
    #[inline(always)]
    fn level_of(&self, instrument: InstrumentId, side: u8, price: Price) -> *const u8 {
        let InstrumentId(id) = instrument;
        let Some(instrument) = self.instruments.get(id as usize) else {
            return std::ptr::null();
        };
        #[allow(clippy::cast_possible_truncation, reason = "instruments have 16 bits")]
        let id = id as u16;
        let tick = instrument.tick_near(price);
        let (side, key) = if side == Side::Buy.as_u8() {
            (Side::Buy, tick)
        } else {
            (Side::Sell, instrument.last_tick.wrapping_sub(tick))
        };
        self.ladders.look_at(ladder_side(id, side), key).0
    }

    /// Where an order was when the bucket was last written.
    #[inline(always)]
    fn meant(&self, Ahead(bucket): Ahead) -> Option<u32> {
        if bucket == 0 {
            return None;
        }
        self.ids.slot_in(bucket - 1)
    }

    /// Applies the next command of the log from its bytes, 8-aligned. The sink has room for
    /// `STEP_BYTES_MAX`.
    ///
    /// # Errors
    /// Bytes that are no command; the state is unchanged.
    ///
    /// # Panics
    /// When the command is not the next one, or the last one is unfinished: going on would make
    /// lasting damage.
    #[inline(always)]
    pub fn apply_bytes(
        &mut self,
        bytes: &[u8],
        sink: &mut impl EventSink,
    ) -> Result<Progress, CommandError> {
        if let Some(enter) = command::read_as::<EnterOrder>(bytes) {
            if self.come_to(&enter.header)
                && let Some(progress) = self.enter_plain(enter, sink)
            {
                return Ok(progress);
            }
            let body = CommandBody::EnterOrder(&enter.body);
            return Ok(self.apply_any(&enter.header, body, sink));
        }
        if let Some(cancel) = command::read_as::<CancelOrder>(bytes) {
            if self.come_to(&cancel.header) && self.cancel_plain(cancel, sink) {
                return Ok(Progress::Done);
            }
            let body = CommandBody::CancelOrder(&cancel.body);
            return Ok(self.apply_any(&cancel.header, body, sink));
        }
        if let Some(replace) = command::read_as::<ReplaceOrder>(bytes) {
            if self.come_to(&replace.header) && self.replace_plain(replace, sink) {
                return Ok(Progress::Done);
            }
            let body = CommandBody::ReplaceOrder(&replace.body);
            return Ok(self.apply_any(&replace.header, body, sink));
        }
        self.apply_other(bytes, sink)
    }

    /// A command of which there are few.
    #[inline(never)]
    fn apply_other(
        &mut self,
        bytes: &[u8],
        sink: &mut impl EventSink,
    ) -> Result<Progress, CommandError> {
        let (header, body) = command::read(bytes)?;
        if let CommandBody::SetCapacities(set) = body
            && set.rules > command::RULES
        {
            return Err(CommandError::Rules(set.rules));
        }
        Ok(self.apply(header, body, sink))
    }

    /// [`Engine::apply_bytes`] of a command that was read already, the general way.
    pub fn apply(
        &mut self,
        header: &CommandHeader,
        body: CommandBody<'_>,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.come_to(header);
        self.apply_any(header, body, sink)
    }

    /// Applies a command of the journal, which may be older than this build.
    ///
    /// # Errors
    /// Bytes that are no command; the state is unchanged.
    pub fn replay_bytes(
        &mut self,
        bytes: &[u8],
        sink: &mut impl EventSink,
    ) -> Result<Progress, CommandError> {
        match command::upgraded(bytes) {
            None => self.apply_bytes(bytes, sink),
            Some(upgraded) => self.apply_bytes(upgraded.as_bytes(), sink),
        }
    }

    /// A command is at work. Returns whether nothing is due before it.
    #[inline(always)]
    fn come_to(&mut self, header: &CommandHeader) -> bool {
        assert!(
            self.work == Work::Nothing,
            "Invariant: the last command is finished"
        );
        assert!(
            header.sequence.0 == self.sequence.0 + 1,
            "Invariant: commands come without gap or repetition"
        );
        assert!(
            header.sequenced_at >= self.sequenced_at,
            "Invariant: log time never goes back"
        );
        debug_assert!(
            self.traded.ticks.is_none(),
            "Invariant: a command's trades have released or marked what they reach"
        );
        self.sequence = header.sequence;
        self.sequenced_at = header.sequenced_at;
        self.cause = Cause {
            received_at: header.received_at,
            events: 0,
        };
        self.asking = (header.session, header.inbound_seq);
        header.sequenced_at < self.next_deadline
    }

    /// A command that is not plain, whatever it is.
    #[inline(never)]
    fn apply_any(
        &mut self,
        header: &CommandHeader,
        body: CommandBody<'_>,
        sink: &mut impl EventSink,
    ) -> Progress {
        if header.sequenced_at >= self.next_deadline {
            return self.hold(header, body, sink);
        }
        self.begin(header, body, sink)
    }

    /// The command at work waits for what is due at its time.
    #[cold]
    fn hold(
        &mut self,
        header: &CommandHeader,
        body: CommandBody<'_>,
        sink: &mut impl EventSink,
    ) -> Progress {
        // Who could not come back while the venue was away is not due.
        if let CommandBody::SessionDisconnected(gone) = body
            && self.wait_anew(gone)
            && header.sequenced_at < self.next_deadline
        {
            return self.begin(header, body, sink);
        }
        let (header, body) = (header.as_bytes(), body.as_bytes());
        let held = self.held.as_mut_bytes();
        held[..header.len()].copy_from_slice(header);
        held[header.len()..header.len() + body.len()].copy_from_slice(body);
        self.held_length = header.len() + body.len();
        // What is due is nobody's request.
        self.asking = (SessionId(0), 0);
        self.meet_deadlines(sink)
    }

    /// Nothing is due any more: the held command, if there is one, is next.
    fn begin_held(&mut self, sink: &mut impl EventSink) -> Progress {
        self.work = Work::Nothing;
        let length = std::mem::take(&mut self.held_length);
        if length == 0 {
            return Progress::Done;
        }
        let held = std::mem::take(&mut self.held);
        let progress = match command::read(&held.as_bytes()[..length]) {
            Ok((header, body)) => self.begin(header, body, sink),
            // It was read before it was held.
            Err(_) => Progress::Done,
        };
        self.held = held;
        progress
    }

    #[inline]
    fn begin(
        &mut self,
        header: &CommandHeader,
        body: CommandBody<'_>,
        sink: &mut impl EventSink,
    ) -> Progress {
        self.asking = (header.session, header.inbound_seq);
        match body {
            CommandBody::EnterOrder(order) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.enter(order, &OrderTerms::NONE, sink)
            }
            CommandBody::CancelOrder(cancel) => {
                if self.admit(header, sink) {
                    self.cancel(cancel, sink);
                }
                Progress::Done
            }
            CommandBody::ReplaceOrder(replace) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.replace(replace, &OrderTerms::NONE, sink)
            }
            CommandBody::EnterOrderWithTerms(entry) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.enter_special(&entry.order, &entry.terms, sink)
            }
            CommandBody::ReplaceOrderWithTerms(request) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.replace(&request.replace, &request.terms, sink)
            }
            CommandBody::MassCancel(request) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.mass_cancel(request, sink)
            }
            CommandBody::CancelAfter(request) => {
                if self.admit(header, sink) {
                    self.cancel_after(request, sink);
                }
                Progress::Done
            }
            CommandBody::RefuseOrder(refuse) => {
                if self.admit(header, sink) {
                    self.refuse_order(refuse, sink);
                }
                Progress::Done
            }
            CommandBody::RefuseRequest(refuse) => {
                if self.admit(header, sink) {
                    self.refuse_request(refuse, sink);
                }
                Progress::Done
            }
            CommandBody::AuditNote(note) => {
                self.note(sink, SessionId(0), Reason::None, AuditNoted { note: *note });
                Progress::Done
            }
            CommandBody::SetPhase(set) => self.set_phase(set, sink),
            CommandBody::SetLimits(set) => self.set_limits(set, sink),
            CommandBody::KillSwitch(request) => {
                // The venue's own comes through no connection.
                if header.session.0 != 0 && !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.kill_switch(request, sink)
            }
            CommandBody::OrderStatusRequest(request) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.order_status(request, sink)
            }
            CommandBody::AmendTrade(request) => self.amend_trade(request, sink),
            CommandBody::MassQuote(quote) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.mass_quote(quote, sink)
            }
            CommandBody::QuoteCancel(request) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.quote_cancel(request, sink)
            }
            CommandBody::ConfigureProtection(request) => {
                if !self.admit(header, sink) {
                    return Progress::Done;
                }
                self.configure_protection(request, sink)
            }
            CommandBody::ResetProtection(request) => {
                if self.admit(header, sink) {
                    self.reset_protection(request, sink);
                }
                Progress::Done
            }
            CommandBody::DayRoll(roll) => self.day_roll(roll.trading_day, sink),
            CommandBody::Tick(_) => Progress::Done,
            CommandBody::SessionLogon(_)
            | CommandBody::SessionDisconnected(_)
            | CommandBody::SessionMessage(_)
            | CommandBody::BusinessReject(_) => {
                self.apply_session(header, body, sink);
                self.due_at_once()
            }
            CommandBody::Genesis(_)
            | CommandBody::SetCapacities(_)
            | CommandBody::DefineInstrument(_)
            | CommandBody::DefineFirm(_)
            | CommandBody::DefineSession(_)
            | CommandBody::DefineTickTable(_)
            | CommandBody::SetReference(_)
            | CommandBody::SetAccount(_) => {
                self.apply_definition(body, sink);
                Progress::Done
            }
        }
    }

    /// A disconnect without a grace is due with the command that says so.
    fn due_at_once(&mut self) -> Progress {
        if self.next_deadline <= self.sequenced_at {
            self.asking = (SessionId(0), 0);
            self.work = Work::Deadlines;
            return Progress::More;
        }
        Progress::Done
    }

    /// Goes on with a command that has more to write. The sink has room for `STEP_BYTES_MAX`.
    pub fn resume(&mut self, sink: &mut impl EventSink) -> Progress {
        let progress = match self.work {
            Work::Nothing => Progress::Done,
            Work::Match { slot } => self.match_from(slot, sink),
            Work::Expire { next, trading_day } => self.expire_from(next, trading_day, sink),
            Work::ForgetIds { trading_day } => self.forget_ids(trading_day),
            Work::RollSessions { next, trading_day } => {
                self.roll_sessions_from(next, trading_day, sink)
            }
            Work::CarryOver { next, trading_day } => self.carry_over_from(next, trading_day, sink),
            Work::Search(search) => self.search_on(search, sink),
            Work::Sort { sorting, purpose } => self.sort_on(sorting, purpose, sink),
            Work::Trigger { instrument } => self.trigger_on(instrument, sink),
            Work::Cancel { next, reason, then } => self.cancel_from(next, reason, then, sink),
            Work::Status { next } => self.status_from(next, sink),
            Work::EnterQuotes => self.enter_quotes(sink),
            Work::CancelQuotes { next } => self.cancel_quotes_from(next, sink),
            Work::Pull {
                next,
                instrument,
                taker,
            } => self.pull_from(next, instrument, taker, sink),
            Work::Gather { next, firm, group } => self.gather_from(next, firm, group),
            Work::CountOpen(counting) => self.count_open_on(counting, sink),
            Work::Deadlines => self.meet_deadlines(sink),
            Work::Phase(stage) => self.transition_on(stage, sink),
        };
        self.after_quote(progress)
    }

    /// Sequence of the last command applied.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Time of the last command applied.
    pub fn sequenced_at(&self) -> UtcNanos {
        self.sequenced_at
    }

    /// When something is due next: a `Tick` at or after this time lets it happen. `u64::MAX` =
    /// nothing is.
    #[inline(always)]
    pub fn next_deadline(&self) -> UtcNanos {
        self.next_deadline
    }

    /// What it was built for.
    pub fn limits(&self) -> EngineLimits {
        self.limits
    }

    /// Name of the log, 0 before genesis.
    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// Current trading day, YYYYMMDD; 0 before the first roll.
    pub fn trading_day(&self) -> u32 {
        self.trading_day
    }

    /// Open orders.
    pub fn open_orders(&self) -> u32 {
        self.orders.live()
    }

    /// Free price pages.
    pub fn free_price_pages(&self) -> usize {
        self.ladders.free_pages()
    }

    /// Defined instruments, ascending id.
    pub fn instruments(&self) -> impl Iterator<Item = &DefineInstrument> {
        self.instruments
            .iter()
            .filter(|i| i.is_defined())
            .map(|i| &i.definition)
    }

    /// Defined firms, ascending id.
    pub fn firms(&self) -> impl Iterator<Item = &DefineFirm> {
        self.firms
            .iter()
            .filter(|firm| firm.is_defined())
            .map(|firm| &firm.definition)
    }

    /// Defined sessions, ascending id.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionState> {
        self.sessions.iter().filter(|session| session.is_defined())
    }

    /// The trading phase of an instrument.
    pub fn phase(&self, id: InstrumentId) -> Option<TradingPhase> {
        let found = self.instruments.get(id.0 as usize)?;
        found.is_defined().then_some(found.phase)
    }

    /// Whether an instrument was halted by name, so that phases for all instruments pass it over.
    pub fn is_held(&self, id: InstrumentId) -> bool {
        let found = self.instruments.get(id.0 as usize);
        found.is_some_and(|found| found.held)
    }

    /// Best price and lots of a side, if anything rests there.
    pub fn best(&self, instrument: InstrumentId, side: Side) -> Option<(Price, Quantity)> {
        self.levels(instrument, side)
            .next()
            .map(|(price, lots, _)| (price, lots))
    }

    /// Price, lots and orders of each level of a side, best first.
    pub fn levels(
        &self,
        instrument: InstrumentId,
        side: Side,
    ) -> impl Iterator<Item = (Price, Quantity, u32)> + '_ {
        let defined = self
            .instruments
            .get(instrument.0 as usize)
            .filter(|instrument| instrument.is_defined());
        defined.into_iter().flat_map(move |found| {
            let ladder = ladder_side(found.id(), side);
            self.ladders.keys(ladder).map(move |key| {
                let level = self.ladders.level(ladder, key);
                let price = found.price_of(found.key(side, key));
                (price, Quantity(level.lots), level.count)
            })
        })
    }

    /// Resting orders of a side as reports would state them, in priority order (with ExecID 0).
    pub fn resting(
        &self,
        instrument: InstrumentId,
        side: Side,
    ) -> impl Iterator<Item = (SessionId, OrderState)> + '_ {
        self.at_rest(instrument, side).map(|slot| {
            let cold = &self.orders.slots[slot as usize].cold;
            let state = self.order_state(slot, ExecId(0), cold.open_status());
            (cold.session, state)
        })
    }

    /// Every open order, with what events alone would have told of it.
    pub fn open_orders_in_full(&self, mut each: impl FnMut(&OpenOrder)) {
        for slot in (0..self.orders.used()).filter(|&slot| self.orders.is_live(slot)) {
            let hot = &self.orders.slots[slot as usize].hot;
            let cold = &self.orders.slots[slot as usize].cold;
            let iceberg = hot.flags.any(Flags::ICEBERG);
            let quote = hot.flags.any(Flags::QUOTE);
            each(&OpenOrder {
                session: cold.session,
                state: self.order_state(slot, ExecId(0), cold.open_status()),
                shown: hot.leaves,
                display: iceberg.then(|| self.orders.extra[slot as usize].terms.display.0),
                waits: hot.flags.any(Flags::WAITING.with(Flags::PARKED)),
                layer: quote.then(|| self.quotes.record(cold.bucket).name.layer),
            });
        }
    }

    /// Every instrument, with what events alone would have told of it, ascending id.
    pub fn instrument_states(&self) -> impl Iterator<Item = InstrumentState> + '_ {
        let defined = self.instruments.iter().filter(|i| i.is_defined());
        defined.map(|instrument| {
            let price = |tick: u32| Some(instrument.price_of(tick.checked_sub(1)?));
            let indicative = instrument.indicative;
            let ends = instrument.deadlines[auction::INTERRUPTION_ENDS as usize];
            InstrumentState {
                definition: instrument.definition,
                phase: instrument.phase.as_u8(),
                until: self.deadlines.at(ends).map_or(UtcNanos(0), |end| end.at),
                blocked: instrument.blocked,
                traded: price(instrument.traded),
                closed: price(instrument.closed),
                reference: price(instrument.reference),
                indicative: AuctionIndicative {
                    instrument: instrument.definition.instrument,
                    side: indicative.side,
                    price: price(indicative.tick).unwrap_or(command::NO_PRICE),
                    volume: Quantity(indicative.volume),
                    imbalance: Quantity(indicative.imbalance),
                    ..AuctionIndicative::default()
                },
            }
        })
    }

    /// The first trade that is of this trading day; there may be none yet.
    pub fn first_trade_of_day(&self) -> TradeId {
        TradeId(self.amended.first())
    }

    /// Slots of the orders in the book, in priority order.
    fn at_rest(&self, instrument: InstrumentId, side: Side) -> impl Iterator<Item = u32> + '_ {
        let found = self.instruments.get(instrument.0 as usize);
        let defined = found.filter(|instrument| instrument.is_defined());
        let ladder = defined.map(|instrument| ladder_side(instrument.id(), side));
        ladder.into_iter().flat_map(|ladder| self.orders_in(ladder))
    }

    fn orders_in(&self, ladder: u32) -> impl Iterator<Item = u32> + '_ {
        self.ladders.keys(ladder).flat_map(move |key| {
            let mut next = self.ladders.level(ladder, key).head;
            std::iter::from_fn(move || {
                let slot = next;
                (slot != NIL).then(|| {
                    next = self.orders.slots[slot as usize].hot.next;
                    slot
                })
            })
        })
    }

    #[inline(always)]
    fn next_exec_id(&mut self) -> ExecId {
        self.executions += 1;
        ExecId(self.executions)
    }

    #[inline(always)]
    fn next_trade_id(&mut self) -> TradeId {
        self.trades += 1;
        TradeId(self.trades)
    }

    /// An order as an event would state it.
    fn order_state(&self, slot: u32, exec_id: ExecId, status: OrderStatus) -> OrderState {
        OrderState {
            exec_id,
            leaves: Quantity(self.orders.open(slot)),
            status: status.as_u8(),
            ..self.orders.slots[slot as usize].cold.state
        }
    }

    /// Tells an order's session what happened to it; `body.order` is not looked at, the order is
    /// copied from where it lies.
    #[inline(always)]
    fn report<B: OrderReport>(
        &mut self,
        sink: &mut impl EventSink,
        slot: u32,
        status: OrderStatus,
        reason: Reason,
        body: &B,
    ) {
        let exec_id = self.next_exec_id();
        let leaves = self.orders.open(slot);
        let cold = &mut self.orders.slots[slot as usize].cold;
        cold.state.exec_id = exec_id;
        cold.state.leaves = Quantity(leaves);
        cold.state.status = status.as_u8();
        let session = cold.session;
        let header = self.next_header(session, reason, 0).of::<B>();
        let order = &self.orders.slots[slot as usize].cold.state;
        sink.write([header.as_bytes(), order.as_bytes(), body.rest()]);
    }

    /// Header of the session's next numbered event.
    #[inline(always)]
    fn next_header(&mut self, session: SessionId, reason: Reason, ref_tag: u16) -> EventHeader {
        let cause = self.cause.next(self.sequence, self.sequenced_at);
        let inbound_seq = if self.asking.0 == session {
            self.asking.1
        } else {
            0
        };
        let header = self.sessions[session.0 as usize].next_header(cause, reason, inbound_seq);
        EventHeader {
            ref_tag: u32::from(ref_tag),
            ..header
        }
    }

    /// Writes a message to a session: it takes the session's next outbound number.
    #[inline(always)]
    fn tell<B: Body>(
        &mut self,
        sink: &mut impl EventSink,
        session: SessionId,
        reason: Reason,
        body: B,
    ) {
        self.tell_about(sink, session, reason, 0, body);
    }

    /// [`Engine::tell`], naming the field at fault.
    #[inline(always)]
    fn tell_about<B: Body>(
        &mut self,
        sink: &mut impl EventSink,
        session: SessionId,
        reason: Reason,
        ref_tag: u16,
        body: B,
    ) {
        let header = self.next_header(session, reason, ref_tag);
        Event::new(header, body).write_to(sink);
    }

    /// Writes an event without a number. `session` 0 = to nobody.
    #[inline]
    fn note<B: Body>(
        &mut self,
        sink: &mut impl EventSink,
        session: SessionId,
        reason: Reason,
        body: B,
    ) {
        let (generation, epoch) = self
            .sessions
            .get(session.0 as usize)
            .filter(|state| state.is_defined())
            .map_or((0, 0), |state| (state.generation, state.epoch));
        let header = EventHeader {
            reason: reason.code(),
            session,
            generation: Generation(generation),
            inbound_seq: if self.asking.0 == session {
                self.asking.1
            } else {
                0
            },
            epoch: Epoch(epoch),
            ..self.cause.next(self.sequence, self.sequenced_at)
        };
        Event::new(header, body).write_to(sink);
    }

    /// A command without effect, for metrics and logs.
    fn refuse(&mut self, sink: &mut impl EventSink, command: CommandKind, reason: Reason) {
        let body = CommandRefused {
            command: command as u8,
            ..CommandRefused::default()
        };
        self.refuse_saying(sink, reason, body);
    }

    fn refuse_saying(&mut self, sink: &mut impl EventSink, reason: Reason, body: CommandRefused) {
        let (session, _) = self.asking;
        let known = self
            .sessions
            .get(session.0 as usize)
            .is_some_and(SessionState::is_defined);
        let session = if known { session } else { SessionId(0) };
        self.note(sink, session, reason, body);
    }

    /// Whether a command may speak for its session; consumes its inbound number if so.
    #[inline(always)]
    fn admit(&mut self, header: &CommandHeader, sink: &mut impl EventSink) -> bool {
        let verdict = match self.sessions.get_mut(header.session.0 as usize) {
            Some(state) if state.is_defined() => {
                if state.connected && state.generation == header.generation.0 {
                    state.accept_inbound(header.inbound_seq)
                } else {
                    Err(Reason::StaleGeneration)
                }
            }
            _ => Err(Reason::UnknownSession),
        };
        match verdict {
            Ok(()) => true,
            Err(reason) => {
                self.refuse_kind(sink, header.kind, reason);
                false
            }
        }
    }

    #[cold]
    fn refuse_kind(&mut self, sink: &mut impl EventSink, kind: u8, reason: Reason) {
        let command = CommandKind::ALL
            .iter()
            .copied()
            .find(|&known| known as u8 == kind)
            .unwrap_or(CommandKind::Tick);
        self.refuse(sink, command, reason);
    }

    /// A definition as last accepted.
    pub fn instrument(&self, id: InstrumentId) -> Option<&DefineInstrument> {
        let found = self.instruments.get(id.0 as usize)?;
        found.is_defined().then_some(&found.definition)
    }
}
