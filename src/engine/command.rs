//! Commands: what the log orders and the engine applies. Fixed little-endian layouts, the same
//! bytes in rings, in the journal and (later) in the replicated log.
//!
//! Every command is a [`CommandHeader`] and a body chosen by [`CommandKind`]; its length is a
//! multiple of 8. Gateways build them, the sequencer fills `sequence` and `sequenced_at`.

use trading_engine_protocol::types::{
    AccountId, ClientOrderId, Epoch, FirmId, Generation, InstrumentId, OrderId, Price, Quantity,
    Sequence, SessionId, TradeId, UtcNanos,
};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::limits::{EngineLimits, NAME_LENGTH_MAX};

/// Layout version of all commands, in every header. 2: `SessionLogon` grew at its end. 3:
/// `DefineInstrument` did.
pub const COMMAND_VERSION: u8 = 3;

macro_rules! layout {
    ($(#[$doc:meta])* $name:ident, $size:literal { $($(#[$fdoc:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self::new_zeroed()
            }
        }

        const _: () = assert!(size_of::<$name>() == $size && $size % 8 == 0);
    };
}
pub(crate) use layout;

/// Zero-padded ASCII text.
pub type Name = [u8; NAME_LENGTH_MAX];

layout!(
    /// First 48 bytes of every command.
    CommandHeader, 48 {
        /// Bytes of the whole command, header included; a multiple of 8.
        length: u32,
        /// [`CommandKind`].
        kind: u8,
        /// [`COMMAND_VERSION`].
        version: u8,
        /// Reserved, 0.
        reserved: u16,
        /// Position in the log; 0 until sequenced.
        sequence: Sequence,
        /// The only time the engine ever sees; 0 until sequenced.
        sequenced_at: UtcNanos,
        /// When the gateway read the bytes; opaque to the engine.
        received_at: UtcNanos,
        /// Session the command speaks for; 0 = the venue itself.
        session: SessionId,
        /// Generation of the connection it came through; 0 with session 0.
        generation: Generation,
        /// Inbound number this command consumes: MsgSeqNum(34), or the binary client number;
        /// 0 = none.
        inbound_seq: u64,
    }
);

/// What a command is; the byte in [`CommandHeader::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CommandKind {
    /// [`Genesis`]: the log's first command.
    Genesis = 1,
    /// [`DefineInstrument`].
    DefineInstrument = 2,
    /// [`DefineFirm`].
    DefineFirm = 3,
    /// [`DefineSession`].
    DefineSession = 4,
    /// [`SessionLogon`].
    SessionLogon = 10,
    /// [`SessionDisconnected`].
    SessionDisconnected = 11,
    /// [`SessionMessage`]: an admin message that consumes a number, in or out.
    SessionMessage = 12,
    /// [`BusinessReject`]: answer 35=j to an inbound FIX message.
    BusinessReject = 13,
    /// [`EnterOrder`].
    EnterOrder = 20,
    /// [`ReplaceOrder`].
    ReplaceOrder = 21,
    /// [`CancelOrder`].
    CancelOrder = 22,
    /// [`RefuseOrder`]: an order the edge cannot express in units and lots.
    RefuseOrder = 23,
    /// [`RefuseRequest`]: a cancel or replace the edge cannot express.
    RefuseRequest = 24,
    /// [`EnterOrderWithTerms`].
    EnterOrderWithTerms = 25,
    /// [`ReplaceOrderWithTerms`].
    ReplaceOrderWithTerms = 26,
    /// [`MassCancel`].
    MassCancel = 27,
    /// [`CancelAfter`]: the dead man's switch.
    CancelAfter = 28,
    /// [`Tick`]: only time passes.
    Tick = 30,
    /// [`DayRoll`].
    DayRoll = 31,
    /// [`SetPhase`].
    SetPhase = 32,
    /// [`KillSwitch`].
    KillSwitch = 33,
    /// [`AmendTrade`]: a bust or a correction.
    AmendTrade = 34,
    /// [`SetLimits`]: pre-trade risk.
    SetLimits = 35,
    /// [`DefineTickTable`].
    DefineTickTable = 36,
    /// [`SetReference`].
    SetReference = 37,
    /// [`AuditNote`].
    AuditNote = 38,
    /// [`SetAccount`].
    SetAccount = 39,
    /// [`MassQuote`].
    MassQuote = 40,
    /// [`QuoteCancel`].
    QuoteCancel = 41,
    /// [`ConfigureProtection`].
    ConfigureProtection = 42,
    /// [`ResetProtection`].
    ResetProtection = 43,
    /// [`OrderStatusRequest`].
    OrderStatusRequest = 44,
    /// [`SetCapacities`].
    SetCapacities = 50,
}

impl CommandKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Genesis,
        Self::DefineInstrument,
        Self::DefineFirm,
        Self::DefineSession,
        Self::SessionLogon,
        Self::SessionDisconnected,
        Self::SessionMessage,
        Self::BusinessReject,
        Self::EnterOrder,
        Self::ReplaceOrder,
        Self::CancelOrder,
        Self::RefuseOrder,
        Self::RefuseRequest,
        Self::EnterOrderWithTerms,
        Self::ReplaceOrderWithTerms,
        Self::MassCancel,
        Self::CancelAfter,
        Self::Tick,
        Self::DayRoll,
        Self::SetPhase,
        Self::KillSwitch,
        Self::AmendTrade,
        Self::SetLimits,
        Self::DefineTickTable,
        Self::SetReference,
        Self::AuditNote,
        Self::SetAccount,
        Self::MassQuote,
        Self::QuoteCancel,
        Self::ConfigureProtection,
        Self::ResetProtection,
        Self::OrderStatusRequest,
        Self::SetCapacities,
    ];
}

/// The rules that this build answers by; 1 are the first release's. They go up when the same commands get other answers, and a build
/// still answers by older ones as far as a log says that those hold.
pub const RULES: u32 = 1;

layout!(
    /// First command of a log.
    Genesis, 24 {
        /// Drawn once outside the core; keys the client-order-id table so that clients cannot
        /// aim at its buckets.
        hash_key: u64,
        /// Names this log; snapshots and peers must agree on it.
        log_id: u64,
        /// When the log was made.
        created_at: UtcNanos,
    }
);

layout!(
    /// Defines an instrument, or changes it: everything but symbol, price unit, lot size, tick and
    /// price limits may be another with a second definition of the same id.
    DefineInstrument, 136 {
        /// 1..; chosen by the operator.
        instrument: InstrumentId,
        /// Decimals a price is shown with.
        price_decimals: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
        /// Symbol(55).
        symbol: Name,
        /// One price unit as a 10^-8 mantissa.
        price_unit_e8: i64,
        /// One lot as a 10^-8 mantissa.
        lot_size_e8: i64,
        /// Tick in price units.
        tick: u64,
        /// Lowest price, in price units, a multiple of the tick.
        price_min: Price,
        /// Highest price; `(max - min) / tick < PRICE_TICKS_MAX`.
        price_max: Price,
        /// Smallest order, lots.
        quantity_min: Quantity,
        /// Largest order, lots, at most `QUANTITY_MAX`.
        quantity_max: Quantity,
        /// Market orders reach this many ticks beyond the best opposite price.
        protection_ticks: u64,
        /// Orders must be a multiple of this many lots (usually 1).
        quantity_increment: Quantity,
        /// Orders' limits may be so many price units from the reference price, 0 = any.
        static_band: u64,
        /// Trades may be so many price units from the last one, 0 = any.
        dynamic_band: u64,
        /// How long a volatility interruption lasts, 0 = until the venue says so.
        interruption_ms: u32,
        /// Instrument group that mass cancels can name, 0 = none.
        product: u32,
        /// Prices must be on this [`DefineTickTable`], 0 = `tick` is all there is.
        tick_table: u16,
        /// `TradingPhase` in which it begins to exist.
        first_phase: u8,
        /// Reserved, 0.
        reserved2: [u8; 5],
    }
);

/// Steps a tick table may have.
pub const TICK_STEPS_MAX: usize = 8;

layout!(
    /// From this price up, prices are multiples of this tick.
    TickStep, 16 {
        /// Price units, a multiple of its tick and of the one before.
        from: Price,
        /// Price units, 0 = no step.
        tick: u64,
    }
);

layout!(
    /// Defines a tick table, or changes it. The first step holds below its own price, too; steps
    /// ascend.
    DefineTickTable, 136 {
        /// 1..=64.
        table: u32,
        /// Reserved, 0.
        reserved: u32,
        /// Used ones first.
        steps: [TickStep; TICK_STEPS_MAX],
    }
);

layout!(
    /// Sets the pre-trade limits of a firm, or of one of its accounts, over all instruments or in one. A limit of 0 does not limit.
    SetLimits, 104 {
        /// Whose.
        firm: FirmId,
        /// Only of this account, with `by_account`.
        account: AccountId,
        /// Only in this one, 0 = over all.
        instrument: InstrumentId,
        /// 1 = only of `account`.
        by_account: u8,
        /// 1 = lets trade again what was stopped after repeated executions.
        release: u8,
        /// 1 = `position` holds from now on; needs an instrument.
        sets_position: u8,
        /// Reserved, 0.
        reserved: u8,
        /// Lots of an order.
        quantity: Quantity,
        /// Notional of an order, 10^-8.
        notional_e8: u64,
        /// Lots, long or short, if all open orders of a side traded; needs an instrument.
        position_limit: Quantity,
        /// Bought, sold and open today, 10^-8.
        gross_e8: u64,
        /// Bought less sold today or the other way round, if all open orders of a side traded, 10^-8.
        net_e8: u64,
        /// Lots, long is positive.
        position: i64,
        /// Limits may be so far from the last trade, or from a reference price set after it, 1/100 of a per cent of it.
        collar_bp: u32,
        /// Open orders.
        open_orders: u32,
        /// The same order so often in `duplicates_ms`, at most `RISK_WINDOW_MAX`.
        duplicates: u32,
        /// See there.
        duplicates_ms: u32,
        /// Fills in `executions_ms` after which nothing new is taken, at most `RISK_WINDOW_MAX`.
        executions: u32,
        /// See there.
        executions_ms: u32,
        /// New orders, replaces, mass quotes and status requests in `messages_ms`; only without account and instrument.
        messages: u32,
        /// See there.
        messages_ms: u32,
        /// Reserved, 0.
        reserved2: u64,
    }
);

layout!(
    /// Sets an instrument's reference price.
    SetReference, 16 {
        /// Which.
        instrument: InstrumentId,
        /// Reserved, 0.
        reserved: u32,
        /// Price units, within the price limits.
        price: Price,
    }
);

layout!(
    /// Who of the venue's own people asked for what: it stands around the command that does it, both with
    /// its `received_at`, or alone for what is done outside the core. The core only says it again.
    AuditNote, 72 {
        /// The HTTP request's id.
        request: [u8; 16],
        /// User of the admin API.
        actor: Name,
        /// What it is about: an instrument, firm, session, table, ...; 0 = none.
        target: u64,
        /// Client address of the request, IPv4 mapped into IPv6.
        address: [u8; 16],
        /// `CommandKind` of what it stands around, or [`AuditNote::KEY_ROTATED`] and so on.
        action: u8,
        /// The role it was done in, [`AuditNote::ROLES`].
        role: u8,
        /// 0 = begins, 1 = ends, 2 = stands alone, 3 = says between the two whom it is about.
        stage: u8,
        /// What was asked for: of a kill switch its scope and 0 = set, 1 = released, 2 = only cancels; of a
        /// phase its `TradingPhase` + 1; of a user the role given + 1 and 1 = disabled, 2 more = the database failed at it; of a
        /// key 0 and 2 = what was noted before failed. 0 = not said.
        content: [u8; 2],
        /// Reserved, 0.
        reserved: [u8; 3],
    }
);

impl AuditNote {
    /// Before the command.
    pub const BEGINS: u8 = 0;
    /// Behind it: what came between with the same `received_at` is what it did.
    pub const ENDS: u8 = 1;
    /// There is no command.
    pub const ALONE: u8 = 2;
    /// Behind the one that begins: `actor` is the user that is changed.
    pub const SUBJECT: u8 = 3;
    /// `action`: a session's secret was drawn anew.
    pub const KEY_ROTATED: u8 = 200;
    /// `action`: a user of the console was made, changed or removed.
    pub const USER_CHANGED: u8 = 201;
    /// `role`, by its place.
    pub const ROLES: [&'static str; 4] = ["viewer", "trader-support", "risk", "operator"];
}

layout!(
    /// A new phase of trading.
    SetPhase, 8 {
        /// Which, 0 = all but those that were halted by name. A halt by name holds until another phase by
        /// name.
        instrument: InstrumentId,
        /// `TradingPhase`.
        phase: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
    }
);

layout!(
    /// Cancels all in its scope and blocks it, or releases the block. From a session with the risk
    /// role for its own firm, or from the venue.
    KillSwitch, 64 {
        /// ClOrdID(11) of the request; may be none from the venue.
        client_order_id: ClientOrderId,
        /// Session, firm, user or instrument; 0 for the venue. Firms number their users
        /// themselves: a user is of the asking firm, from the venue of every firm.
        target: u32,
        /// `KillScope`.
        scope: u8,
        /// 1 = release.
        release: u8,
        /// 1 = cancels what is in scope and neither sets nor releases; the venue's alone.
        cancels_only: u8,
        /// Reserved, 0.
        reserved: [u8; 17],
    }
);

layout!(
    /// What a trade did to one of its orders, from the event log.
    AmendedFill, 136 {
        /// The order as its fill stated it. Of one that ended since, as its last report did, but for
        /// `exec_id`: what it filled later is known to nobody else. One that is open is amended as it is,
        /// whatever is stated. Of a trade that was corrected `exec_id` is that of the last correction.
        order: super::event::OrderState,
        /// Whose.
        session: SessionId,
        /// `Liquidity` of the fill.
        liquidity: u8,
        /// 1 = it is a quote's. Of one that is open the core knows it.
        is_quote: u8,
        /// 1 = refused if the order has ended and `order` is not an ended one: who asks looked at it
        /// before it ended. 0 as in journals from before it was there: what is stated counts.
        checks_end: u8,
        /// Reserved, 0.
        reserved: [u8; 9],
    }
);

layout!(
    /// Busts or corrects a trade. The venue's side looks the two fills up in the event log, so that
    /// the core need not keep trades.
    AmendTrade, 304 {
        /// TrdMatchID(880).
        trade_id: TradeId,
        /// What it stands at: what it traded at, or was corrected to last.
        price: Price,
        /// Lots it traded.
        quantity: Quantity,
        /// Corrected price; `i64::MIN` = bust.
        new_price: Price,
        /// Both fills, in the order of their ExecIDs.
        fills: [AmendedFill; 2],
    }
);

layout!(
    /// One entry of a mass quote: up to two quotes of an instrument in a layer of the group.
    QuoteEntry, 88 {
        /// QuoteEntryID(299), or none.
        entry_id: ClientOrderId,
        /// Instrument.
        instrument: InstrumentId,
        /// Layer, from 0: a maker may quote an instrument once in each.
        layer: u16,
        /// 1 = says nothing of the bid, 2 = of the ask, 3 = of neither.
        not_stated: u8,
        /// `Reason` code (low byte is enough for edge reasons): what the edge could not express of
        /// this entry, 0 = nothing.
        edge_reason: u8,
        /// Price units.
        bid_price: Price,
        /// Lots, 0 = no bid any more.
        bid_quantity: Quantity,
        /// Price units.
        ask_price: Price,
        /// Lots, 0 = no ask any more.
        ask_quantity: Quantity,
        /// FIX tag for `edge_reason`, 0 = the reason's own.
        edge_tag: u16,
        /// Reserved, 0.
        reserved: [u16; 3],
    }
);

/// Entries of one mass quote.
pub const QUOTE_ENTRIES_MAX: usize = 100;

/// Quotes many instruments at once. The only command whose length varies.
#[derive(Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct MassQuote {
    /// What its quotes have in common.
    pub head: MassQuoteHead,
    /// 1..=`QUOTE_ENTRIES_MAX`.
    pub entries: [QuoteEntry],
}

layout!(
    /// First part of a [`MassQuote`].
    MassQuoteHead, 56 {
        /// QuoteID(117); a number in binary.
        quote_id: ClientOrderId,
        /// Account of its orders.
        account: AccountId,
        /// Market-maker protection group, 0 = none.
        protection_group: u16,
        /// `Instructions` bits: `POST_ONLY` or nothing.
        instructions: u8,
        /// How much the answer shows, the door's own: opaque to the core.
        response: u8,
        /// `SelfTradePrevention`.
        self_trade_prevention: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);

layout!(
    /// Cancels quotes.
    QuoteCancel, 56 {
        /// QuoteID(117) of the request.
        quote_id: ClientOrderId,
        /// With scope instrument and entry.
        instrument: InstrumentId,
        /// With scope group and entry.
        protection_group: u16,
        /// With scope entry.
        layer: u16,
        /// `QuoteCancelScope`.
        scope: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);

layout!(
    /// Sets what protects a group of the firm's quotes. A limit of 0 does not limit.
    ConfigureProtection, 80 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// Lots that may trade in a window.
        quantity: Quantity,
        /// Lots bought less lots sold, or the other way round, in a window.
        net: Quantity,
        /// Fills in a window, at most `PROTECTION_FILLS_MAX`.
        fills: u32,
        /// Length of the sliding window, 1..=`PROTECTION_WINDOW_MS_MAX`; 0 takes the protection away.
        window_ms: u32,
        /// How long the group stays frozen, 0 = until it is reset.
        frozen_ms: u32,
        /// Group, 1..
        protection_group: u16,
        /// Reserved, 0.
        reserved: u16,
        /// Reserved, 0.
        reserved2: u64,
    }
);

layout!(
    /// Lets a frozen group quote again; its window begins anew.
    ResetProtection, 48 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// Group, 1..
        protection_group: u16,
        /// Reserved, 0.
        reserved: [u16; 3],
    }
);

layout!(
    /// Asks what an order is, or what all of the session's open ones are.
    OrderStatusRequest, 104 {
        /// OrdStatusReqID(790), MassStatusReqID(584).
        client_order_id: ClientOrderId,
        /// ClOrdID(11) of the order, or none.
        original: ClientOrderId,
        /// OrderID(37), or 0.
        order_id: OrderId,
        /// Must agree with the order; of all: only of this one. 0 = any.
        instrument: InstrumentId,
        /// Likewise.
        side: u8,
        /// 1 = of all.
        all: u8,
        /// Reserved, 0.
        reserved: [u8; 10],
    }
);

layout!(
    /// Defines a participant.
    DefineFirm, 32 {
        /// 1..
        firm: FirmId,
        /// Reserved, 0.
        reserved: u32,
        /// Short name.
        name: Name,
    }
);

layout!(
    /// Registers an account of a firm, enables it or disables it. There is no way back: a firm that has one is
    /// held to those it has.
    SetAccount, 16 {
        /// Whose.
        firm: FirmId,
        /// Any number; 0 is the account of orders that state none.
        account: AccountId,
        /// 1 = orders and quotes may be entered for it, 0 = it is there, and they may not.
        enabled: u8,
        /// Reserved, 0.
        reserved: [u8; 7],
    }
);

layout!(
    /// Defines an order-entry session. A second definition may change key, roles and user; everything
    /// else must agree.
    DefineSession, 72 {
        /// 1..
        session: SessionId,
        /// Owner.
        firm: FirmId,
        /// `SessionProtocol`.
        protocol: u8,
        /// 1 = numbers restart at 1 with the day roll.
        reset_at_day_roll: u8,
        /// `Roles` bits.
        roles: u8,
        /// Reserved, 0.
        reserved: u8,
        /// User it belongs to, 0 = none.
        user: u32,
        /// FIX: the client's SenderCompID(49); binary: its key id (first 16 bytes).
        name: Name,
        /// Binary with Ed25519: the public key; all zero otherwise. Secrets never enter the log.
        public_key: [u8; 32],
    }
);

layout!(
    /// A connection whose credentials were checked asks for the session. Takes over: the core
    /// raises the generation, older connections are fenced.
    SessionLogon, 40 {
        /// Binary: epoch the client believes in, 0 = current. FIX: 0.
        epoch: Epoch,
        /// FIX: 1 = ResetSeqNumFlag(141)=Y.
        reset: u8,
        /// FIX: 1 = the reply consumes an outbound number (always so in FIX).
        numbered_reply: u8,
        /// Cancel on disconnect: 0 no, 1 when the connection is lost, 2 at a logout, 3 at both.
        cancel_on_disconnect: u8,
        /// Reserved, 0.
        reserved: u8,
        /// Gateway that holds the connection, and its name for it; echoed in the answer.
        connection: u64,
        /// Binary: replay from this number, 0 = live only. FIX: 0.
        from_seq: u64,
        /// FIX: 789 NextExpectedMsgSeqNum, 0 = absent (opaque to the core).
        next_expected: u64,
        /// How long after that orders stay, for a new logon to keep them.
        cancel_grace_ms: u32,
        /// Reserved, 0.
        reserved2: u32,
    }
);

layout!(
    /// The edge noticed that the connection is gone.
    SessionDisconnected, 8 {
        /// Why, a `Reason` code.
        reason: u16,
        /// How long it has at least to come back before its orders or quotes are canceled, milliseconds.
        grace_ms: u16,
        /// 1 = it was the venue that was away: every session that is waited for has that long from now on, too, even if
        /// its time would be over. 0 as in journals from before it was there.
        after_restart: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
    }
);

layout!(
    /// A session-level message that consumes an inbound number (header), an outbound number, or
    /// both. The content stays at the gateway under `token`; the core keeps kind and numbers.
    SessionMessage, 24 {
        /// FIX MsgType character of the outbound message to number, 0 = none.
        outbound_kind: u8,
        /// FIX MsgType character of the inbound message, 0 = none.
        inbound_kind: u8,
        /// 1 = close the session after the outbound message (Logout).
        closes: u8,
        /// Reserved, 0.
        reserved: u8,
        /// Reserved, 0.
        reserved2: u32,
        /// Gateway's name for the content.
        token: u64,
        /// SequenceReset: next inbound number expected afterwards; 0 = `inbound_seq + 1`.
        /// With `inbound_seq` 0 (Reset mode) it alone moves the expectation; never backwards.
        next_inbound: u64,
    }
);

impl SessionMessage {
    /// `token` of a Logout that the venue's people ask for: what it says is the session's to know.
    pub const LOGOUT_BY_VENUE: u64 = u64::MAX;
    /// Likewise, of a session that another connection takes over.
    pub const LOGOUT_SUPERSEDED: u64 = u64::MAX - 1;
}

layout!(
    /// Answers an inbound FIX message with BusinessMessageReject (35=j), an application message
    /// that must be resendable word for word, so its content is here.
    BusinessReject, 64 {
        /// RefMsgType(372), zero-padded.
        ref_msg_type: [u8; 8],
        /// BusinessRejectReason(380).
        business_reason: u16,
        /// `Reason` code for Text(58).
        reason: u16,
        /// Field at fault, 0 = none.
        ref_tag: u32,
        /// BusinessRejectRefID(379), or none.
        ref_id: ClientOrderId,
        /// Reserved, 0.
        reserved: u64,
    }
);

layout!(
    /// Enters an order.
    EnterOrder, 72 {
        /// ClOrdID(11).
        client_order_id: ClientOrderId,
        /// Limit, price units; `i64::MIN` = none.
        price: Price,
        /// OrderQty(38), lots.
        quantity: Quantity,
        /// Instrument.
        instrument: InstrumentId,
        /// Account, 0 = default.
        account: AccountId,
        /// `Side`.
        side: u8,
        /// `OrderType`.
        order_type: u8,
        /// `TimeInForce`.
        time_in_force: u8,
        /// 1 = PossResend(97)=Y: a used ClOrdID is no new order and gets no answer.
        possible_resend: u8,
        /// `Instructions` bits.
        instructions: u8,
        /// `SelfTradePrevention`.
        self_trade_prevention: u8,
        /// Market-maker protection group, 0 = none.
        protection_group: u16,
    }
);

layout!(
    /// What only some orders have.
    OrderTerms, 32 {
        /// StopPx(99), price units; `i64::MIN` = none.
        stop_price: Price,
        /// DisplayQty(1138), MaxFloor(111): lots shown at a time, 0 = all.
        display: Quantity,
        /// MinQty(110), lots, 0 = none.
        minimum: Quantity,
        /// ExpireTime(126), 0 = none.
        expire_at: UtcNanos,
    }
);

layout!(
    /// Enters an order that has more terms than most.
    EnterOrderWithTerms, 104 {
        /// As without them.
        order: EnterOrder,
        /// The terms.
        terms: OrderTerms,
    }
);

layout!(
    /// Replaces an order: quantity is the new total, OrderQty(38).
    ReplaceOrder, 120 {
        /// New ClOrdID(11).
        client_order_id: ClientOrderId,
        /// OrigClOrdID(41), or none.
        original: ClientOrderId,
        /// OrderID(37), or 0.
        order_id: OrderId,
        /// New limit, price units.
        price: Price,
        /// New total, lots.
        quantity: Quantity,
        /// Must agree with the order.
        instrument: InstrumentId,
        /// `Side` as the request states it, 0 = not stated; must agree with the order.
        side: u8,
        /// `OrderType` as stated, 0 = not stated; must agree.
        order_type: u8,
        /// `TimeInForce` as stated, 0xFF = not stated; must agree.
        time_in_force: u8,
        /// Which of the four below are stated, [`stated`] bits; those must agree, too.
        stated: u8,
        /// Account(1).
        account: AccountId,
        /// Market-maker protection group, 0 = none.
        protection_group: u16,
        /// `Instructions` bits.
        instructions: u8,
        /// `SelfTradePrevention`.
        self_trade_prevention: u8,
    }
);

/// Bits of [`ReplaceOrder`]'s `stated`. That no field has a value for "not stated" keeps an older
/// log's replaces, with zeros there, what they were.
pub mod stated {
    /// `account`.
    pub const ACCOUNT: u8 = 1;
    /// `instructions`.
    pub const INSTRUCTIONS: u8 = 1 << 1;
    /// `self_trade_prevention`.
    pub const SELF_TRADE_PREVENTION: u8 = 1 << 2;
    /// `protection_group`.
    pub const PROTECTION_GROUP: u8 = 1 << 3;
}

layout!(
    /// Replaces an order, and more than price and quantity of it.
    ReplaceOrderWithTerms, 152 {
        /// As without them.
        replace: ReplaceOrder,
        /// New terms. Nothing (`i64::MIN`, 0) leaves what the order has; `minimum` is always 0: an
        /// order that can be replaced rests.
        terms: OrderTerms,
    }
);

layout!(
    /// Cancels many orders at one point of the log, in ascending order id.
    MassCancel, 64 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// Only of this instrument, 0 = any.
        instrument: InstrumentId,
        /// Only of this account, with `by_account`.
        account: AccountId,
        /// `MassCancelScope`: whose orders.
        scope: u8,
        /// Only of this `Side`, 0 = both.
        side: u8,
        /// 1 = only of `account`.
        by_account: u8,
        /// 1 = only quotes, 2 = only orders that are no quotes, 0 = both.
        kinds: u8,
        /// Only of instruments of this group, 0 = any.
        product: u32,
        /// Only of this protection group, 0 = any.
        protection_group: u16,
        /// MassCancelRequestType(530) as sent, 0 = not stated; what else is stated must go with it.
        request_type: u8,
        /// Reserved, 0.
        reserved: [u8; 5],
    }
);

layout!(
    /// Cancels the session's orders unless renewed in time.
    CancelAfter, 8 {
        /// From now, log time; 0 = not any more.
        after_ms: u32,
        /// Reserved, 0.
        reserved: u32,
    }
);

layout!(
    /// Cancels what is open of an order.
    CancelOrder, 96 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// OrigClOrdID(41), or none.
        original: ClientOrderId,
        /// OrderID(37), or 0.
        order_id: OrderId,
        /// 0 = not stated; must agree otherwise.
        instrument: InstrumentId,
        /// `Side` as stated, 0 = not stated; must agree.
        side: u8,
        /// Reserved, 0.
        reserved: [u8; 3],
    }
);

layout!(
    /// A new order that the edge understood but cannot express: an unknown symbol, a price that
    /// is no multiple of the price unit, an unsupported type. Sequenced all the same, so that its
    /// inbound number, ClientOrderId and reject are in the log.
    RefuseOrder, 104 {
        /// ClOrdID(11).
        client_order_id: ClientOrderId,
        /// Symbol(55) as sent, zero-padded; empty when `instrument` says it.
        symbol: Name,
        /// Price as sent, 10^-8 mantissa; `i64::MIN` = none.
        price_e8: i64,
        /// OrderQty(38) as sent, 10^-8 mantissa.
        quantity_e8: i64,
        /// 0 = unknown.
        instrument: InstrumentId,
        /// `Reason` code.
        reason: u16,
        /// FIX tag at fault, 0 = the reason's own.
        ref_tag: u16,
        /// Side(54) as sent (FIX digit or letter as its byte value is not kept: 0 = unknown).
        side: u8,
        /// OrdType(40) as sent, ASCII byte or binary value.
        order_type: u8,
        /// TimeInForce(59) as sent, ASCII byte or binary value.
        time_in_force: u8,
        /// As in [`EnterOrder`].
        possible_resend: u8,
        /// Reserved, 0.
        reserved: [u8; 4],
        /// Reserved, 0.
        reserved2: u64,
    }
);

layout!(
    /// A cancel or replace that the edge cannot express.
    RefuseRequest, 104 {
        /// ClOrdID(11) of the request.
        client_order_id: ClientOrderId,
        /// OrigClOrdID(41), or none.
        original: ClientOrderId,
        /// OrderID(37), or 0.
        order_id: OrderId,
        /// `CommandKind::ReplaceOrder` or `CommandKind::CancelOrder`.
        request: u8,
        /// Reserved, 0.
        reserved: u8,
        /// `Reason` code.
        reason: u16,
        /// FIX tag at fault, 0 = the reason's own.
        ref_tag: u16,
        /// Reserved, 0.
        reserved2: [u16; 5],
    }
);

layout!(
    /// Time passes; nothing else.
    Tick, 8 {
        /// Reserved, 0.
        reserved: u64,
    }
);

layout!(
    /// The trading day ends: Day orders expire, ClientOrderIds are free again, numbers restart
    /// where configured.
    DayRoll, 8 {
        /// The new trading day, YYYYMMDD.
        trading_day: u32,
        /// Reserved, 0.
        reserved: u32,
    }
);

/// No price.
pub const NO_PRICE: Price = Price(i64::MIN);

impl CommandHeader {
    /// Its bytes as words.
    #[inline(always)]
    pub fn words(&self) -> &[u64; 6] {
        zerocopy::transmute_ref!(self)
    }
}

impl EnterOrder {
    /// Its bytes as words: five of the id, price, quantity, whose order in what, and the rest, as an
    /// order's state ends.
    #[inline(always)]
    pub fn words(&self) -> &[u64; 9] {
        zerocopy::transmute_ref!(self)
    }
}

impl OrderTerms {
    /// The terms of an order that has none.
    pub const NONE: Self = Self {
        stop_price: NO_PRICE,
        display: Quantity(0),
        minimum: Quantity(0),
        expire_at: UtcNanos(0),
    };
}

layout!(
    /// What the core has room for from here on, and the rules it answers by: a log says so behind its genesis, and
    /// again when a venue starts with other settings. Capacities decide answers, so they are part of the log.
    SetCapacities, 56 {
        /// [`RULES`].
        rules: u32,
        /// What there is room for.
        limits: EngineLimits,
        /// Reserved, 0.
        reserved: u32,
    }
);

impl SetCapacities {
    /// These, and this build's rules.
    pub fn of(limits: &EngineLimits) -> Self {
        Self {
            rules: RULES,
            limits: *limits,
            reserved: 0,
        }
    }
}

/// A command read in place.
#[derive(Clone, Copy, Debug)]
pub enum CommandBody<'a> {
    #[allow(missing_docs)]
    Genesis(&'a Genesis),
    DefineInstrument(&'a DefineInstrument),
    DefineFirm(&'a DefineFirm),
    DefineSession(&'a DefineSession),
    SessionLogon(&'a SessionLogon),
    SessionDisconnected(&'a SessionDisconnected),
    SessionMessage(&'a SessionMessage),
    BusinessReject(&'a BusinessReject),
    EnterOrder(&'a EnterOrder),
    ReplaceOrder(&'a ReplaceOrder),
    CancelOrder(&'a CancelOrder),
    RefuseOrder(&'a RefuseOrder),
    RefuseRequest(&'a RefuseRequest),
    EnterOrderWithTerms(&'a EnterOrderWithTerms),
    ReplaceOrderWithTerms(&'a ReplaceOrderWithTerms),
    MassCancel(&'a MassCancel),
    CancelAfter(&'a CancelAfter),
    Tick(&'a Tick),
    DayRoll(&'a DayRoll),
    SetPhase(&'a SetPhase),
    KillSwitch(&'a KillSwitch),
    AmendTrade(&'a AmendTrade),
    SetLimits(&'a SetLimits),
    DefineTickTable(&'a DefineTickTable),
    SetReference(&'a SetReference),
    AuditNote(&'a AuditNote),
    SetAccount(&'a SetAccount),
    MassQuote(&'a MassQuote),
    QuoteCancel(&'a QuoteCancel),
    ConfigureProtection(&'a ConfigureProtection),
    ResetProtection(&'a ResetProtection),
    OrderStatusRequest(&'a OrderStatusRequest),
    SetCapacities(&'a SetCapacities),
}

/// Bytes that are no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// Fewer bytes than a header, or not 8-byte aligned.
    Truncated,
    /// `length` disagrees with the bytes or the kind.
    Length {
        /// The kind byte.
        kind: u8,
        /// The stated length.
        length: u32,
    },
    /// A layout version this build does not know.
    Version(u8),
    /// A kind this build does not know.
    Kind(u8),
    /// Rules this build does not know.
    Rules(u32),
}

impl core::fmt::Display for CommandError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated => f.write_str("command shorter than its header or misaligned"),
            Self::Length { kind, length } => {
                write!(f, "command kind {kind} has impossible length {length}")
            }
            Self::Version(version) => write!(f, "command layout version {version} is unknown"),
            Self::Kind(kind) => write!(f, "command kind {kind} is unknown"),
            Self::Rules(rules) => write!(
                f,
                "a newer build wrote it: its rules are {rules}, this one knows {RULES} and older"
            ),
        }
    }
}

impl std::error::Error for CommandError {}

/// A body type with its kind.
pub trait Body: IntoBytes + FromBytes + Immutable + KnownLayout {
    /// The kind byte that announces this body.
    const KIND: CommandKind;
}

macro_rules! bodies {
    ($($name:ident),+) => {
        $(impl Body for $name { const KIND: CommandKind = CommandKind::$name; })+

        /// Reads a command in place. `bytes` starts 8-aligned and may be longer than the command.
        ///
        /// # Errors
        /// Anything that is not exactly one of the layouts above.
        #[inline(always)]
        pub fn read(bytes: &[u8]) -> Result<(&CommandHeader, CommandBody<'_>), CommandError> {
            let kind = bytes.get(KIND_AT).copied().unwrap_or(0);
            $(if kind == CommandKind::$name as u8
                && let Some(whole) = read_as::<$name>(bytes)
            {
                return Ok((&whole.header, CommandBody::$name(&whole.body)));
            })+
            if kind == CommandKind::MassQuote as u8
                && let Some(read) = read_mass_quote(bytes)
            {
                return Ok(read);
            }
            Err(no_command(bytes))
        }

        impl CommandKind {
            /// Bytes of the body that this kind announces; of a mass quote, the longest.
            pub const fn body_length(self) -> usize {
                match self {
                    $(Self::$name => size_of::<$name>(),)+
                    Self::MassQuote => {
                        size_of::<MassQuoteHead>() + QUOTE_ENTRIES_MAX * size_of::<QuoteEntry>()
                    }
                }
            }
        }

        impl CommandBody<'_> {
            /// The body's bytes.
            pub fn as_bytes(&self) -> &[u8] {
                match self {
                    $(Self::$name(body) => body.as_bytes(),)+
                    Self::MassQuote(body) => body.as_bytes(),
                }
            }
        }

        /// Why [`read`] refused.
        #[cold]
        fn no_command(bytes: &[u8]) -> CommandError {
            let Ok((header, _)) = CommandHeader::ref_from_prefix(bytes) else {
                return CommandError::Truncated;
            };
            if header.version != COMMAND_VERSION {
                return CommandError::Version(header.version);
            }
            let fits = header.length as usize <= bytes.len();
            let known = CommandKind::ALL.iter().any(|kind| *kind as u8 == header.kind);
            if known || !fits {
                CommandError::Length { kind: header.kind, length: header.length }
            } else {
                CommandError::Kind(header.kind)
            }
        }
    };
}

/// A command as it lies in the log.
#[derive(Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Whole<B> {
    /// Its header.
    pub header: CommandHeader,
    /// Its body.
    pub body: B,
}

/// [`read`] of a command that is meant to be of one kind; `None` if it is not, or not right.
#[inline(always)]
pub fn read_as<B: Body>(bytes: &[u8]) -> Option<&Whole<B>> {
    if *bytes.get(KIND_AT)? != B::KIND as u8 {
        return None;
    }
    let (whole, _) = Whole::<B>::ref_from_prefix(bytes).ok()?;
    let right = whole.header.length as usize == size_of::<Whole<B>>()
        && whole.header.version == COMMAND_VERSION;
    right.then_some(whole)
}

/// Where the id is that a command of that kind looks up first, from the command's start; 0 = there
/// is none.
const FIRST_ID_AT: [u8; 64] = {
    use core::mem::offset_of;
    let mut at = [0; 64];
    let head = size_of::<CommandHeader>() as u8;
    at[CommandKind::EnterOrder as usize] = head + offset_of!(EnterOrder, client_order_id) as u8;
    at[CommandKind::EnterOrderWithTerms as usize] = at[CommandKind::EnterOrder as usize];
    at[CommandKind::CancelOrder as usize] = head + offset_of!(CancelOrder, original) as u8;
    at[CommandKind::ReplaceOrder as usize] = head + offset_of!(ReplaceOrder, original) as u8;
    at
};

/// The id that a command looks up first, whose it is, and whether an order is to have it already. No
/// more than that is looked at: what else is wrong with the bytes, [`read`] finds.
#[inline(always)]
pub fn first_id(bytes: &[u8]) -> Option<(SessionId, &ClientOrderId, bool)> {
    let (header, _) = CommandHeader::ref_from_prefix(bytes).ok()?;
    let at = FIRST_ID_AT[header.kind as usize % FIRST_ID_AT.len()];
    if at == 0 {
        return None;
    }
    let (id, _) = ClientOrderId::ref_from_prefix(bytes.get(usize::from(at)..)?).ok()?;
    let is_new = at == FIRST_ID_AT[CommandKind::EnterOrder as usize];
    Some((header.session, id, !is_new))
}

/// Where the kind byte is.
const KIND_AT: usize = core::mem::offset_of!(CommandHeader, kind);

bodies!(
    EnterOrder,
    CancelOrder,
    ReplaceOrder,
    EnterOrderWithTerms,
    ReplaceOrderWithTerms,
    MassCancel,
    SessionMessage,
    RefuseOrder,
    RefuseRequest,
    CancelAfter,
    BusinessReject,
    SessionLogon,
    SessionDisconnected,
    Tick,
    DayRoll,
    Genesis,
    DefineInstrument,
    DefineFirm,
    DefineSession,
    QuoteCancel,
    ConfigureProtection,
    ResetProtection,
    OrderStatusRequest,
    SetPhase,
    KillSwitch,
    AmendTrade,
    SetLimits,
    DefineTickTable,
    SetReference,
    SetCapacities,
    AuditNote,
    SetAccount
);

/// A mass quote in place.
fn read_mass_quote(bytes: &[u8]) -> Option<(&CommandHeader, CommandBody<'_>)> {
    let (header, rest) = CommandHeader::ref_from_prefix(bytes).ok()?;
    if header.version != COMMAND_VERSION {
        return None;
    }
    let body = (header.length as usize).checked_sub(size_of::<CommandHeader>())?;
    let quote = MassQuote::ref_from_bytes(rest.get(..body)?).ok()?;
    let entries = 1..=QUOTE_ENTRIES_MAX;
    entries
        .contains(&quote.entries.len())
        .then_some((header, CommandBody::MassQuote(quote)))
}

/// A mass quote's bytes, ready for a ring. At most [`QUOTE_ENTRIES_MAX`] entries count.
pub fn mass_quote(header: CommandHeader, head: &MassQuoteHead, entries: &[QuoteEntry]) -> Vec<u8> {
    let entries = &entries[..entries.len().min(QUOTE_ENTRIES_MAX)];
    let header = mass_quote_header(header, entries.len());
    [header.as_bytes(), head.as_bytes(), entries.as_bytes()].concat()
}

/// The header of a mass quote of so many entries, at most [`QUOTE_ENTRIES_MAX`].
pub fn mass_quote_header(header: CommandHeader, entries: usize) -> CommandHeader {
    debug_assert!(entries <= QUOTE_ENTRIES_MAX, "no command is that long");
    let length =
        size_of::<CommandHeader>() + size_of::<MassQuoteHead>() + entries * size_of::<QuoteEntry>();
    #[allow(
        clippy::cast_possible_truncation,
        reason = "at most COMMAND_LENGTH_MAX"
    )]
    CommandHeader {
        length: length as u32,
        kind: CommandKind::MassQuote as u8,
        version: COMMAND_VERSION,
        ..header
    }
}

const _: () = assert!(
    size_of::<CommandHeader>() + CommandKind::MassQuote.body_length()
        <= crate::limits::COMMAND_LENGTH_MAX
);

/// The Sequence of a command of whatever version.
pub fn read_sequence(bytes: &[u8]) -> Option<u64> {
    let (header, _) = CommandHeader::ref_from_prefix(bytes).ok()?;
    Some(header.sequence.0)
}

/// A command of an older journal in the present layout. Layouts only ever grow at their end, and 0
/// is what was meant before a field was there. `None`: it is not older, or not to be read.
pub fn upgraded(bytes: &[u8]) -> Option<Vec<u64>> {
    let (header, _) = CommandHeader::ref_from_prefix(bytes).ok()?;
    let body = bytes.get(size_of::<CommandHeader>()..header.length as usize)?;
    let kind = CommandKind::ALL
        .iter()
        .find(|kind| **kind as u8 == header.kind)?;
    if header.version == 0 || header.version >= COMMAND_VERSION || body.len() > kind.body_length() {
        return None;
    }
    let length = size_of::<CommandHeader>() + kind.body_length();
    let header = CommandHeader {
        version: COMMAND_VERSION,
        length: u32::try_from(length).ok()?,
        ..*header
    };
    let mut words = vec![0u64; length / 8];
    let (head, rest) = words
        .as_mut_bytes()
        .split_at_mut(size_of::<CommandHeader>());
    head.copy_from_slice(header.as_bytes());
    rest[..body.len()].copy_from_slice(body);
    Some(words)
}

/// A command built on the stack: header and body, ready to be copied into a ring.
#[derive(Clone, Copy, Debug)]
pub struct Command<B> {
    /// The header; `length`, `kind` and `version` are right.
    pub header: CommandHeader,
    /// The body.
    pub body: B,
}

impl<B: Body> Command<B> {
    /// A command of the venue itself (no session).
    #[inline]
    pub fn new(body: B) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "layouts are under 8 KiB")]
        let length = (size_of::<CommandHeader>() + size_of::<B>()) as u32;
        Self {
            header: CommandHeader {
                length,
                kind: B::KIND as u8,
                version: COMMAND_VERSION,
                ..CommandHeader::default()
            },
            body,
        }
    }

    /// The command's bytes, to be written one part after the other.
    #[inline(always)]
    pub fn parts(&self) -> [&[u8]; 2] {
        [self.header.as_bytes(), self.body.as_bytes()]
    }

    /// The command's bytes in one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

/// Text as a zero-padded [`Name`]; `None` when it is empty, too long or not printable ASCII.
pub fn name(text: &str) -> Option<Name> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > NAME_LENGTH_MAX || !bytes.iter().all(u8::is_ascii_graphic)
    {
        return None;
    }
    let mut out = [0; NAME_LENGTH_MAX];
    out[..bytes.len()].copy_from_slice(bytes);
    Some(out)
}

/// The text of a [`Name`].
pub fn name_text(name: &Name) -> &str {
    let length = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(name.len());
    core::str::from_utf8(&name[..length]).unwrap_or("?")
}
