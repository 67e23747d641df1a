//! A binary connection: the protocol's acceptor on one side, commands and events on the other.

use trading_engine_protocol::binary::message::{
    CancelAfterSet as WireCancelAfterSet, CancelOrder as WireCancel, CancelRejected,
    Fill as WireFill, InstrumentDefinition, LogonAccepted, LogonRejected,
    MassCancel as WireMassCancel, MassCancelDone as WireMassCancelDone, NewOrder,
    OrderAccepted as WireAccepted, OrderCanceled as WireCanceled, OrderRejected as WireRejected,
    OrderReplaced as WireReplaced, OrderRestated as WireRestated, ReplaceOrder as WireReplace,
};
use trading_engine_protocol::binary::{
    Acceptor, AcceptorSettings, Action, LogonRequest, MASS_CANCEL_BY_ACCOUNT, NULL_PRICE,
    write_message,
};
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, Decimal8, Epoch, ExecutionKind, InstrumentId, OrderId, OrderType,
    Price, Quantity, Reason, SessionId, SessionProtocol, UtcNanos,
};

use super::authenticator::Credentials;
use super::connection::Connection;
use super::context::{Bound, Context, Next};
use super::reference::{Instrument, ReferenceData};
use crate::engine::command::{
    CancelAfter, CancelOrder, CommandKind, EnterOrder, EnterOrderWithTerms, MassCancel, NO_PRICE,
    OrderTerms, RefuseOrder, RefuseRequest, ReplaceOrder, ReplaceOrderWithTerms, SessionLogon,
};
use crate::engine::event::{
    EventBody, EventHeader, LogonAnswered, OrderAccepted, OrderAcceptedWithTerms,
    OrderReplacedWithTerms, OrderRestated, OrderState, OrderTriggered,
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
}

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
        }
    }

    /// Handles the front of the input. Returns whether anything was consumed, and what next.
    #[inline]
    pub fn receive(&mut self, ctx: &mut Context<'_>, connection: &mut Connection) -> (bool, Next) {
        let (input, out) = connection.split();
        let received = self.acceptor.receive(ctx.now_ns, input, out);
        connection.consume(received.consumed);
        let next = match received.action {
            Action::NeedMore | Action::Handled => Next::Continue,
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
                if let Some(bound) = self.bound {
                    let body = CancelAfter {
                        after_ms,
                        reserved: 0,
                    };
                    ctx.send(bound, seq, body);
                }
                Next::Continue
            }
            Action::Logon(request) => self.logon(ctx, request, connection),
            Action::Close(reason) => {
                self.end(ctx, reason);
                Next::Close(reason)
            }
        };
        (received.consumed > 0, next)
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
        let accepted = LogonAccepted {
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
        Next::Continue
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
            ..MassCancel::default()
        };
        ctx.send(bound, seq, body);
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
    let lots = |quantity: i64, reason: Reason| {
        instrument.lots(Decimal8(quantity)).map_err(|_| (reason, 0))
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
        ..InstrumentDefinition::default()
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
        EventBody::Fill(event) => {
            let order = &event.order;
            let Some(instrument) = priced(reference, order) else {
                return;
            };
            let message = WireFill {
                client_seq,
                transact_time,
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
                side: order.side,
                liquidity: event.liquidity,
                status: order.status,
                ..WireFill::default()
            };
            write_message(out, &message, seq);
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
            let Some(instrument) = priced(reference, order) else {
                return;
            };
            let message = WireRestated {
                client_seq,
                transact_time,
                cl_ord_id: id(&order.client_order_id),
                order_id: order.order_id.0,
                price: limit(instrument, order),
                leaves_qty: instrument.quantity(order.leaves).0,
                cum_qty: instrument.quantity(order.cumulative).0,
                instrument_id: order.instrument.0,
                reason: header.reason,
                status: order.status,
                side: order.side,
                ..WireRestated::default()
            };
            write_message(out, &message, seq);
        }
        EventBody::MassCancelDone(event) => {
            let message = WireMassCancelDone {
                client_seq,
                transact_time,
                cl_ord_id: id(&event.client_order_id),
                canceled_count: u32::try_from(event.canceled).unwrap_or(u32::MAX),
                reason: header.reason,
                ..WireMassCancelDone::default()
            };
            write_message(out, &message, seq);
        }
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
            let ref_template_id = if event.request == CommandKind::ReplaceOrder as u8 {
                101
            } else {
                102
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
                status: event.status,
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
        | EventBody::LimitsSet(_)
        | EventBody::PhaseChanged(_)
        | EventBody::AuctionIndicative(_)
        | EventBody::AuctionUncrossed(_)
        | EventBody::KillSwitchDone(_)
        | EventBody::TradeAmended(_)
        | EventBody::MassQuoteAnswered(_)
        | EventBody::QuoteCanceled(_)
        | EventBody::QuoteFill(_)
        | EventBody::QuoteCancelDone(_)
        | EventBody::ProtectionSet(_)
        | EventBody::ProtectionTripped(_)
        | EventBody::OrderStatusReport(_) => {}
    }
}

// Both enums share FIX's digits, so a status byte goes to the wire as it is.
const _: () = assert!(ExecutionKind::New as u8 == 0 && OrderType::Limit as u8 == 2);
