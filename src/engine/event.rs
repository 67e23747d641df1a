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

use super::command::{DefineFirm, DefineInstrument, DefineSession, Name, OrderTerms, layout};
use crate::limits::EVENT_LENGTH_MAX;

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
    InstrumentDefined, 104 {
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
        /// Reserved, 0.
        reserved: [u8; 7],
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
    /// A cancel or replace was refused; the order, if there is one, is untouched.
    RequestRejected, 104 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// OrigClOrdID(41) of the request, or none.
        original: ClientOrderId,
        /// The order, 0 = unknown.
        order_id: OrderId,
        /// `CommandKind::ReplaceOrder` or `CommandKind::CancelOrder`.
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
    /// See [`EventKind::MassCancelDone`].
    MassCancelDone, 64 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// TotalAffectedOrders(533).
        canceled: u64,
        /// The filter, as asked for.
        instrument: InstrumentId,
        /// The scope, as asked for.
        scope: u8,
        /// The side, as asked for.
        side: u8,
        /// Reserved, 0.
        reserved: [u8; 10],
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
            Err(EventError)
        }

        $(const _: () = assert!(size_of::<EventHeader>() + size_of::<$name>() <= EVENT_LENGTH_MAX);)+
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
    DefinitionRefused
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

impl EventHeader {
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
