//! A binary connection: the protocol's acceptor on one side, commands and events on the other.

use trading_engine_protocol::binary::message::{
    CancelAfterSet as WireCancelAfterSet, CancelOrder as WireCancel, CancelRejected,
    Fill as WireFill, InstrumentDefinition, KillSwitch as WireKillSwitch,
    KillSwitchDone as WireKillSwitchDone, LogonAccepted, LogonRejected,
    MassCancel as WireMassCancel, MassCancelDone as WireMassCancelDone, MassQuote as WireMassQuote,
    MassQuoteAck, Message, NewOrder, OrderAccepted as WireAccepted, OrderCanceled as WireCanceled,
    OrderRejected as WireRejected, OrderReplaced as WireReplaced, OrderRestated as WireRestated,
    OrderStatus as WireStatus, OrderStatusRequest as WireStatusRequest, ProtectionConfig,
    ProtectionStatus, ProtectionTripped as WireTripped, QuoteCancel as WireQuoteCancel,
    QuoteCancelDone as WireQuoteCancelDone, QuoteCanceled as WireQuoteCanceled,
    QuoteEntry as WireQuoteEntry, QuoteResult as WireQuoteResult, ReplaceOrder as WireReplace,
    TradeAmended as WireAmended, TradingStatus,
};
use trading_engine_protocol::binary::{
    Acceptor, AcceptorSettings, Action, LOGON_TRADING_STATUS, LogonRequest, MASS_CANCEL_BY_ACCOUNT,
    MASS_CANCEL_ORDERS, MASS_CANCEL_QUOTES, MASS_QUOTE_ALL_OR_NONE, MASS_QUOTE_FULL_ACK,
    MASS_QUOTE_POST_ONLY, NULL_PRICE, QUOTE_LAYER_FIELD, QUOTE_NO_ASK, QUOTE_NO_BID,
    STATUS_REPLACED, write_group_message, write_message,
};
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, Decimal8, Epoch, ExecutionKind, Instructions, InstrumentId, OrderId,
    OrderType, Price, Quantity, QuoteStatus, Reason, SessionId, SessionProtocol, Side, UtcNanos,
};

use super::authenticator::Credentials;
use super::connection::Connection;
use super::context::{Bound, Context, Next};
use super::door::is_replaced_away;
use super::quotes::{self, WireEntry, WireSide, response};
use super::reference::{Instrument, ReferenceData};
use crate::engine::command::{
    Body, CancelAfter, CancelOrder, CommandKind, ConfigureProtection, EnterOrder,
    EnterOrderWithTerms, KillSwitch, MassCancel, MassQuoteHead, NO_PRICE, OrderStatusRequest,
    OrderTerms, QuoteCancel, RefuseOrder, RefuseRequest, ReplaceOrder, ReplaceOrderWithTerms,
    ResetProtection, SessionLogon,
};
use crate::engine::event::{
    EventBody, EventHeader, Fill, LogonAnswered, MassCancelDone, MassQuoteAnswered, OrderAccepted,
    OrderAcceptedWithTerms, OrderReplacedWithTerms, OrderRestated, OrderState, OrderStatusReport,
    OrderTriggered, QuoteResult, TradeAmended,
};
use crate::journal::history::HistoryReply;

const NOT_STATED: u8 = 0xFF;

/// When a client that is told that the venue is going away should come back: another one takes
/// sessions by then.
const RETRY_AFTER_MS: u32 = 1_000;

/// Where the session stands with the core.
#[derive(Clone, Debug)]
enum Stage {
    /// No session yet.
    Unbound,
    /// The key is being checked.
    Checking(Box<LogonRequest>),
    /// The core was asked, for cancel on disconnect of this type and grace, too.
    Opening { cod_type: u8, cod_grace_ms: u32 },
    /// The core said yes; messages before `until` are being replayed.
    Replaying { until: u64 },
    /// Live.
    Live,
    /// Over.
    Ended,
}

/// The protocol state of one binary connection.
pub(super) struct BinaryDoor {
    acceptor: Acceptor,
    stage: Stage,
    bound: Option<Bound>,
    /// Next outbound number to go out on this connection.
    next_send: u64,
    /// Highest number of this session that is durable, as seen in the event ring.
    newest: u64,
    /// A question to the history is under way.
    asked: bool,
    /// Changes of trading phases it was told of; [`NOT_WANTED`]: it did not ask to be told.
    phases_told: u64,
}

const NOT_WANTED: u64 = u64::MAX;

impl BinaryDoor {
    pub fn new(
        settings: AcceptorSettings,
        nonce: [u8; 32],
        ctx: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Self {
        Self {
            acceptor: Acceptor::new(settings, nonce, ctx.now_ns, ctx.utc.0, out),
            stage: Stage::Unbound,
            bound: None,
            next_send: 1,
            newest: 0,
            asked: false,
            phases_told: NOT_WANTED,
        }
    }

    /// Handles the front of the input. Returns whether anything was consumed, and what next.
    #[inline]
    pub fn receive(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> (bool, Next) {
        let (input, out) = connection.split();
        let received = self.acceptor.receive(ctx.now_ns, input, out);
        if let Action::MassQuote {
            seq,
            quote,
            entries,
        } = &received.action
        {
            let entries = entries.read::<WireMassQuote>(connection.input());
            self.mass_quote(ctx, *seq, quote, entries);
        }
        connection.consume(received.consumed);
        let next = match received.action {
            // A mass quote is sequenced above, while its entries are there to be read.
            Action::NeedMore | Action::Handled | Action::MassQuote { .. } => Next::Continue,
            Action::NewOrder {
                seq,
                order,
                unsupported,
            } => {
                self.new_order(ctx, seq, &order, unsupported);
                Next::Continue
            }
            Action::CancelOrder { seq, cancel } => {
                self.cancel_order(ctx, seq, &cancel);
                Next::Continue
            }
            Action::ReplaceOrder { seq, replace } => {
                self.replace_order(ctx, seq, &replace);
                Next::Continue
            }
            Action::MassCancel { seq, request } => {
                self.mass_cancel(ctx, seq, &request);
                Next::Continue
            }
            Action::CancelAfter { seq, after_ms } => {
                let reserved = 0;
                self.send(ctx, seq, CancelAfter { after_ms, reserved })
            }
            Action::OrderStatus { seq, request } => self.send(ctx, seq, question(&request)),
            Action::QuoteCancel { seq, request } => self.send(ctx, seq, quote_cancel(&request)),
            Action::ProtectionConfig { seq, request } => self.send(ctx, seq, protection(&request)),
            Action::ProtectionReset { seq, request } => self.send(
                ctx,
                seq,
                ResetProtection {
                    client_order_id: ClientOrderId::from_u64(request.cl_ord_id),
                    protection_group: request.mmp_group,
                    ..ResetProtection::default()
                },
            ),
            Action::KillSwitch { seq, request } => self.send(ctx, seq, kill_switch(&request)),
            Action::Logon(request) => self.logon(ctx, request, connection),
            Action::Close(reason) => {
                self.end(ctx, reason);
                Next::Close(reason)
            }
        };
        (received.consumed > 0, next)
    }

    /// Sequences a request that needs nothing but its own fields.
    fn send<B: Body>(&self, ctx: &mut Context<'_>, seq: u64, body: B) -> Next {
        if let Some(bound) = self.bound {
            ctx.send(bound, seq, body);
        }
        Next::Continue
    }

    fn logon(
        &mut self,
        ctx: &mut Context<'_>,
        request: LogonRequest,
        connection: &mut Connection,
    ) -> Next {
        let key_id = String::from_utf8_lossy(request.key_id()).into_owned();
        let session = ctx
            .reference
            .session_by_name(SessionProtocol::Binary, key_id.as_bytes())
            .filter(|entry| entry.definition.session.0 == request.logon.session_id);
        let message = request.signed.to_vec();
        let signature = request.logon.signature;
        let credentials = if request.logon.auth_type == 1 {
            let (tag, rest) = signature.split_at(32);
            let whole = session.is_some() && rest.iter().all(|&byte| byte == 0);
            Credentials::Hmac {
                key_id: whole.then_some(key_id),
                message,
                tag: tag.try_into().expect("Invariant: split at its length"),
            }
        } else {
            let public_key = session.map(|entry| entry.definition.public_key);
            Credentials::Ed25519 {
                public_key: public_key.filter(|key| *key != [0; 32]),
                message,
                signature,
            }
        };
        if !ctx.authenticate(credentials) {
            return self.refuse_logon(Reason::TooManyConnections, connection);
        }
        self.stage = Stage::Checking(Box::new(request));
        Next::Pause
    }

    fn refuse_logon(&mut self, reason: Reason, connection: &mut Connection) -> Next {
        let rejected = LogonRejected {
            reason: reason.code(),
            ..LogonRejected::default()
        };
        self.acceptor
            .logon_rejected(rejected, &mut connection.output);
        self.stage = Stage::Ended;
        Next::Close(reason)
    }

    /// Nobody looked at the key: too many wrong ones came from there.
    pub fn turn_away(&mut self, connection: &mut Connection) -> Next {
        self.refuse_logon(Reason::TooManyConnections, connection)
    }

    /// The session whose key is being checked.
    pub fn session_asked(&self) -> Option<SessionId> {
        match &self.stage {
            Stage::Checking(request) => Some(SessionId(request.logon.session_id)),
            _ => None,
        }
    }

    /// The key check is done.
    pub fn authenticated(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        accepted: bool,
    ) -> Next {
        let Stage::Checking(request) = &self.stage else {
            return Next::Continue;
        };
        if !accepted {
            return self.refuse_logon(Reason::NotAuthorized, connection);
        }
        let logon = &request.logon;
        // An epoch beyond 32 bits is no epoch of ours.
        let epoch = Epoch(u32::try_from(logon.session_epoch).unwrap_or(u32::MAX));
        let body = SessionLogon {
            epoch,
            connection: ctx.connection,
            from_seq: logon.from_seq,
            cancel_on_disconnect: logon.cod_type,
            cancel_grace_ms: logon.cod_grace_ms,
            ..SessionLogon::default()
        };
        let session = SessionId(logon.session_id);
        let asking = Bound {
            session,
            generation: Default::default(),
            epoch,
        };
        ctx.send(asking, 0, body);
        if logon.flags & LOGON_TRADING_STATUS != 0 {
            self.phases_told = 0;
        }
        self.stage = Stage::Opening {
            cod_type: logon.cod_type,
            cod_grace_ms: logon.cod_grace_ms,
        };
        Next::Pause
    }

    /// The core's answer to this connection's logon.
    pub fn logon_answered(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        answer: &LogonAnswered,
    ) -> Next {
        let Stage::Opening {
            cod_type,
            cod_grace_ms,
        } = self.stage
        else {
            return Next::Continue;
        };
        let next_seq = answer.next_outbound.0;
        if header.reason != Reason::None.code() {
            let rejected = LogonRejected {
                current_epoch: u64::from(header.epoch.0),
                first_available_seq: 1,
                next_seq,
                reason: header.reason,
                ..LogonRejected::default()
            };
            self.acceptor
                .logon_rejected(rejected, &mut connection.output);
            self.stage = Stage::Ended;
            let reason = Reason::try_from(header.reason).unwrap_or(Reason::NotAuthorized);
            return Next::Close(reason);
        }
        self.bound = Some(Bound {
            session: header.session,
            generation: header.generation,
            epoch: header.epoch,
        });
        let rate = ctx.reference.message_rate(header.session);
        let a_second = u64::from(rate.messages) * 1_000 / u64::from(rate.window_ms.max(1));
        let accepted = LogonAccepted {
            msg_rate: u32::try_from(a_second).unwrap_or(u32::MAX),
            msg_burst: rate.messages,
            session_epoch: u64::from(header.epoch.0),
            next_seq,
            first_available_seq: 1,
            last_client_seq: answer.inbound,
            server_time: ctx.utc.0,
            cod_type,
            cod_grace_ms,
            ..LogonAccepted::default()
        };
        self.acceptor
            .logon_accepted(ctx.now_ns, accepted, &mut connection.output);
        for instrument in ctx.reference.instruments() {
            self.acceptor
                .instrument(&definition(instrument), &mut connection.output);
        }
        self.newest = next_seq - 1;
        self.next_send = if answer.from_seq == 0 {
            next_seq
        } else {
            answer.from_seq
        };
        self.stage = Stage::Replaying { until: next_seq };
        self.catch_up(ctx, connection)
    }

    /// Moves on after something was sent: asks for what is missing, or goes live.
    fn catch_up(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> Next {
        if let Stage::Replaying { until } = self.stage
            && self.next_send == until
        {
            self.acceptor
                .replay_complete(ctx.now_ns, &mut connection.output);
            self.stage = Stage::Live;
        }
        let Some(bound) = self.bound else {
            return Next::Continue;
        };
        let last = match self.stage {
            Stage::Replaying { until } => until - 1,
            _ => self.newest,
        };
        // The next question waits until what was answered is on its way: the buffer stays bounded.
        if self.next_send <= last && !self.asked && connection.output_pending() < REPLAY_ROOM {
            self.asked = ctx.ask_history(bound, self.next_send, last);
        }
        self.tell_phases(ctx, connection);
        Next::Continue
    }

    /// Tells of the trading phases that changed, once everything before is sent: who is behind is told of the last
    /// change only.
    pub fn tell_phases(&mut self, ctx: &Context<'_>, connection: &mut Connection) {
        let changes = ctx.reference.changes();
        let is_behind = self.asked || self.next_send <= self.newest;
        if self.phases_told >= changes || is_behind || !matches!(self.stage, Stage::Live) {
            return;
        }
        let out = &mut connection.output;
        if self.phases_told + 1 == changes
            && let Some(instrument) = ctx.reference.changed()
        {
            self.acceptor
                .trading_status(&trading_status(instrument), out);
        } else {
            let all = ctx.reference.instruments();
            for instrument in all.filter(|instrument| instrument.change > self.phases_told) {
                self.acceptor
                    .trading_status(&trading_status(instrument), out);
            }
        }
        self.phases_told = changes;
    }

    /// The output drained: a replay may go on.
    pub fn drained(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> Next {
        self.catch_up(ctx, connection)
    }

    /// Events of the past that this connection asked for.
    pub fn history(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        reply: &HistoryReply,
    ) -> Next {
        self.asked = false;
        if reply.from != self.next_send || matches!(self.stage, Stage::Ended) {
            return Next::Continue;
        }
        if reply.events.is_empty() {
            return self.logout(ctx, connection, Reason::SequenceNotAvailable);
        }
        for (header, body, _) in crate::journal::event_log::events(&reply.events) {
            if header.session_seq.0 == self.next_send {
                self.write(ctx, connection, header, &body);
            }
        }
        self.catch_up(ctx, connection)
    }

    /// A durable event for this session.
    #[inline]
    pub fn event(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        body: &EventBody<'_>,
    ) -> Next {
        let number = header.session_seq.0;
        if number == 0 {
            if let EventBody::SessionClosed(_) = body
                && self
                    .bound
                    .is_some_and(|bound| bound.generation == header.generation)
            {
                let reason = Reason::try_from(header.reason).unwrap_or(Reason::GoingAway);
                self.bound = None;
                return self.logout(ctx, connection, reason);
            }
            return Next::Continue;
        }
        self.newest = self.newest.max(number);
        if number == self.next_send && !self.asked && matches!(self.stage, Stage::Live) {
            self.write(ctx, connection, header, body);
            return Next::Continue;
        }
        self.catch_up(ctx, connection)
    }

    /// An instrument was defined.
    pub fn instrument(&mut self, connection: &mut Connection, instrument: &Instrument) {
        if self.acceptor.is_active() {
            self.acceptor
                .instrument(&definition(instrument), &mut connection.output);
        }
    }

    #[inline]
    fn write(
        &mut self,
        ctx: &Context<'_>,
        connection: &mut Connection,
        header: &EventHeader,
        body: &EventBody<'_>,
    ) {
        encode(ctx.reference, header, body, &mut connection.output);
        self.next_send = header.session_seq.0 + 1;
        self.acceptor.note_numbered(ctx.now_ns, self.next_send);
    }

    /// Ends the session from this side.
    pub fn logout(
        &mut self,
        ctx: &mut Context<'_>,
        connection: &mut Connection,
        reason: Reason,
    ) -> Next {
        let retry_after_ms = if reason == Reason::GoingAway {
            RETRY_AFTER_MS
        } else {
            0
        };
        self.acceptor
            .logout(ctx.now_ns, reason, retry_after_ms, &mut connection.output);
        self.end(ctx, reason);
        Next::Close(reason)
    }

    /// The connection is over: the core learns of it, once.
    pub fn end(&mut self, ctx: &mut Context<'_>, reason: Reason) {
        if let Some(bound) = self.bound.take() {
            ctx.disconnected(bound, reason);
        }
        self.stage = Stage::Ended;
    }

    pub fn next_deadline_ns(&self) -> Option<u64> {
        self.acceptor.next_deadline_ns()
    }

    pub fn timeout(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> Next {
        match self
            .acceptor
            .handle_timeout(ctx.now_ns, &mut connection.output)
        {
            Some(reason) => {
                self.end(ctx, reason);
                Next::Close(reason)
            }
            None => Next::Continue,
        }
    }

    #[inline]
    fn new_order(
        &mut self,
        ctx: &mut Context<'_>,
        seq: u64,
        order: &NewOrder,
        unsupported: Option<(Reason, u16)>,
    ) {
        let Some(bound) = self.bound else { return };
        match entry(ctx.reference, order, unsupported) {
            Ok((order, None)) => ctx.send(bound, seq, order),
            Ok((order, Some(terms))) => ctx.send(bound, seq, EnterOrderWithTerms { order, terms }),
            Err((reason, tag)) => ctx.send(
                bound,
                seq,
                RefuseOrder {
                    client_order_id: ClientOrderId::from_u64(order.cl_ord_id),
                    price_e8: order.price,
                    quantity_e8: order.qty,
                    instrument: InstrumentId(order.instrument_id),
                    reason: reason.code(),
                    ref_tag: tag,
                    side: order.side,
                    order_type: order.ord_type,
                    time_in_force: order.tif,
                    ..RefuseOrder::default()
                },
            ),
        }
    }

    fn replace_order(&mut self, ctx: &mut Context<'_>, seq: u64, replace: &WireReplace) {
        let Some(bound) = self.bound else { return };
        let client_order_id = ClientOrderId::from_u64(replace.cl_ord_id);
        let original = ClientOrderId::from_u64(replace.orig_cl_ord_id);
        let order_id = OrderId(replace.order_id);
        match replace_terms(ctx.reference, replace) {
            Ok((price, quantity, terms)) => {
                let replace = ReplaceOrder {
                    client_order_id,
                    original,
                    order_id,
                    price,
                    quantity,
                    instrument: InstrumentId(replace.instrument_id),
                    time_in_force: NOT_STATED,
                    ..ReplaceOrder::default()
                };
                match terms {
                    None => ctx.send(bound, seq, replace),
                    Some(terms) => ctx.send(bound, seq, ReplaceOrderWithTerms { replace, terms }),
                }
            }
            Err((reason, ref_tag)) => {
                let body = RefuseRequest {
                    client_order_id,
                    original,
                    order_id,
                    request: CommandKind::ReplaceOrder as u8,
                    reason: reason.code(),
                    ref_tag,
                    ..RefuseRequest::default()
                };
                ctx.send(bound, seq, body);
            }
        }
    }

    fn mass_cancel(&mut self, ctx: &mut Context<'_>, seq: u64, request: &WireMassCancel) {
        let Some(bound) = self.bound else { return };
        let body = MassCancel {
            client_order_id: ClientOrderId::from_u64(request.cl_ord_id),
            instrument: InstrumentId(request.instrument_id),
            account: AccountId(request.account_id),
            scope: request.scope,
            side: request.side,
            by_account: u8::from(request.flags & MASS_CANCEL_BY_ACCOUNT != 0),
            kinds: match request.flags & (MASS_CANCEL_QUOTES | MASS_CANCEL_ORDERS) {
                MASS_CANCEL_QUOTES => 1,
                MASS_CANCEL_ORDERS => 2,
                _ => 0,
            },
            product: request.product_id,
            protection_group: request.mmp_group,
            ..MassCancel::default()
        };
        ctx.send(bound, seq, body);
    }

    fn mass_quote(
        &mut self,
        ctx: &mut Context<'_>,
        seq: u64,
        quote: &WireMassQuote,
        entries: impl Iterator<Item = WireQuoteEntry>,
    ) {
        let Some(bound) = self.bound else { return };
        ctx.quotes.clear();
        for entry in entries {
            let instrument = InstrumentId(entry.instrument_id);
            let entry = quotes::entry(ctx.reference, instrument, &wire_entry(&entry));
            ctx.quotes.push(entry);
        }
        ctx.send_quotes(bound, seq, &quote_head(quote));
    }

    #[inline]
    fn cancel_order(&mut self, ctx: &mut Context<'_>, seq: u64, cancel: &WireCancel) {
        let Some(bound) = self.bound else { return };
        let body = CancelOrder {
            client_order_id: ClientOrderId::from_u64(cancel.cl_ord_id),
            original: ClientOrderId::from_u64(cancel.orig_cl_ord_id),
            order_id: OrderId(cancel.order_id),
            instrument: InstrumentId(cancel.instrument_id),
            ..CancelOrder::default()
        };
        ctx.send(bound, seq, body);
    }
}

/// Replay goes on only while less than this is waiting to be written.
const REPLAY_ROOM: usize = 128 << 10;

/// Instructions that the core knows to be none of a quote's.
const UNSUPPORTED_INSTRUCTION: u8 = 0x80;
const _: () = assert!(Instructions::ALL.0 & UNSUPPORTED_INSTRUCTION == 0);

fn quote_head(quote: &WireMassQuote) -> MassQuoteHead {
    let flag = |flag: u16, instruction: u8| match quote.flags & flag {
        0 => 0,
        _ => instruction,
    };
    MassQuoteHead {
        quote_id: ClientOrderId::from_u64(quote.quote_id),
        account: AccountId(quote.account_id),
        protection_group: quote.mmp_group,
        instructions: flag(MASS_QUOTE_POST_ONLY, Instructions::POST_ONLY.0)
            | flag(MASS_QUOTE_ALL_OR_NONE, UNSUPPORTED_INSTRUCTION),
        response: match quote.flags & MASS_QUOTE_FULL_ACK {
            0 => response::ERRORS,
            _ => response::ALL,
        },
        self_trade_prevention: quote.stp_mode,
        ..MassQuoteHead::default()
    }
}

/// An entry has no id of its own here: it is named by its layer, counted from 1, so that fills and
/// ends can say it.
fn wire_entry(entry: &WireQuoteEntry) -> WireEntry {
    let side = |price: i64, quantity: i64, not_stated: u16| {
        (entry.entry_flags & not_stated == 0).then_some(WireSide {
            price: (price != NULL_PRICE).then_some(Decimal8(price)),
            quantity: Some(Decimal8(quantity)),
        })
    };
    WireEntry {
        entry_id: ClientOrderId::from_u64(u64::from(entry.layer) + 1),
        layer: entry.layer,
        bid: side(entry.bid_price, entry.bid_qty, QUOTE_NO_BID),
        ask: side(entry.ask_price, entry.ask_qty, QUOTE_NO_ASK),
        // Reports have sixteen bits for the layer + 1.
        fault: (entry.layer == u16::MAX).then_some((Reason::InvalidField, QUOTE_LAYER_FIELD)),
    }
}

fn question(request: &WireStatusRequest) -> OrderStatusRequest {
    OrderStatusRequest {
        client_order_id: ClientOrderId::from_u64(request.cl_ord_id),
        original: ClientOrderId::from_u64(request.orig_cl_ord_id),
        order_id: OrderId(request.order_id),
        instrument: InstrumentId(request.instrument_id),
        side: request.side,
        all: u8::from(request.order_id == 0 && request.orig_cl_ord_id == 0),
        ..OrderStatusRequest::default()
    }
}

fn quote_cancel(request: &WireQuoteCancel) -> QuoteCancel {
    QuoteCancel {
        quote_id: ClientOrderId::from_u64(request.quote_id),
        instrument: InstrumentId(request.instrument_id),
        protection_group: request.mmp_group,
        layer: request.layer,
        scope: request.scope,
        ..QuoteCancel::default()
    }
}

fn protection(request: &ProtectionConfig) -> ConfigureProtection {
    ConfigureProtection {
        client_order_id: ClientOrderId::from_u64(request.cl_ord_id),
        quantity: Quantity(request.qty_limit),
        net: Quantity(request.net_limit),
        fills: request.fill_limit,
        window_ms: request.window_ms,
        frozen_ms: request.freeze_ms,
        protection_group: request.mmp_group,
        ..ConfigureProtection::default()
    }
}

fn kill_switch(request: &WireKillSwitch) -> KillSwitch {
    KillSwitch {
        client_order_id: ClientOrderId::from_u64(request.cl_ord_id),
        target: request.target,
        scope: request.scope,
        release: request.release,
        ..KillSwitch::default()
    }
}

/// A wire order in the core's units.
#[inline]
fn entry(
    reference: &ReferenceData,
    order: &NewOrder,
    unsupported: Option<(Reason, u16)>,
) -> Result<(EnterOrder, Option<OrderTerms>), (Reason, u16)> {
    if let Some(refusal) = unsupported {
        return Err(refusal);
    }
    let id = InstrumentId(order.instrument_id);
    let instrument = reference
        .instrument(id)
        .ok_or((Reason::UnknownInstrument, 0))?;
    let price = match order.price {
        NULL_PRICE => NO_PRICE,
        price => instrument
            .price_units(Decimal8(price))
            .map_err(|reason| (reason, 0))?,
    };
    let quantity = instrument
        .lots(Decimal8(order.qty))
        .map_err(|reason| (reason, 0))?;
    let terms = terms(
        instrument,
        &WireTerms {
            stop_price: order.stop_price,
            display_qty: order.display_qty,
            min_qty: order.min_qty,
            expire_time: order.expire_time,
        },
    )?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "instructions beyond the known bits were refused"
    )]
    let instructions = order.exec_inst as u8;
    let entry = EnterOrder {
        client_order_id: ClientOrderId::from_u64(order.cl_ord_id),
        price,
        quantity,
        instrument: id,
        account: AccountId(order.account_id),
        side: order.side,
        order_type: order.ord_type,
        time_in_force: order.tif,
        instructions,
        self_trade_prevention: order.stp_mode,
        protection_group: order.mmp_group,
        ..EnterOrder::default()
    };
    Ok((entry, terms))
}

/// What only some orders have, as it came.
struct WireTerms {
    stop_price: i64,
    display_qty: i64,
    min_qty: i64,
    expire_time: u64,
}

/// Terms in the core's units; `None` = there are none.
#[inline]
fn terms(instrument: &Instrument, terms: &WireTerms) -> Result<Option<OrderTerms>, (Reason, u16)> {
    let has_stop = terms.stop_price != NULL_PRICE && terms.stop_price != 0;
    if !has_stop && terms.display_qty == 0 && terms.min_qty == 0 && terms.expire_time == 0 {
        return Ok(None);
    }
    let lots = |quantity: i64, reason: Reason| match quantity {
        0 => Ok(Quantity(0)),
        quantity => instrument.lots(Decimal8(quantity)).map_err(|_| (reason, 0)),
    };
    Ok(Some(OrderTerms {
        stop_price: if has_stop {
            instrument
                .price_units(Decimal8(terms.stop_price))
                .map_err(|_| (Reason::StopPriceInvalid, 0))?
        } else {
            NO_PRICE
        },
        display: lots(terms.display_qty, Reason::DisplayQuantityInvalid)?,
        minimum: lots(terms.min_qty, Reason::MinimumQuantityInvalid)?,
        expire_at: UtcNanos(terms.expire_time),
    }))
}

type Replacement = (Price, Quantity, Option<OrderTerms>);

fn replace_terms(
    reference: &ReferenceData,
    replace: &WireReplace,
) -> Result<Replacement, (Reason, u16)> {
    let plain = |reason: Reason| (reason, 0);
    let id = InstrumentId(replace.instrument_id);
    let instrument = reference
        .instrument(id)
        .ok_or_else(|| plain(Reason::UnknownInstrument))?;
    let price = match replace.price {
        NULL_PRICE => NO_PRICE,
        price => instrument.price_units(Decimal8(price)).map_err(plain)?,
    };
    let quantity = instrument.lots(Decimal8(replace.qty)).map_err(plain)?;
    let terms = terms(
        instrument,
        &WireTerms {
            stop_price: replace.stop_price,
            display_qty: replace.display_qty,
            min_qty: 0,
            expire_time: replace.expire_time,
        },
    )?;
    Ok((price, quantity, terms))
}

fn definition(instrument: &Instrument) -> InstrumentDefinition {
    let d = &instrument.definition;
    let units = |count: u64| {
        i64::try_from(count)
            .unwrap_or(i64::MAX)
            .saturating_mul(d.price_unit_e8)
    };
    InstrumentDefinition {
        symbol: d.symbol,
        tick: units(d.tick),
        lot: instrument.quantity(d.quantity_increment).0,
        min_qty: instrument.quantity(d.quantity_min).0,
        max_qty: instrument.quantity(d.quantity_max).0,
        price_min: instrument.price(d.price_min).0,
        price_max: instrument.price(d.price_max).0,
        protection: units(d.protection_ticks.saturating_mul(d.tick)),
        instrument_id: d.instrument.0,
        price_decimals: d.price_decimals,
        status: 1,
        product_id: d.product,
        ..InstrumentDefinition::default()
    }
}

fn trading_status(instrument: &Instrument) -> TradingStatus {
    TradingStatus {
        transact_time: instrument.phase_since.0,
        instrument_id: instrument.definition.instrument.0,
        phase: instrument.phase.as_u8(),
        ..TradingStatus::default()
    }
}

/// An order's limit; a stop that waits to be a market order has none.
#[inline]
fn limit(instrument: &Instrument, order: &OrderState) -> i64 {
    if order.order_type == OrderType::Stop.as_u8() && order.price.0 == 0 {
        return NULL_PRICE;
    }
    instrument.price(order.price).0
}

/// Binary clients' ids are numbers; a FIX id never reaches a binary session.
fn id(id: &ClientOrderId) -> u64 {
    id.as_u64().unwrap_or(0)
}

/// The instrument of an event; one that the core knows and this gateway does not yet cannot be,
/// because definitions come through the same ring.
fn priced<'a>(reference: &'a ReferenceData, order: &OrderState) -> Option<&'a Instrument> {
    reference.instrument(order.instrument)
}

/// Encodes a numbered event: a pure function, so a replay gives the same bytes.
#[inline]
pub(super) fn encode(
    reference: &ReferenceData,
    header: &EventHeader,
    body: &EventBody<'_>,
    out: &mut Vec<u8>,
) {
    let seq = header.session_seq.0;
    let client_seq = header.inbound_seq;
    let transact_time = header.sequenced_at.0;
    let recv_time = header.received_at.0;
    let field = |default: u16| match header.ref_tag {
        0 => default,
        tag => u16::try_from(tag).unwrap_or(0),
    };
    let reason = Reason::try_from(header.reason).unwrap_or(Reason::None);
    match *body {
        EventBody::OrderAccepted(OrderAccepted { order })
        | EventBody::OrderAcceptedWithTerms(OrderAcceptedWithTerms { order, .. }) => {
            let Some(instrument) = priced(reference, order) else {
                return;
            };
            let message = WireAccepted {
                client_seq,
                transact_time,
                recv_time,
                cl_ord_id: id(&order.client_order_id),
                order_id: order.order_id.0,
                price: limit(instrument, order),
                leaves_qty: instrument.quantity(order.leaves).0,
                instrument_id: order.instrument.0,
                account_id: order.account.0,
                side: order.side,
                status: order.status,
                ..WireAccepted::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::Fill(event) => fill(reference, header, event, 0, out),
        EventBody::QuoteFill(event) => {
            fill(reference, header, &event.fill, layer(&event.entry_id), out);
        }
        EventBody::OrderCanceled(event) => {
            let order = &event.order;
            let Some(instrument) = priced(reference, order) else {
                return;
            };
            let cl_ord_id = if event.request.is_none() {
                &order.client_order_id
            } else {
                &event.request
            };
            let message = WireCanceled {
                client_seq,
                transact_time,
                cl_ord_id: id(cl_ord_id),
                orig_cl_ord_id: id(&order.client_order_id),
                order_id: order.order_id.0,
                cum_qty: instrument.quantity(order.cumulative).0,
                instrument_id: order.instrument.0,
                reason: header.reason,
                status: order.status,
                ..WireCanceled::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::OrderReplaced(event)
        | EventBody::OrderReplacedWithTerms(OrderReplacedWithTerms {
            replaced: event, ..
        }) => {
            let order = &event.order;
            let Some(instrument) = priced(reference, order) else {
                return;
            };
            let message = WireReplaced {
                client_seq,
                transact_time,
                recv_time,
                cl_ord_id: id(&order.client_order_id),
                orig_cl_ord_id: id(&event.original),
                order_id: order.order_id.0,
                price: limit(instrument, order),
                leaves_qty: instrument.quantity(order.leaves).0,
                cum_qty: instrument.quantity(order.cumulative).0,
                instrument_id: order.instrument.0,
                status: order.status,
                priority_kept: event.priority_kept,
                ..WireReplaced::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::OrderTriggered(OrderTriggered { order })
        | EventBody::OrderRestated(OrderRestated { order, .. }) => {
            restated(reference, header, order, 0, out);
        }
        EventBody::QuoteRestated(event) => {
            let order = &event.restated.order;
            restated(reference, header, order, layer(&event.entry_id), out);
        }
        EventBody::MassCancelDone(event) => {
            let message = WireMassCancelDone {
                client_seq,
                transact_time,
                cl_ord_id: id(&event.client_order_id),
                canceled_count: event.canceled,
                reason: header.reason,
                ref_field_id: field(reason.field_tag()),
                instrument_id: event.instrument.0,
                product_id: event.product,
                account_id: event.account.0,
                mmp_group: event.protection_group,
                scope: event.scope,
                side: event.side,
                flags: mass_cancel_flags(event),
                ..WireMassCancelDone::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::KillSwitchDone(event) => {
            let message = WireKillSwitchDone {
                client_seq,
                transact_time,
                cl_ord_id: id(&event.client_order_id),
                canceled_count: count(event.canceled),
                target: event.target,
                scope: event.scope,
                release: event.release,
                reason: header.reason,
                ref_field_id: field(reason.field_tag()),
                ..WireKillSwitchDone::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::QuoteCancelDone(event) => {
            let message = WireQuoteCancelDone {
                client_seq,
                transact_time,
                quote_id: id(&event.quote_id),
                canceled_count: count(event.canceled),
                instrument_id: event.instrument.0,
                mmp_group: event.protection_group,
                layer: event.layer,
                reason: header.reason,
                ref_field_id: field(reason.field_tag()),
                scope: event.scope,
                ..WireQuoteCancelDone::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::QuoteCanceled(event) => {
            let order = &event.canceled.order;
            let Some(instrument) = priced(reference, order) else {
                return;
            };
            let message = WireQuoteCanceled {
                client_seq,
                transact_time,
                quote_id: id(&order.client_order_id),
                order_id: order.order_id.0,
                cum_qty: instrument.quantity(order.cumulative).0,
                canceled_qty: instrument.quantity(event.canceled.canceled).0,
                instrument_id: order.instrument.0,
                reason: header.reason,
                mmp_group: order.protection_group,
                quote_layer: layer(&event.entry_id),
                side: order.side,
                status: order.status,
                ..WireQuoteCanceled::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::ProtectionTripped(event) => {
            let message = WireTripped {
                client_seq,
                transact_time,
                frozen_until: event.frozen_until.0,
                window_qty: event.window_quantity.0,
                window_net: event.window_net,
                order_id: event.order_id.0,
                window_fills: event.window_fills,
                mmp_group: event.protection_group,
                limit: event.limit,
                ..WireTripped::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::ProtectionSet(event) => {
            let message = ProtectionStatus {
                client_seq,
                transact_time,
                cl_ord_id: id(&event.client_order_id),
                qty_limit: event.quantity.0,
                net_limit: event.net.0,
                frozen_until: event.frozen_until.0,
                window_qty: event.window_quantity.0,
                fill_limit: event.fills,
                window_ms: event.window_ms,
                freeze_ms: event.frozen_ms,
                window_fills: event.window_fills,
                mmp_group: event.protection_group,
                reason: header.reason,
                ref_field_id: field(reason.field_tag()),
                ..ProtectionStatus::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::MassQuoteAnswered(event) => mass_quote_ack(header, event, out),
        EventBody::OrderStatusReport(event) => order_status(reference, header, event, 0, out),
        EventBody::QuoteStatusAnswered(event) => {
            let quote_layer = layer(&event.entry_id);
            order_status(reference, header, &event.report, quote_layer, out);
        }
        EventBody::TradeAmended(event) => amended(reference, header, event, out),
        EventBody::CancelAfterSet(event) => {
            let message = WireCancelAfterSet {
                client_seq,
                transact_time,
                cancel_at: event.cancel_at.0,
            };
            write_message(out, &message, seq);
        }
        EventBody::OrderRejected(event) => {
            let message = WireRejected {
                client_seq,
                transact_time,
                cl_ord_id: id(&event.client_order_id),
                instrument_id: event.instrument.0,
                reason: header.reason,
                ref_field_id: field(reason.field_tag()),
            };
            write_message(out, &message, seq);
        }
        EventBody::RequestRejected(event) => {
            let ref_template_id = match event.request {
                request if request == CommandKind::ReplaceOrder as u8 => WireReplace::TEMPLATE,
                request if request == CommandKind::OrderStatusRequest as u8 => {
                    WireStatusRequest::TEMPLATE
                }
                _ => WireCancel::TEMPLATE,
            };
            let message = CancelRejected {
                client_seq,
                transact_time,
                cl_ord_id: id(&event.client_order_id),
                order_id: event.order_id.0,
                orig_cl_ord_id: id(&event.original),
                reason: header.reason,
                ref_template_id,
                ref_field_id: field(reason.field_tag()),
                status: if is_replaced_away(reason, event) {
                    STATUS_REPLACED
                } else {
                    event.status
                },
                ..CancelRejected::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::InstrumentDefined(_)
        | EventBody::FirmDefined(_)
        | EventBody::SessionDefined(_)
        | EventBody::DefinitionRefused(_)
        | EventBody::LogonAnswered(_)
        | EventBody::SessionClosed(_)
        | EventBody::AdminMessage(_)
        | EventBody::BusinessRejected(_)
        | EventBody::CommandRefused(_)
        | EventBody::DayRolled(_)
        | EventBody::TickTableDefined(_)
        | EventBody::ReferenceSet(_)
        | EventBody::CapacitiesSet(_)
        | EventBody::AuditNoted(_)
        | EventBody::LimitsSet(_)
        | EventBody::AccountSet(_)
        | EventBody::PhaseChanged(_)
        | EventBody::AuctionIndicative(_)
        | EventBody::AuctionUncrossed(_) => {}
    }
}

/// A number of orders, as far as the wire goes.
fn count(orders: u64) -> u32 {
    u32::try_from(orders).unwrap_or(u32::MAX)
}

/// The flags that a mass cancel was asked for with.
fn mass_cancel_flags(event: &MassCancelDone) -> u8 {
    let kinds = match event.kinds {
        1 => MASS_CANCEL_QUOTES,
        2 => MASS_CANCEL_ORDERS,
        _ => 0,
    };
    match event.by_account {
        0 => kinds,
        _ => kinds | MASS_CANCEL_BY_ACCOUNT,
    }
}

/// A quote's layer, counted from 1, which is what names its entry here; 0 = it has none.
fn layer(entry_id: &ClientOrderId) -> u16 {
    u16::try_from(id(entry_id)).unwrap_or(0)
}

/// What is left of an order, or of a quote of this layer.
fn restated(
    reference: &ReferenceData,
    header: &EventHeader,
    order: &OrderState,
    quote_layer: u16,
    out: &mut Vec<u8>,
) {
    let Some(instrument) = priced(reference, order) else {
        return;
    };
    let message = WireRestated {
        client_seq: header.inbound_seq,
        transact_time: header.sequenced_at.0,
        cl_ord_id: id(&order.client_order_id),
        order_id: order.order_id.0,
        price: limit(instrument, order),
        leaves_qty: instrument.quantity(order.leaves).0,
        cum_qty: instrument.quantity(order.cumulative).0,
        instrument_id: order.instrument.0,
        reason: header.reason,
        status: order.status,
        side: order.side,
        quote_layer,
        ..WireRestated::default()
    };
    write_message(out, &message, header.session_seq.0);
}

/// A fill of an order, or of a quote of this layer.
#[inline]
fn fill(
    reference: &ReferenceData,
    header: &EventHeader,
    event: &Fill,
    quote_layer: u16,
    out: &mut Vec<u8>,
) {
    let order = &event.order;
    let Some(instrument) = priced(reference, order) else {
        return;
    };
    let message = WireFill {
        client_seq: header.inbound_seq,
        transact_time: header.sequenced_at.0,
        cl_ord_id: id(&order.client_order_id),
        order_id: order.order_id.0,
        exec_id: order.exec_id.0,
        trade_id: event.trade_id.0,
        last_price: instrument.price(event.last_price).0,
        last_qty: instrument.quantity(event.last_quantity).0,
        leaves_qty: instrument.quantity(order.leaves).0,
        cum_qty: instrument.quantity(order.cumulative).0,
        instrument_id: order.instrument.0,
        account_id: order.account.0,
        mmp_group: order.protection_group,
        side: order.side,
        liquidity: event.liquidity,
        status: order.status,
        quote_layer,
        ..WireFill::default()
    };
    write_message(out, &message, header.session_seq.0);
}

fn mass_quote_ack(header: &EventHeader, event: &MassQuoteAnswered, out: &mut Vec<u8>) {
    let head = &event.head;
    let reason = Reason::try_from(header.reason).unwrap_or(Reason::None);
    let ref_field_id = match reason {
        // Nothing else here can ask for what is not there.
        Reason::UnsupportedInstruction => 30034,
        Reason::UnsupportedSelfTradePrevention => 2362,
        Reason::InvalidClientOrderId => 117,
        reason => match header.ref_tag {
            0 => reason.field_tag(),
            tag => u16::try_from(tag).unwrap_or(0),
        },
    };
    let ack = MassQuoteAck {
        client_seq: header.inbound_seq,
        transact_time: header.sequenced_at.0,
        recv_time: header.received_at.0,
        quote_id: id(&head.quote_id),
        accepted_sides: head.accepted,
        rejected_sides: head.refused,
        mmp_group: head.protection_group,
        reason: header.reason,
        ref_field_id,
        ..MassQuoteAck::default()
    };
    let refused = QuoteStatus::Refused.as_u8();
    let told = |result: &WireQuoteResult| {
        let stated = result.status != QuoteStatus::NotStated.as_u8();
        stated && (head.response == response::ALL || result.status == refused)
    };
    let results = (0..)
        .zip(&event.results)
        .flat_map(|(index, result)| both_sides(index, result))
        .filter(told);
    write_group_message(out, &ack, results, header.session_seq.0);
}

/// What became of an entry, a side each.
fn both_sides(entry_index: u16, result: &QuoteResult) -> [WireQuoteResult; 2] {
    let side = |side: Side, order: OrderId, status: u8, reason: u16| WireQuoteResult {
        order_id: order.0,
        entry_index,
        side: side.as_u8(),
        status,
        reason,
        ref_field_id: match Reason::try_from(reason) {
            Ok(reason) if reason != Reason::None => {
                quotes::field_at_fault(reason, result.ref_tag, side == Side::Buy)
            }
            _ => 0,
        },
    };
    let (bid, ask) = (result.bid_order, result.ask_order);
    [
        side(Side::Buy, bid, result.bid_status, result.bid_reason),
        side(Side::Sell, ask, result.ask_status, result.ask_reason),
    ]
}

fn order_status(
    reference: &ReferenceData,
    header: &EventHeader,
    event: &OrderStatusReport,
    quote_layer: u16,
    out: &mut Vec<u8>,
) {
    let order = &event.order;
    let answer = WireStatus {
        client_seq: header.inbound_seq,
        transact_time: header.sequenced_at.0,
        request_id: id(&event.request),
        price: NULL_PRICE,
        stop_price: NULL_PRICE,
        total: event.total,
        is_last: event.is_last,
        reason: header.reason,
        ..WireStatus::default()
    };
    if order.order_id.0 == 0 {
        write_message(out, &answer, header.session_seq.0);
        return;
    }
    let Some(instrument) = priced(reference, order) else {
        return;
    };
    let quantity = |lots: Quantity| instrument.quantity(lots).0;
    let message = WireStatus {
        cl_ord_id: id(&order.client_order_id),
        order_id: order.order_id.0,
        price: limit(instrument, order),
        qty: quantity(order.quantity),
        leaves_qty: quantity(order.leaves),
        cum_qty: quantity(order.cumulative),
        stop_price: match event.terms.stop_price {
            NO_PRICE => NULL_PRICE,
            price => instrument.price(price).0,
        },
        display_qty: quantity(event.terms.display),
        shown_qty: quantity(event.shown),
        expire_time: event.terms.expire_at.0,
        instrument_id: order.instrument.0,
        account_id: order.account.0,
        mmp_group: order.protection_group,
        exec_inst: u16::from(order.instructions),
        side: order.side,
        ord_type: order.order_type,
        tif: order.time_in_force,
        status: order.status,
        stp_mode: order.self_trade_prevention,
        is_quote: event.is_quote,
        waits: event.waits,
        quote_layer,
        ..answer
    };
    write_message(out, &message, header.session_seq.0);
}

fn amended(
    reference: &ReferenceData,
    header: &EventHeader,
    event: &TradeAmended,
    out: &mut Vec<u8>,
) {
    let order = &event.order;
    let Some(instrument) = priced(reference, order) else {
        return;
    };
    let message = WireAmended {
        transact_time: header.sequenced_at.0,
        cl_ord_id: id(&order.client_order_id),
        order_id: order.order_id.0,
        exec_id: order.exec_id.0,
        ref_exec_id: event.reference.0,
        trade_id: event.trade_id.0,
        last_price: instrument.price(event.price).0,
        last_qty: instrument.quantity(event.quantity).0,
        new_price: match event.new_price {
            NO_PRICE => NULL_PRICE,
            price => instrument.price(price).0,
        },
        qty: instrument.quantity(order.quantity).0,
        leaves_qty: instrument.quantity(order.leaves).0,
        cum_qty: instrument.quantity(order.cumulative).0,
        instrument_id: order.instrument.0,
        account_id: order.account.0,
        mmp_group: order.protection_group,
        side: order.side,
        liquidity: event.liquidity,
        status: order.status,
        is_quote: event.is_quote,
        ..WireAmended::default()
    };
    write_message(out, &message, header.session_seq.0);
}

// Both enums share FIX's digits, so a status byte goes to the wire as it is.
const _: () = assert!(ExecutionKind::New as u8 == 0 && OrderType::Limit as u8 == 2);
