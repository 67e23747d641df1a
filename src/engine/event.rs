//! Events: what the engine says happened. Fixed little-endian layouts, the same bytes in the
//! event ring and in the event log; a pure function of the log, so a replay writes them again.
//!
//! Every event is an [`EventHeader`] and a body chosen by [`EventKind`]. An event with a
//! `session_seq` is one message to that session, in that position of its numbered stream;
//! gateways encode it for the wire, byte for byte the same each time.

use trading_engine_protocol::types::{
    AccountId, ClientOrderId, Epoch, ExecId, Generation, InstrumentId, OrderId, Price, Quantity,
    Sequence, SessionId, SessionSequence, TradeId, UtcNanos,
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::command::{
    AuditNote, DefineFirm, DefineInstrument, DefineSession, DefineTickTable, Name, OrderTerms,
    SetAccount, SetCapacities, SetLimits, layout,
};
use crate::limits::{EVENT_LENGTH_MAX, SHORT_EVENT_LENGTH_MAX};

/// Layout version of all events, in every header.
pub const EVENT_VERSION: u8 = 1;

layout!(
    /// First 72 bytes of every event.
    EventHeader, 72 {
        /// Bytes of the whole event, header included; a multiple of 8.
        length: u32,
        /// [`EventKind`].
        kind: u8,
        /// [`EVENT_VERSION`].
        version: u8,
        /// `Reason` code, 0 = none.
        reason: u16,
        /// The command that caused it.
        sequence: Sequence,
        /// Its time; TransactTime(60) and first SendingTime(52).
        sequenced_at: UtcNanos,
        /// When the gateway read the request, 0 = none.
        received_at: UtcNanos,
        /// Recipient, 0 = nobody (reference data, refusals without a session).
        session: SessionId,
        /// The recipient's generation at that time.
        generation: Generation,
        /// The recipient's outbound number, 0 = unnumbered.
        session_seq: SessionSequence,
        /// Inbound number of the recipient's request that this answers, 0 = unsolicited.
        inbound_seq: u64,
        /// The recipient's numbering run.
        epoch: Epoch,
        /// Position among the events of its command, from 0.
        index: u32,
        /// FIX tag of the field at fault, 0 = the reason's own.
        ref_tag: u32,
        /// Reserved, 0.
        reserved: u32,
    }
);

/// What an event is; the byte in [`EventHeader::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// [`InstrumentDefined`].
    InstrumentDefined = 2,
    /// [`FirmDefined`].
    FirmDefined = 3,
    /// [`SessionDefined`].
    SessionDefined = 4,
    /// [`DefinitionRefused`].
    DefinitionRefused = 5,
    /// [`LogonAnswered`]: numbered in FIX (the Logon or Logout reply), unnumbered in binary.
    LogonAnswered = 10,
    /// [`SessionClosed`]: unnumbered.
    SessionClosed = 11,
    /// [`AdminMessage`]: a FIX session-level message got its number.
    AdminMessage = 12,
    /// [`BusinessRejected`].
    BusinessRejected = 13,
    /// [`CommandRefused`]: unnumbered, told to nobody but metrics and logs.
    CommandRefused = 14,
    /// [`OrderAccepted`].
    OrderAccepted = 20,
    /// [`OrderReplaced`]. With reason `ReplacedToFilled` the new total was not above what was
    /// filled: the order ended Filled with OrderQty := CumQty.
    OrderReplaced = 21,
    /// [`OrderCanceled`]: by request, or ended by its own terms (`reason`).
    OrderCanceled = 22,
    /// [`OrderRejected`].
    OrderRejected = 23,
    /// [`RequestRejected`]: a cancel or replace.
    RequestRejected = 24,
    /// [`Fill`]: one side of a trade.
    Fill = 25,
    /// [`OrderAcceptedWithTerms`].
    OrderAcceptedWithTerms = 26,
    /// [`OrderReplacedWithTerms`].
    OrderReplacedWithTerms = 27,
    /// [`OrderTriggered`]: a stop order is in the market.
    OrderTriggered = 28,
    /// [`OrderRestated`]: the venue changed it, or says again what it is (`reason`).
    OrderRestated = 29,
    /// [`MassCancelDone`]: after one `OrderCanceled` per order.
    MassCancelDone = 30,
    /// [`CancelAfterSet`]: the dead man's switch is as asked for.
    CancelAfterSet = 32,
    /// [`DayRolled`]: unnumbered.
    DayRolled = 31,
    /// [`TickTableDefined`]: unnumbered.
    TickTableDefined = 6,
    /// [`ReferenceSet`]: unnumbered.
    ReferenceSet = 7,
    /// [`CapacitiesSet`]: unnumbered.
    CapacitiesSet = 9,
    /// [`AuditNoted`]: unnumbered.
    AuditNoted = 8,
    /// [`PhaseChanged`]: unnumbered. With reason `VolatilityInterruption` the core did it.
    PhaseChanged = 33,
    /// [`AuctionIndicative`]: unnumbered, what an auction would trade at now.
    AuctionIndicative = 34,
    /// [`AuctionUncrossed`]: unnumbered, before the fills it speaks of.
    AuctionUncrossed = 35,
    /// [`KillSwitchDone`]: after one end per order; unnumbered when the venue did it.
    KillSwitchDone = 36,
    /// [`TradeAmended`]: one side of a trade is busted or corrected.
    TradeAmended = 37,
    /// [`LimitsSet`]: unnumbered. With a reason, nobody set them: repeated executions stopped what they are for.
    LimitsSet = 38,
    /// [`AccountSet`]: unnumbered.
    AccountSet = 39,
    /// [`MassQuoteAnswered`]: before anything that its new quotes do.
    MassQuoteAnswered = 40,
    /// [`QuoteCanceled`]: a quote ended, unless a mass quote's answer says it.
    QuoteCanceled = 41,
    /// [`QuoteFill`]: one side of a trade, of a quote.
    QuoteFill = 42,
    /// [`QuoteCancelDone`]: after one `QuoteCanceled` per quote.
    QuoteCancelDone = 43,
    /// [`ProtectionSet`]: what protects a group now.
    ProtectionSet = 44,
    /// [`ProtectionTripped`]: before one end per quote and order of the group.
    ProtectionTripped = 45,
    /// [`OrderStatusReport`].
    OrderStatusReport = 46,
    /// [`QuoteStatusAnswered`]: an [`OrderStatusReport`] of a quote.
    QuoteStatusAnswered = 47,
    /// [`QuoteRestated`]: an [`OrderRestated`] of a quote.
    QuoteRestated = 48,
}

layout!(
    /// An order after what happened: everything an execution report states about it.
    OrderState, 120 {
        /// OrderID(37).
        order_id: OrderId,
        /// ExecID(17).
        exec_id: ExecId,
        /// ClOrdID(11), the newest accepted one.
        client_order_id: ClientOrderId,
        /// Limit (market: the protection price), price units.
        price: Price,
        /// OrderQty(38), lots, the total.
        quantity: Quantity,
        /// LeavesQty(151), lots.
        leaves: Quantity,
        /// CumQty(14), lots.
        cumulative: Quantity,
        /// Sum of price * lots over all fills, for AvgPx(6): low and high half of an `i128`.
        notional: [u64; 2],
        /// Instrument.
        instrument: InstrumentId,
        /// Account.
        account: AccountId,
        /// `Side`.
        side: u8,
        /// `OrderType`.
        order_type: u8,
        /// `TimeInForce`.
        time_in_force: u8,
        /// `OrderStatus`.
        status: u8,
        /// `Instructions` bits.
        instructions: u8,
        /// `SelfTradePrevention`.
        self_trade_prevention: u8,
        /// Market-maker protection group, 0 = none.
        protection_group: u16,
    }
);

layout!(
    /// See [`EventKind::InstrumentDefined`].
    InstrumentDefined, 136 {
        /// The definition as accepted.
        definition: DefineInstrument,
    }
);
layout!(
    /// See [`EventKind::FirmDefined`].
    FirmDefined, 32 {
        /// The definition as accepted.
        definition: DefineFirm,
    }
);
layout!(
    /// See [`EventKind::SessionDefined`].
    SessionDefined, 72 {
        /// The definition as accepted.
        definition: DefineSession,
    }
);
layout!(
    /// See [`EventKind::DefinitionRefused`]; the header has the reason.
    DefinitionRefused, 8 {
        /// `CommandKind` that was refused.
        command: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
        /// The id it tried to define.
        id: u32,
    }
);
layout!(
    /// The core's answer to a logon. Header: `reason` 0 = open; `generation` and `epoch` are the
    /// new ones; FIX: `session_seq` is the reply's number (Logon when open, Logout when refused).
    LogonAnswered, 56 {
        /// Echo of the gateway's connection name.
        connection: u64,
        /// Next outbound number after the reply.
        next_outbound: SessionSequence,
        /// Next inbound number expected (FIX), or last accepted client number (binary).
        inbound: u64,
        /// FIX: what was expected before this logon. Binary: 0.
        inbound_expected: u64,
        /// Binary: the replay the client asked for, 0 = live only.
        from_seq: u64,
        /// FIX: 789 as sent, 0 = absent.
        next_expected: u64,
        /// 1 = numbers were reset by this logon (141=Y).
        reset: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);
layout!(
    /// The session has no connection any more; the header has the reason.
    SessionClosed, 8 {
        /// Reserved, 0.
        reserved: u64,
    }
);
layout!(
    /// A FIX admin message got its number; the content is the gateway's, under `token`.
    AdminMessage, 16 {
        /// MsgType character.
        message_kind: u8,
        /// 1 = the session ends after it.
        closes: u8,
        /// Reserved, 0.
        reserved: [u8; 6],
        /// Gateway's name for the content.
        token: u64,
    }
);
layout!(
    /// BusinessMessageReject(j); the header has the reason and inbound number.
    BusinessRejected, 56 {
        /// RefMsgType(372), zero-padded.
        ref_msg_type: [u8; 8],
        /// BusinessRejectReason(380).
        business_reason: u16,
        /// Reserved, 0.
        reserved: [u16; 3],
        /// BusinessRejectRefID(379), or none.
        ref_id: ClientOrderId,
    }
);
layout!(
    /// A command without an effect and without a reply; the header has the reason.
    CommandRefused, 8 {
        /// `CommandKind`.
        command: u8,
        /// With reason `OrderEnded`: which of the trade's orders have, bits in the order of their fills.
        ended: u8,
        /// Reserved, 0.
        reserved: [u8; 6],
    }
);
layout!(
    /// See [`EventKind::OrderAccepted`].
    OrderAccepted, 120 {
        /// The order.
        order: OrderState,
    }
);
layout!(
    /// See [`EventKind::OrderReplaced`].
    OrderReplaced, 184 {
        /// The order after it.
        order: OrderState,
        /// OrigClOrdID(41): the id it replaced.
        original: ClientOrderId,
        /// Price before.
        previous_price: Price,
        /// Leaves before.
        previous_leaves: Quantity,
        /// 1 = kept its place in the queue.
        priority_kept: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);
layout!(
    /// The order ended (`order.leaves` is 0, `order.status` Canceled, Expired or Filled).
    OrderCanceled, 176 {
        /// The order after it.
        order: OrderState,
        /// ClOrdID(11) of the cancel request, or none when unsolicited.
        request: ClientOrderId,
        /// Lots taken off.
        canceled: Quantity,
        /// Reserved, 0.
        reserved: u64,
    }
);
layout!(
    /// The order never existed. Prices and quantities are as sent: in price units and lots, or,
    /// with `raw`, as 10^-8 mantissas.
    OrderRejected, 112 {
        /// ClOrdID(11).
        client_order_id: ClientOrderId,
        /// ExecID(17).
        exec_id: ExecId,
        /// Limit as sent; `i64::MIN` = none.
        price: i64,
        /// OrderQty(38) as sent.
        quantity: i64,
        /// Symbol(55) as sent when `instrument` is 0.
        symbol: Name,
        /// 0 = unknown.
        instrument: InstrumentId,
        /// Account.
        account: AccountId,
        /// As sent, see [`super::command::RefuseOrder`].
        side: u8,
        /// As sent.
        order_type: u8,
        /// As sent.
        time_in_force: u8,
        /// 1 = `price` and `quantity` are 10^-8 mantissas.
        raw: u8,
        /// Reserved, 0.
        reserved: u32,
        /// Reserved, 0.
        reserved2: u64,
    }
);
layout!(
    /// A cancel, a replace or a question was refused; the order, if there is one, is untouched.
    RequestRejected, 104 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// OrigClOrdID(41) of the request, or none.
        original: ClientOrderId,
        /// The order, 0 = unknown.
        order_id: OrderId,
        /// `CommandKind::ReplaceOrder` or `CommandKind::CancelOrder`; `OrderStatusRequest`: of an
        /// order that is not open, answered like a cancel of it.
        request: u8,
        /// `OrderStatus` of the order; Rejected(8) when unknown.
        status: u8,
        /// Reserved, 0.
        reserved: [u8; 6],
        /// Reserved, 0.
        reserved2: u64,
    }
);
layout!(
    /// One side of a trade. The taker's fill follows its maker's, both with the same `trade_id`.
    Fill, 152 {
        /// The order after it.
        order: OrderState,
        /// TrdMatchID(880).
        trade_id: TradeId,
        /// LastPx(31), price units: the resting order's price.
        last_price: Price,
        /// LastQty(32), lots.
        last_quantity: Quantity,
        /// `Liquidity`, LastLiquidityInd(851).
        liquidity: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);
layout!(
    /// See [`EventKind::OrderAcceptedWithTerms`].
    OrderAcceptedWithTerms, 152 {
        /// The order.
        order: OrderState,
        /// What else it was entered with.
        terms: OrderTerms,
    }
);
layout!(
    /// See [`EventKind::OrderReplacedWithTerms`].
    OrderReplacedWithTerms, 216 {
        /// The replacement.
        replaced: OrderReplaced,
        /// The terms after it.
        terms: OrderTerms,
    }
);
layout!(
    /// See [`EventKind::OrderTriggered`].
    OrderTriggered, 120 {
        /// The order, with the limit it has from now on.
        order: OrderState,
    }
);
layout!(
    /// See [`EventKind::OrderRestated`].
    OrderRestated, 136 {
        /// The order after it.
        order: OrderState,
        /// By how much its quantity shrank, lots.
        reduced: Quantity,
        /// Lots of it that are shown now (of an order still matching: all).
        shown: Quantity,
    }
);
layout!(
    /// See [`EventKind::MassCancelDone`]. Its filters are as asked for; a log from before `product`
    /// was there states only the instrument, the scope and the side.
    MassCancelDone, 64 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// TotalAffectedOrders(533).
        canceled: u32,
        /// Instrument group, 0 = any.
        product: u32,
        /// Instrument, 0 = any.
        instrument: InstrumentId,
        /// The scope.
        scope: u8,
        /// The side, 0 = both.
        side: u8,
        /// Market-maker protection group, 0 = any.
        protection_group: u16,
        /// Account, with `by_account` 1.
        account: AccountId,
        /// 1 = quotes only, 2 = orders only.
        kinds: u8,
        /// 1 = of one account.
        by_account: u8,
        /// MassCancelRequestType(530) as sent, 0 = not stated.
        request_type: u8,
        /// Reserved, 0.
        reserved: u8,
    }
);
layout!(
    /// See [`EventKind::CancelAfterSet`].
    CancelAfterSet, 8 {
        /// When the session's orders go unless renewed, 0 = never.
        cancel_at: UtcNanos,
    }
);
layout!(
    /// A new trading day.
    DayRolled, 8 {
        /// YYYYMMDD.
        trading_day: u32,
        /// Reserved, 0.
        reserved: u32,
    }
);

layout!(
    /// See [`EventKind::TickTableDefined`].
    TickTableDefined, 136 {
        /// The definition as accepted.
        definition: DefineTickTable,
    }
);
layout!(
    /// See [`EventKind::AuditNoted`].
    AuditNoted, 72 {
        /// As the command has it.
        note: AuditNote,
    }
);
layout!(
    /// See [`EventKind::ReferenceSet`].
    ReferenceSet, 16 {
        /// Which.
        instrument: InstrumentId,
        /// Reserved, 0.
        reserved: u32,
        /// Price units.
        price: Price,
    }
);
layout!(
    /// See [`EventKind::CapacitiesSet`].
    CapacitiesSet, 56 {
        /// As the command has them.
        capacities: SetCapacities,
    }
);
layout!(
    /// See [`EventKind::LimitsSet`].
    LimitsSet, 112 {
        /// As they are now; `position` is what it is now.
        limits: SetLimits,
        /// 1 = stopped after repeated executions.
        stopped: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);
layout!(
    /// See [`EventKind::AccountSet`].
    AccountSet, 16 {
        /// As it is now.
        definition: SetAccount,
    }
);
layout!(
    /// See [`EventKind::PhaseChanged`].
    PhaseChanged, 16 {
        /// Which.
        instrument: InstrumentId,
        /// `TradingPhase` from now on.
        phase: u8,
        /// The one before.
        previous: u8,
        /// 1 = halted by name: phases for all instruments pass it over.
        held: u8,
        /// Reserved, 0.
        reserved: u8,
        /// When the core will end it by itself, 0 = it will not.
        until: UtcNanos,
    }
);
layout!(
    /// See [`EventKind::AuctionIndicative`].
    AuctionIndicative, 32 {
        /// Which.
        instrument: InstrumentId,
        /// `Side` of the imbalance, 0 = none.
        side: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
        /// Price it would trade at, price units; `i64::MIN` = it would not trade.
        price: Price,
        /// Lots that would trade.
        volume: Quantity,
        /// Lots of `side` that could trade at `price` and would not.
        imbalance: Quantity,
    }
);
layout!(
    /// See [`EventKind::AuctionUncrossed`].
    AuctionUncrossed, 32 {
        /// Which.
        instrument: InstrumentId,
        /// `Side` of the imbalance, 0 = none.
        side: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
        /// The one price, price units.
        price: Price,
        /// Lots that trade.
        volume: Quantity,
        /// Lots of `side` that could trade at `price` and do not.
        imbalance: Quantity,
    }
);
layout!(
    /// See [`EventKind::KillSwitchDone`]. With a reason it was refused and did nothing.
    KillSwitchDone, 64 {
        /// ClOrdID(11) of the request, or none.
        client_order_id: ClientOrderId,
        /// Orders canceled.
        canceled: u64,
        /// As asked for.
        target: u32,
        /// As asked for.
        scope: u8,
        /// As asked for.
        release: u8,
        /// As asked for: with 1 no block was set or released.
        cancels_only: u8,
        /// Reserved, 0.
        reserved: [u8; 9],
    }
);
layout!(
    /// See [`EventKind::TradeAmended`].
    TradeAmended, 176 {
        /// The order after it.
        order: OrderState,
        /// TrdMatchID(880).
        trade_id: TradeId,
        /// ExecID(17) of the fill, or of the correction that this amends in its turn: ExecRefID(19).
        reference: ExecId,
        /// What it stood at, price units.
        price: Price,
        /// Lots it traded.
        quantity: Quantity,
        /// Corrected price, price units; `i64::MIN` = busted.
        new_price: Price,
        /// `Liquidity` of the fill.
        liquidity: u8,
        /// 1 = it is a quote, whose `order.client_order_id` is the QuoteID(117). 0 in a log from
        /// before it was there.
        is_quote: u8,
        /// Reserved, 0.
        reserved: [u8; 14],
    }
);
layout!(
    /// What became of one entry of a mass quote.
    QuoteResult, 104 {
        /// QuoteEntryID(299), or none.
        entry_id: ClientOrderId,
        /// The bid's OrderID(37); of one that is gone, its last. 0 = there is none.
        bid_order: OrderId,
        /// The bid as it rests, or is about to enter: price units.
        bid_price: Price,
        /// Its lots, 0 = there is none.
        bid_quantity: Quantity,
        /// As of the bid.
        ask_order: OrderId,
        /// As of the bid.
        ask_price: Price,
        /// As of the bid.
        ask_quantity: Quantity,
        /// Instrument.
        instrument: InstrumentId,
        /// Layer.
        layer: u16,
        /// `QuoteStatus` of the bid.
        bid_status: u8,
        /// `QuoteStatus` of the ask.
        ask_status: u8,
        /// `Reason` code of a refused bid.
        bid_reason: u16,
        /// `Reason` code of a refused ask.
        ask_reason: u16,
        /// FIX tag at fault, 0 = the reason's own.
        ref_tag: u16,
        /// Reserved, 0.
        reserved: u16,
    }
);
/// See [`EventKind::MassQuoteAnswered`]. With a reason in the header the whole message was refused
/// and there are no results; else one for each entry, in order. New quotes then enter the book in
/// the order of the entries, bid before ask.
#[derive(Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct MassQuoteAnswered {
    /// Of the message.
    pub head: MassQuoteAnsweredHead,
    /// Of its entries.
    pub results: [QuoteResult],
}
layout!(
    /// First part of a [`MassQuoteAnswered`].
    MassQuoteAnsweredHead, 56 {
        /// QuoteID(117).
        quote_id: ClientOrderId,
        /// Sides that were not refused, of those that were stated.
        accepted: u16,
        /// Sides that were.
        refused: u16,
        /// Its protection group.
        protection_group: u16,
        /// As the request has it.
        response: u8,
        /// Reserved, 0.
        reserved: u8,
        /// Account.
        account: AccountId,
        /// Reserved, 0.
        reserved2: u32,
    }
);
layout!(
    /// See [`EventKind::QuoteCanceled`]. `canceled.order.client_order_id` is the QuoteID(117).
    QuoteCanceled, 216 {
        /// As an order's end.
        canceled: OrderCanceled,
        /// QuoteEntryID(299), or none.
        entry_id: ClientOrderId,
    }
);
layout!(
    /// See [`EventKind::QuoteFill`]. `fill.order.client_order_id` is the QuoteID(117).
    QuoteFill, 192 {
        /// As an order's fill.
        fill: Fill,
        /// QuoteEntryID(299), or none.
        entry_id: ClientOrderId,
    }
);
layout!(
    /// See [`EventKind::QuoteRestated`]. `restated.order.client_order_id` is the QuoteID(117).
    QuoteRestated, 176 {
        /// As an order's.
        restated: OrderRestated,
        /// QuoteEntryID(299), or none.
        entry_id: ClientOrderId,
    }
);
layout!(
    /// See [`EventKind::QuoteCancelDone`]. With a reason it was refused.
    QuoteCancelDone, 64 {
        /// QuoteID(117) of the request.
        quote_id: ClientOrderId,
        /// Quotes canceled, each side one.
        canceled: u64,
        /// As asked for.
        instrument: InstrumentId,
        /// As asked for.
        protection_group: u16,
        /// As asked for.
        layer: u16,
        /// As asked for.
        scope: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);
layout!(
    /// See [`EventKind::ProtectionSet`]. With a reason it was refused and nothing changed.
    ProtectionSet, 104 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// As configured.
        quantity: Quantity,
        /// As configured.
        net: Quantity,
        /// Frozen until then: 0 = it is not, `u64::MAX` = until it is reset.
        frozen_until: UtcNanos,
        /// Lots in the window.
        window_quantity: Quantity,
        /// As configured.
        fills: u32,
        /// As configured.
        window_ms: u32,
        /// As configured.
        frozen_ms: u32,
        /// Fills in the window.
        window_fills: u32,
        /// Group.
        protection_group: u16,
        /// Reserved, 0.
        reserved: [u16; 3],
        /// Reserved, 0.
        reserved2: u64,
    }
);
layout!(
    /// See [`EventKind::ProtectionTripped`]; told to the session whose fill it was.
    ProtectionTripped, 48 {
        /// Frozen until then, `u64::MAX` = until it is reset.
        frozen_until: UtcNanos,
        /// Lots in the window, the last fill included.
        window_quantity: Quantity,
        /// Lots bought less lots sold in the window.
        window_net: i64,
        /// Fills in the window.
        window_fills: u32,
        /// Group.
        protection_group: u16,
        /// `ProtectionLimit` that was reached, the first of them in their order.
        limit: u8,
        /// Reserved, 0.
        reserved: u8,
        /// The order or quote that was filled.
        order_id: OrderId,
        /// Reserved, 0.
        reserved2: u64,
    }
);
layout!(
    /// See [`EventKind::OrderStatusReport`]. Without an order (`order.order_id` 0) there is none.
    OrderStatusReport, 208 {
        /// The order; `exec_id` is 0.
        order: OrderState,
        /// What else it was entered with, or nothing.
        terms: OrderTerms,
        /// OrdStatusReqID(790), MassStatusReqID(584).
        request: ClientOrderId,
        /// How many of them there are.
        total: u32,
        /// 1 = the last of them.
        is_last: u8,
        /// 1 = asked for all.
        all: u8,
        /// 1 = it is a quote. On its own in a log from before [`QuoteStatusAnswered`] was there.
        is_quote: u8,
        /// 1 = a stop that waits, 2 = an at-the-close order that waits.
        waits: u8,
        /// Lots of it that are shown.
        shown: Quantity,
    }
);
layout!(
    /// See [`EventKind::QuoteStatusAnswered`]. `report.order.client_order_id` is the QuoteID(117).
    QuoteStatusAnswered, 256 {
        /// As an order's.
        report: OrderStatusReport,
        /// QuoteEntryID(299), or none.
        entry_id: ClientOrderId,
        /// Layer.
        layer: u16,
        /// Reserved, 0.
        reserved: [u16; 3],
    }
);

/// An open order as `Engine::open_orders_in_full` shows it.
#[derive(Clone, Copy, Debug)]
pub struct OpenOrder {
    /// Whose.
    pub session: SessionId,
    /// As a report would state it, with ExecID 0.
    pub state: OrderState,
    /// Lots that are shown, if it is in the book.
    pub shown: u64,
    /// Lots an iceberg shows at a time.
    pub display: Option<u64>,
    /// A stop, or for the closing auction: not in the book.
    pub waits: bool,
    /// Of a quote.
    pub layer: Option<u16>,
}

/// An instrument as `Engine::instrument_states` shows it: what events alone would have told of it.
#[derive(Clone, Copy, Debug)]
pub struct InstrumentState {
    /// Its definition.
    pub definition: DefineInstrument,
    /// `TradingPhase`.
    pub phase: u8,
    /// When the core will end the phase by itself, 0 = it will not.
    pub until: UtcNanos,
    /// A kill switch is on.
    pub blocked: bool,
    /// Price of the last trade.
    pub traded: Option<Price>,
    /// Price of the last trade before this day.
    pub closed: Option<Price>,
    /// Reference price.
    pub reference: Option<Price>,
    /// What was published last of what an auction would do; `price` `i64::MIN` = nothing.
    pub indicative: AuctionIndicative,
}

/// An event read in place.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum EventBody<'a> {
    InstrumentDefined(&'a InstrumentDefined),
    FirmDefined(&'a FirmDefined),
    SessionDefined(&'a SessionDefined),
    DefinitionRefused(&'a DefinitionRefused),
    LogonAnswered(&'a LogonAnswered),
    SessionClosed(&'a SessionClosed),
    AdminMessage(&'a AdminMessage),
    BusinessRejected(&'a BusinessRejected),
    CommandRefused(&'a CommandRefused),
    OrderAccepted(&'a OrderAccepted),
    OrderReplaced(&'a OrderReplaced),
    OrderCanceled(&'a OrderCanceled),
    OrderRejected(&'a OrderRejected),
    RequestRejected(&'a RequestRejected),
    Fill(&'a Fill),
    OrderAcceptedWithTerms(&'a OrderAcceptedWithTerms),
    OrderReplacedWithTerms(&'a OrderReplacedWithTerms),
    OrderTriggered(&'a OrderTriggered),
    OrderRestated(&'a OrderRestated),
    MassCancelDone(&'a MassCancelDone),
    CancelAfterSet(&'a CancelAfterSet),
    DayRolled(&'a DayRolled),
    TickTableDefined(&'a TickTableDefined),
    ReferenceSet(&'a ReferenceSet),
    CapacitiesSet(&'a CapacitiesSet),
    AuditNoted(&'a AuditNoted),
    LimitsSet(&'a LimitsSet),
    AccountSet(&'a AccountSet),
    PhaseChanged(&'a PhaseChanged),
    AuctionIndicative(&'a AuctionIndicative),
    AuctionUncrossed(&'a AuctionUncrossed),
    KillSwitchDone(&'a KillSwitchDone),
    TradeAmended(&'a TradeAmended),
    MassQuoteAnswered(&'a MassQuoteAnswered),
    QuoteCanceled(&'a QuoteCanceled),
    QuoteFill(&'a QuoteFill),
    QuoteCancelDone(&'a QuoteCancelDone),
    ProtectionSet(&'a ProtectionSet),
    ProtectionTripped(&'a ProtectionTripped),
    OrderStatusReport(&'a OrderStatusReport),
    QuoteStatusAnswered(&'a QuoteStatusAnswered),
    QuoteRestated(&'a QuoteRestated),
}

/// Bytes that are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventError;

impl core::fmt::Display for EventError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("bytes are not an event of a known layout")
    }
}

impl std::error::Error for EventError {}

/// A body type with its kind.
pub trait Body: IntoBytes + FromBytes + Immutable + KnownLayout {
    /// The kind byte that announces this body.
    const KIND: EventKind;
}

macro_rules! bodies {
    ($($name:ident),+) => {
        $(impl Body for $name { const KIND: EventKind = EventKind::$name; })+

        /// Reads an event in place. `bytes` starts 8-aligned and may be longer than the event.
        ///
        /// # Errors
        /// Anything that is not exactly one of the layouts above.
        #[inline]
        pub fn read(bytes: &[u8]) -> Result<(&EventHeader, EventBody<'_>), EventError> {
            let (header, rest) = EventHeader::ref_from_prefix(bytes).map_err(|_| EventError)?;
            if header.version != EVENT_VERSION || header.length as usize > bytes.len() {
                return Err(EventError);
            }
            $(if header.kind == EventKind::$name as u8 {
                if header.length as usize != size_of::<EventHeader>() + size_of::<$name>() {
                    return Err(EventError);
                }
                let (body, _) = $name::ref_from_prefix(rest).map_err(|_| EventError)?;
                return Ok((header, EventBody::$name(body)));
            })+
            if header.kind == EventKind::MassQuoteAnswered as u8 {
                let length = (header.length as usize).checked_sub(size_of::<EventHeader>());
                let body = length.and_then(|length| rest.get(..length)).ok_or(EventError)?;
                let body = MassQuoteAnswered::ref_from_bytes(body).map_err(|_| EventError)?;
                return Ok((header, EventBody::MassQuoteAnswered(body)));
            }
            Err(EventError)
        }

        impl EventBody<'_> {
            /// What it is.
            pub fn kind(&self) -> EventKind {
                match self {
                    $(Self::$name(_) => EventKind::$name,)+
                    Self::MassQuoteAnswered(_) => EventKind::MassQuoteAnswered,
                }
            }
        }

        $(const _: () =
            assert!(size_of::<EventHeader>() + size_of::<$name>() <= SHORT_EVENT_LENGTH_MAX);)+
    };
}

bodies!(
    Fill,
    OrderAccepted,
    OrderCanceled,
    OrderReplaced,
    OrderAcceptedWithTerms,
    OrderReplacedWithTerms,
    OrderTriggered,
    OrderRestated,
    MassCancelDone,
    CancelAfterSet,
    AdminMessage,
    OrderRejected,
    RequestRejected,
    BusinessRejected,
    LogonAnswered,
    SessionClosed,
    CommandRefused,
    DayRolled,
    InstrumentDefined,
    FirmDefined,
    SessionDefined,
    DefinitionRefused,
    QuoteFill,
    QuoteCanceled,
    QuoteCancelDone,
    ProtectionSet,
    ProtectionTripped,
    OrderStatusReport,
    QuoteStatusAnswered,
    QuoteRestated,
    TickTableDefined,
    ReferenceSet,
    CapacitiesSet,
    AuditNoted,
    LimitsSet,
    AccountSet,
    PhaseChanged,
    AuctionIndicative,
    AuctionUncrossed,
    KillSwitchDone,
    TradeAmended
);

const _: () = assert!(
    size_of::<EventHeader>()
        + size_of::<MassQuoteAnsweredHead>()
        + super::command::QUOTE_ENTRIES_MAX * size_of::<QuoteResult>()
        <= EVENT_LENGTH_MAX
);

/// A body that begins with an [`OrderState`].
pub trait OrderReport: Body {
    /// What follows the order.
    #[inline(always)]
    fn rest(&self) -> &[u8] {
        &self.as_bytes()[size_of::<OrderState>()..]
    }
}

impl OrderReport for OrderAccepted {}
impl OrderReport for OrderReplaced {}
impl OrderReport for OrderCanceled {}
impl OrderReport for Fill {}
impl OrderReport for OrderAcceptedWithTerms {}
impl OrderReport for OrderReplacedWithTerms {}
impl OrderReport for OrderTriggered {}
impl OrderReport for OrderRestated {}
impl OrderReport for QuoteFill {}
impl OrderReport for QuoteCanceled {}
impl OrderReport for QuoteRestated {}
impl OrderReport for OrderStatusReport {}
impl OrderReport for TradeAmended {}

impl EventHeader {
    /// This header before an answer to a mass quote with so many results.
    #[inline]
    pub fn of_mass_quote(self, results: usize) -> Self {
        let length = size_of::<Self>()
            + size_of::<MassQuoteAnsweredHead>()
            + results * size_of::<QuoteResult>();
        #[allow(clippy::cast_possible_truncation, reason = "at most EVENT_LENGTH_MAX")]
        let length = length as u32;
        Self {
            length,
            kind: EventKind::MassQuoteAnswered as u8,
            version: EVENT_VERSION,
            ..self
        }
    }

    /// This header before a body of that kind.
    #[inline(always)]
    pub fn of<B: Body>(self) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "layouts are at most 512 bytes"
        )]
        let length = (size_of::<Self>() + size_of::<B>()) as u32;
        Self {
            length,
            kind: B::KIND as u8,
            version: EVENT_VERSION,
            ..self
        }
    }
}

/// An event on the stack: header and body.
#[derive(Clone, Copy, Debug)]
pub struct Event<B> {
    /// The header; `length`, `kind` and `version` are right.
    pub header: EventHeader,
    /// The body.
    pub body: B,
}

impl<B: Body> Event<B> {
    /// An event with an otherwise zero header.
    #[inline(always)]
    pub fn new(header: EventHeader, body: B) -> Self {
        Self {
            header: header.of::<B>(),
            body,
        }
    }

    /// Hands the event to a sink.
    #[inline(always)]
    pub fn write_to(&self, sink: &mut impl EventSink) {
        sink.write([self.header.as_bytes(), self.body.as_bytes(), &[]]);
    }
}

/// An event as words.
pub(super) mod words {
    use super::{Body, EVENT_VERSION, EventHeader};
    use trading_engine_protocol::types::Reason;

    /// First word of the header before a body of that kind.
    pub(crate) const fn first<B: Body>(reason: Reason) -> u64 {
        let length = (size_of::<EventHeader>() + size_of::<B>()) as u64;
        length
            | (B::KIND as u64) << 32
            | (EVENT_VERSION as u64) << 40
            | (reason.code() as u64) << 48
    }
}

/// Where the engine writes its events, in order. The caller guarantees room for
/// `STEP_BYTES_MAX` bytes before every step, so writing cannot fail.
pub trait EventSink {
    /// Takes one whole event: the header, and the body in one or two parts; all lengths are
    /// multiples of 8.
    fn write(&mut self, parts: [&[u8]; 3]);
}

impl EventSink for Vec<u8> {
    #[inline]
    fn write(&mut self, parts: [&[u8]; 3]) {
        for part in parts {
            self.extend_from_slice(part);
        }
    }
}
