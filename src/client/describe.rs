//! Messages of the venue as objects: enough to follow an order, a quote or a request by.

use serde_json::{Value, json};
use trading_engine_protocol::binary::NULL_PRICE;
use trading_engine_protocol::binary::message::{
    CancelAfterSet, CancelRejected, Fill, KillSwitchDone, MassCancelDone, MassQuoteAck, Message,
    OrderAccepted, OrderCanceled, OrderRejected, OrderReplaced, OrderRestated, OrderStatus,
    ProtectionStatus, ProtectionTripped, QuoteCancelDone, QuoteCanceled, QuoteResult, Reject,
    TradeAmended,
};
use trading_engine_protocol::types::{Decimal8, Reason};

use super::Received;

/// Number of our message that this one answers or comes from.
pub(super) fn client_seq(message: &Received) -> Option<u64> {
    match message.header.template_id {
        // A bust is nobody's request; all other reports begin with the number, a Reject, too.
        TradeAmended::TEMPLATE => None,
        Reject::TEMPLATE | 200..=299 => {
            let bytes = message.body.first_chunk::<8>()?;
            Some(u64::from_le_bytes(*bytes))
        }
        _ => None,
    }
}

/// Whether it says no.
pub(super) fn is_refusal(message: &Received) -> bool {
    let done = |reason: u16| reason != Reason::None.code();
    if let Some((ack, _)) = message.read_group::<MassQuoteAck>() {
        return done(ack.reason) || ack.rejected_sides > 0;
    }
    let reason = message
        .read::<MassCancelDone>()
        .map(|m| m.reason)
        .or_else(|| message.read::<KillSwitchDone>().map(|m| m.reason))
        .or_else(|| message.read::<QuoteCancelDone>().map(|m| m.reason))
        .or_else(|| message.read::<ProtectionStatus>().map(|m| m.reason));
    reason.is_some_and(done)
        || matches!(
            message.header.template_id,
            Reject::TEMPLATE | OrderRejected::TEMPLATE | CancelRejected::TEMPLATE
        )
}

fn decimal(value: i64) -> String {
    match value {
        NULL_PRICE => "none".into(),
        value => Decimal8(value).to_string(),
    }
}

fn reason(code: u16) -> &'static str {
    Reason::try_from(code).map_or("unknown", Reason::text)
}

/// A time of which the end of all times is until something else happens.
fn until(time: u64) -> Value {
    match time {
        u64::MAX => "reset".into(),
        time => time.into(),
    }
}

/// A message as an object.
pub(super) fn describe(message: &Received) -> Value {
    let found = orders(message)
        .or_else(|| quotes(message))
        .or_else(|| desk(message));
    let mut value = found
        .unwrap_or_else(|| json!({"event": "message", "template": message.header.template_id}));
    if message.header.seq != 0
        && let Value::Object(fields) = &mut value
    {
        fields.insert("seq".into(), message.header.seq.into());
    }
    value
}

fn orders(message: &Received) -> Option<Value> {
    let value = if let Some(m) = message.read::<OrderAccepted>() {
        json!({"event": "accepted", "clOrdId": m.cl_ord_id, "orderId": m.order_id,
               "price": decimal(m.price), "leaves": decimal(m.leaves_qty)})
    } else if let Some(m) = message.read::<Fill>() {
        let mut value = json!({"event": "fill", "clOrdId": m.cl_ord_id,
               "orderId": m.order_id, "execId": m.exec_id, "tradeId": m.trade_id,
               "price": decimal(m.last_price), "quantity": decimal(m.last_qty),
               "leaves": decimal(m.leaves_qty),
               "liquidity": match m.liquidity { 1 => "maker", 4 => "auction", _ => "taker" }});
        if m.quote_layer > 0 {
            value["layer"] = (m.quote_layer - 1).into();
        }
        value
    } else if let Some(m) = message.read::<OrderCanceled>() {
        json!({"event": "canceled", "clOrdId": m.orig_cl_ord_id, "orderId": m.order_id,
               "filled": decimal(m.cum_qty), "reason": reason(m.reason)})
    } else if let Some(m) = message.read::<OrderReplaced>() {
        json!({"event": "replaced", "clOrdId": m.cl_ord_id, "origClOrdId": m.orig_cl_ord_id,
               "orderId": m.order_id, "price": decimal(m.price),
               "leaves": decimal(m.leaves_qty), "priorityKept": m.priority_kept == 1})
    } else if let Some(m) = message.read::<OrderRestated>() {
        json!({"event": "restated", "clOrdId": m.cl_ord_id, "orderId": m.order_id,
               "price": decimal(m.price), "leaves": decimal(m.leaves_qty),
               "quote": m.quote_layer != 0, "reason": reason(m.reason)})
    } else if let Some(m) = message.read::<OrderRejected>() {
        json!({"event": "rejected", "clOrdId": m.cl_ord_id, "reason": reason(m.reason),
               "code": m.reason, "field": m.ref_field_id})
    } else if let Some(m) = message.read::<CancelRejected>() {
        json!({"event": "cancel-rejected", "clOrdId": m.cl_ord_id, "reason": reason(m.reason),
               "code": m.reason})
    } else if let Some(m) = message.read::<OrderStatus>() {
        status(&m)
    } else if let Some(m) = message.read::<TradeAmended>() {
        json!({"event": if m.new_price == NULL_PRICE { "busted" } else { "corrected" },
               "clOrdId": m.cl_ord_id, "orderId": m.order_id, "execId": m.exec_id,
               "refExecId": m.ref_exec_id, "tradeId": m.trade_id,
               "price": decimal(m.last_price), "newPrice": decimal(m.new_price),
               "quantity": decimal(m.last_qty), "filled": decimal(m.cum_qty),
               "quote": m.is_quote == 1})
    } else if let Some(m) = message.read::<Reject>() {
        json!({"event": "reject", "refSeq": m.ref_seq, "reason": reason(m.reason),
               "code": m.reason, "field": m.ref_field_id})
    } else {
        return None;
    };
    Some(value)
}

fn status(m: &OrderStatus) -> Value {
    if m.order_id == 0 {
        return json!({"event": "status", "requestId": m.request_id, "total": m.total,
               "reason": reason(m.reason), "code": m.reason});
    }
    let mut value = json!({"event": "status", "requestId": m.request_id, "total": m.total,
           "last": m.is_last == 1, "clOrdId": m.cl_ord_id, "orderId": m.order_id,
           "instrumentId": m.instrument_id, "side": if m.side == 1 { "buy" } else { "sell" },
           "price": decimal(m.price), "stopPrice": decimal(m.stop_price),
           "quantity": decimal(m.qty), "leaves": decimal(m.leaves_qty),
           "filled": decimal(m.cum_qty), "shown": decimal(m.shown_qty),
           "quote": m.is_quote == 1, "waits": m.waits != 0});
    if m.quote_layer > 0 {
        value["layer"] = (m.quote_layer - 1).into();
    }
    value
}

fn quotes(message: &Received) -> Option<Value> {
    let value = if let Some((m, results)) = message.read_group::<MassQuoteAck>() {
        json!({"event": "quoted", "quoteId": m.quote_id, "accepted": m.accepted_sides,
               "refused": m.rejected_sides, "reason": reason(m.reason), "code": m.reason,
               "field": m.ref_field_id, "sides": results.iter().map(side).collect::<Vec<_>>()})
    } else if let Some(m) = message.read::<QuoteCanceled>() {
        json!({"event": "quote-canceled", "quoteId": m.quote_id, "orderId": m.order_id,
               "layer": m.quote_layer.saturating_sub(1), "filled": decimal(m.cum_qty),
               "reason": reason(m.reason)})
    } else if let Some(m) = message.read::<QuoteCancelDone>() {
        json!({"event": "quotes-canceled", "quoteId": m.quote_id, "canceled": m.canceled_count,
               "reason": reason(m.reason), "code": m.reason, "field": m.ref_field_id})
    } else if let Some(m) = message.read::<ProtectionTripped>() {
        json!({"event": "protection-tripped", "group": m.mmp_group, "limit": m.limit,
               "orderId": m.order_id, "lots": m.window_qty, "net": m.window_net,
               "fills": m.window_fills, "frozenUntil": until(m.frozen_until)})
    } else if let Some(m) = message.read::<ProtectionStatus>() {
        json!({"event": "protection", "group": m.mmp_group, "windowMs": m.window_ms,
               "lots": m.qty_limit, "net": m.net_limit, "fills": m.fill_limit,
               "freezeMs": m.freeze_ms, "frozenUntil": until(m.frozen_until),
               "reason": reason(m.reason), "code": m.reason})
    } else {
        return None;
    };
    Some(value)
}

fn side(result: &QuoteResult) -> Value {
    let what = match result.status {
        1 => "entered",
        2 => "kept",
        3 => "removed",
        4 => "refused",
        _ => "absent",
    };
    json!({"entry": result.entry_index, "side": if result.side == 1 { "bid" } else { "ask" },
           "orderId": result.order_id, "status": what, "reason": reason(result.reason),
           "field": result.ref_field_id})
}

fn desk(message: &Received) -> Option<Value> {
    let value = if let Some(m) = message.read::<MassCancelDone>() {
        json!({"event": "mass-canceled", "clOrdId": m.cl_ord_id, "canceled": m.canceled_count,
               "instrumentId": m.instrument_id, "product": m.product_id, "group": m.mmp_group,
               "account": m.account_id, "scope": m.scope, "side": m.side, "flags": m.flags,
               "reason": reason(m.reason), "code": m.reason, "field": m.ref_field_id})
    } else if let Some(m) = message.read::<KillSwitchDone>() {
        json!({"event": if m.release == 1 { "released" } else { "killed" },
               "clOrdId": m.cl_ord_id, "scope": m.scope, "target": m.target,
               "canceled": m.canceled_count, "reason": reason(m.reason), "code": m.reason})
    } else if let Some(m) = message.read::<CancelAfterSet>() {
        json!({"event": "cancel-after", "cancelAt": m.cancel_at})
    } else {
        return None;
    };
    Some(value)
}
