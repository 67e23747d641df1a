//! What the engine said, one readable line an event; and the book as a picture.
//!
//! One function per event. [`line`] lists all of them, so a new event does not compile without one.
//! Sequence numbers, exec ids and trade ids are not in the lines: `checks` looks at them.

use std::collections::HashMap;

use trading_engine::engine::Engine;
use trading_engine::engine::command::{CommandKind, NO_PRICE, OrderTerms, name_text};
use trading_engine::engine::event::{
    AdminMessage, BusinessRejected, CancelAfterSet, CommandRefused, DefinitionRefused, EventBody,
    EventHeader, Fill, KillSwitchDone, LogonAnswered, MassCancelDone, OrderCanceled, OrderRejected,
    OrderReplaced, OrderRestated, OrderState, OrderStatusReport, OrderTriggered, RequestRejected,
    TradeAmended,
};
use trading_engine_protocol::types::{
    ClientOrderId, InstrumentId, Liquidity, OrderStatus, OrderType, Price, Reason, SessionId, Side,
};

use super::checks::Auditor;
use super::words::mirrored_reason;
use super::world::{World, clock_text};

/// Newest client id of each order that was accepted, by the venue's id.
pub type Names = HashMap<u64, (SessionId, ClientOrderId)>;

/// How lines are written: what orders are called, and whether it is all seen in the mirror.
pub struct View<'a> {
    pub world: &'a World,
    pub mirrored: bool,
    pub names: &'a Names,
}

/// An event as its line.
pub fn line(view: &View<'_>, header: &EventHeader, body: EventBody<'_>) -> String {
    match body {
        EventBody::OrderAccepted(event) => accepted(view, header, &event.order, &OrderTerms::NONE),
        EventBody::OrderAcceptedWithTerms(event) => {
            accepted(view, header, &event.order, &event.terms)
        }
        EventBody::Fill(event) => fill(view, header, event),
        EventBody::OrderCanceled(event) => canceled(view, header, event),
        EventBody::OrderReplaced(event) => replaced(view, header, event, &OrderTerms::NONE),
        EventBody::OrderReplacedWithTerms(event) => {
            replaced(view, header, &event.replaced, &event.terms)
        }
        EventBody::OrderTriggered(event) => triggered(view, header, event),
        EventBody::OrderRestated(event) => restated(view, header, event),
        EventBody::MassCancelDone(event) => mass_canceled(view, header, event),
        EventBody::CancelAfterSet(event) => cancel_after(view, header, event),
        EventBody::KillSwitchDone(event) => killed(view, header, event),
        EventBody::TradeAmended(event) => amended(view, header, event),
        EventBody::OrderStatusReport(event) => stated(view, header, event),
        EventBody::OrderRejected(event) => rejected(view, header, event),
        EventBody::RequestRejected(event) => request_rejected(view, header, event),
        EventBody::CommandRefused(event) => ignored(view, header, event),
        EventBody::LogonAnswered(event) => logon(view, header, event),
        EventBody::SessionClosed(_) => closed(view, header),
        EventBody::AdminMessage(event) => admin(view, header, event),
        EventBody::BusinessRejected(event) => business(view, header, event),
        EventBody::DayRolled(event) => format!("day rolled to {}", event.trading_day),
        EventBody::TickTableDefined(_)
        | EventBody::ReferenceSet(_)
        | EventBody::LimitsSet(_)
        | EventBody::PhaseChanged(_)
        | EventBody::AuctionIndicative(_)
        | EventBody::AuctionUncrossed(_)
        | EventBody::MassQuoteAnswered(_)
        | EventBody::QuoteCanceled(_)
        | EventBody::QuoteFill(_)
        | EventBody::QuoteCancelDone(_)
        | EventBody::ProtectionSet(_)
        | EventBody::ProtectionTripped(_) => "?".to_owned(),
        EventBody::InstrumentDefined(event) => {
            format!("instrument {} defined", name_text(&event.definition.symbol))
        }
        EventBody::FirmDefined(event) => {
            format!("firm {} defined", name_text(&event.definition.name))
        }
        EventBody::SessionDefined(event) => {
            let letter = World::session_letter(event.definition.session);
            format!("session {letter} defined")
        }
        EventBody::DefinitionRefused(event) => definition_refused(view, header, event),
    }
}

fn accepted(
    view: &View<'_>,
    header: &EventHeader,
    order: &OrderState,
    terms: &OrderTerms,
) -> String {
    let name = name(header.session, &order.client_order_id);
    let mut line = format!("{name} accepted, open {}", order.leaves.0);
    match OrderType::try_from(order.order_type) {
        Ok(OrderType::Market) => line += &protected(view, order),
        Ok(OrderType::MarketToLimit) => {
            line += &format!(" @ {}", view.price(order.instrument, order.price));
        }
        // The limit is as asked for; a stop has none yet.
        Ok(OrderType::Limit | OrderType::StopLimit | OrderType::Stop) | Err(_) => {}
    }
    line + &view.terms(order, terms)
}

fn protected(view: &View<'_>, order: &OrderState) -> String {
    format!(
        ", protected at {}",
        view.price(order.instrument, order.price)
    )
}

/// `a1 triggered, open 5 @ 106`, or `, protected at 110`; neither if there is nothing to trade with.
fn triggered(view: &View<'_>, header: &EventHeader, event: &OrderTriggered) -> String {
    let order = &event.order;
    let name = name(header.session, &order.client_order_id);
    let line = format!("{name} triggered, open {}", order.leaves.0);
    if order.order_type == OrderType::StopLimit.as_u8() {
        format!("{line} @ {}", view.price(order.instrument, order.price))
    } else if order.price == Price(0) {
        line
    } else {
        line + &protected(view, order)
    }
}

/// `a1 restated, open 6, reduced by 4, shows 2, SelfTradePrevented`.
fn restated(view: &View<'_>, header: &EventHeader, event: &OrderRestated) -> String {
    let order = &event.order;
    let name = name(header.session, &order.client_order_id);
    let mut line = format!("{name} restated, open {}", order.leaves.0);
    if event.reduced.0 != 0 {
        line += &format!(", reduced by {}", event.reduced.0);
    }
    if event.shown != order.leaves {
        line += &format!(", shows {}", event.shown.0);
    }
    line + &format!(", {}", view.reason(header))
}

fn mass_canceled(view: &View<'_>, header: &EventHeader, event: &MassCancelDone) -> String {
    let id = match event.client_order_id.is_none() {
        true => "-".to_owned(),
        false => name(header.session, &event.client_order_id),
    };
    if header.reason == 0 {
        return format!("{id} mass canceled {}", event.canceled);
    }
    format!("{id} cannot mass cancel, {}", view.reason(header))
}

/// `a9 killed 3`, `venue released`, `a9 cannot kill, NotPermitted`.
fn killed(view: &View<'_>, header: &EventHeader, event: &KillSwitchDone) -> String {
    let who = match header.session {
        SessionId(0) => "venue".to_owned(),
        session => match event.client_order_id.is_none() {
            true => "-".to_owned(),
            false => name(session, &event.client_order_id),
        },
    };
    match (header.reason, event.release) {
        (0, 1) => format!("{who} released"),
        (0, _) => format!("{who} killed {}", event.canceled),
        (_, 1) => format!("{who} cannot release, {}", view.reason(header)),
        _ => format!("{who} cannot kill, {}", view.reason(header)),
    }
}

/// `a1 busted 4 @ 100, filled 3, open 3` or `corrected 4 @ 100 to 99`; of an order that ended
/// `done filled`.
fn amended(view: &View<'_>, header: &EventHeader, event: &TradeAmended) -> String {
    let order = &event.order;
    let name = name(header.session, &order.client_order_id);
    let (lots, filled) = (event.quantity.0, order.cumulative.0);
    let price = view.price(order.instrument, event.price);
    let how = match event.new_price {
        NO_PRICE => format!("busted {lots} @ {price}"),
        new => {
            let new = view.price(order.instrument, new);
            format!("corrected {lots} @ {price} to {new}")
        }
    };
    let left = match order.leaves.0 {
        0 => format!("done {}", status(order.status)),
        open => format!("open {open}"),
    };
    format!("{name} {how}, filled {filled}, {left}")
}

/// `a1 is open 6 of 10 @ 100, shows 2, display 3`; of a waiting stop `waits`, of nothing `A has none`.
fn stated(view: &View<'_>, header: &EventHeader, event: &OrderStatusReport) -> String {
    let order = &event.order;
    if order.order_id.0 == 0 {
        return format!("{} has none", World::session_letter(header.session));
    }
    let name = name(header.session, &order.client_order_id);
    let mut line = format!("{name} is open {} of {}", order.leaves.0, order.quantity.0);
    if order.order_type != OrderType::Stop.as_u8() {
        line += &format!(" @ {}", view.price(order.instrument, order.price));
    }
    if event.waits != 0 {
        line += ", waits";
    } else if event.shown != order.leaves {
        line += &format!(", shows {}", event.shown.0);
    }
    line += &view.terms(order, &event.terms);
    if event.all == 1 && event.is_last == 1 {
        line += &format!(", last of {}", event.total);
    }
    line
}

fn cancel_after(_: &View<'_>, header: &EventHeader, event: &CancelAfterSet) -> String {
    let who = World::session_letter(header.session);
    match event.cancel_at.0 {
        0 => format!("{who} cancels after never"),
        at => format!("{who} cancels after {}", clock_text(at)),
    }
}

fn fill(view: &View<'_>, header: &EventHeader, event: &Fill) -> String {
    let order = &event.order;
    let name = name(header.session, &order.client_order_id);
    let lots = event.last_quantity.0;
    let price = view.price(order.instrument, event.last_price);
    let part = match Liquidity::try_from(event.liquidity) {
        Ok(Liquidity::Added) => "maker",
        Ok(Liquidity::Removed) => "taker",
        Ok(Liquidity::Auction) => "auction",
        Err(_) => "?",
    };
    let left = match order.leaves.0 {
        0 => format!("done {}", status(order.status)),
        open => format!("open {open}"),
    };
    format!("{name} fill {lots} @ {price} {part}, {left}")
}

/// By request: `a1 done canceled 6 by x1`; else the reason: `a1 done expired 6, EndOfDay`.
fn canceled(view: &View<'_>, header: &EventHeader, event: &OrderCanceled) -> String {
    let name = name(header.session, &event.order.client_order_id);
    let how = status(event.order.status);
    let mut line = format!("{name} done {how} {}", event.canceled.0);
    if !event.request.is_none() {
        line += &format!(" by {}", self::name(header.session, &event.request));
    }
    if header.reason != Reason::CanceledByRequest.code() || event.request.is_none() {
        line += &format!(", {}", view.reason(header));
    }
    line
}

fn replaced(
    view: &View<'_>,
    header: &EventHeader,
    event: &OrderReplaced,
    terms: &OrderTerms,
) -> String {
    let order = &event.order;
    let [new, old] = [&order.client_order_id, &event.original].map(|id| name(header.session, id));
    if order.leaves.0 == 0 {
        let (how, why) = (status(order.status), view.reason(header));
        return format!("{new} replaces {old}, done {how}, {why}");
    }
    // A stop has no limit while it waits.
    let price = if order.order_type == OrderType::Stop.as_u8() {
        String::new()
    } else {
        format!(" @ {}", view.price(order.instrument, order.price))
    };
    let place = if event.priority_kept == 1 {
        "keeps"
    } else {
        "loses"
    };
    let terms = view.terms(order, terms);
    let open = order.leaves.0;
    format!("{new} replaces {old}, open {open}{price}, {place} its place{terms}")
}

fn rejected(view: &View<'_>, header: &EventHeader, event: &OrderRejected) -> String {
    let name = name(header.session, &event.client_order_id);
    format!("{name} rejected, {}{}", view.reason(header), tag(header))
}

/// What is known of the order stands at the end: its status, and its name if the venue found it.
fn request_rejected(view: &View<'_>, header: &EventHeader, event: &RequestRejected) -> String {
    let [id, original] = [&event.client_order_id, &event.original].map(|id| match id.is_none() {
        true => "-".to_owned(),
        false => name(header.session, id),
    });
    let verb = if event.request == CommandKind::ReplaceOrder as u8 {
        "replace"
    } else if event.request == CommandKind::OrderStatusRequest as u8 {
        "state"
    } else {
        "cancel"
    };
    let mut line = format!("{id} cannot {verb} {original}, {}", view.reason(header));
    line += &tag(header);
    if event.order_id.0 != 0 {
        line += &format!(", order {}", view.order_name(event.order_id.0));
    }
    if event.status != OrderStatus::Rejected.as_u8() {
        line += &format!(", is {}", status(event.status));
    }
    line
}

fn ignored(view: &View<'_>, header: &EventHeader, event: &CommandRefused) -> String {
    let kind = command_kind(event.command);
    let who = World::session_letter(header.session);
    format!("{who} {kind} ignored, {}", view.reason(header))
}

/// `in` is what the session is told of its own numbers, `out` the next number towards it.
fn logon(view: &View<'_>, header: &EventHeader, event: &LogonAnswered) -> String {
    let who = World::session_letter(header.session);
    let numbers = format!("in {}, out {}", event.inbound, event.next_outbound.0);
    let mut line = if header.reason == 0 {
        format!("{who} logged on, {numbers}")
    } else {
        format!("{who} logon refused, {}, {numbers}", view.reason(header))
    };
    if event.inbound_expected != 0 {
        line += &format!(", expected {}", event.inbound_expected);
    }
    if event.from_seq != 0 {
        line += &format!(", from {}", event.from_seq);
    }
    if event.next_expected != 0 {
        line += &format!(", next-expected {}", event.next_expected);
    }
    if event.connection != 0 {
        line += &format!(", connection {}", event.connection);
    }
    if event.reset == 1 {
        line += ", reset";
    }
    line
}

fn closed(view: &View<'_>, header: &EventHeader) -> String {
    let who = World::session_letter(header.session);
    format!("{who} closed, {}", view.reason(header))
}

fn admin(_: &View<'_>, header: &EventHeader, event: &AdminMessage) -> String {
    let who = World::session_letter(header.session);
    let number = header.session_seq.0;
    let kind = char::from(event.message_kind);
    let closes = if event.closes == 1 { ", closes" } else { "" };
    let token = match event.token {
        0 => String::new(),
        token => format!(", token {token}"),
    };
    format!("{who} is sent {kind} as number {number}{token}{closes}")
}

fn business(view: &View<'_>, header: &EventHeader, event: &BusinessRejected) -> String {
    let who = World::session_letter(header.session);
    let kind = char::from(event.ref_msg_type[0]);
    let code = event.business_reason;
    let mut line = format!("{who} business reject of {kind}, code {code}");
    line += &format!(", {}{}", view.reason(header), tag(header));
    if !event.ref_id.is_none() {
        line += &format!(", of {}", name(header.session, &event.ref_id));
    }
    line
}

fn definition_refused(view: &View<'_>, header: &EventHeader, event: &DefinitionRefused) -> String {
    let kind = command_kind(event.command);
    format!("{kind} {} refused, {}", event.id, view.reason(header))
}

fn command_kind(byte: u8) -> String {
    let known = CommandKind::ALL.iter().find(|kind| **kind as u8 == byte);
    known.map_or_else(|| format!("command {byte}"), |kind| format!("{kind:?}"))
}

fn tag(header: &EventHeader) -> String {
    match header.ref_tag {
        0 => String::new(),
        tag => format!(", tag {tag}"),
    }
}

fn status(byte: u8) -> String {
    let text = match OrderStatus::try_from(byte) {
        Ok(OrderStatus::New) => "new",
        Ok(OrderStatus::PartiallyFilled) => "partly filled",
        Ok(OrderStatus::Filled) => "filled",
        Ok(OrderStatus::Canceled) => "canceled",
        Ok(OrderStatus::Rejected) => "rejected",
        Ok(OrderStatus::Expired) => "expired",
        Err(_) => "?",
    };
    text.to_owned()
}

/// An id, with its session before it unless it begins with the session's letter.
pub fn name(session: SessionId, id: &ClientOrderId) -> String {
    let letter = World::session_letter(session);
    let text = match id.as_number() {
        Some(number) => format!("={number}"),
        None => id.as_text().map_or_else(
            || "-".to_owned(),
            |text| String::from_utf8_lossy(text).into_owned(),
        ),
    };
    if text.starts_with(&letter.to_lowercase()) {
        text
    } else {
        format!("{letter}:{text}")
    }
}

impl View<'_> {
    fn price(&self, instrument: InstrumentId, price: Price) -> i64 {
        if self.mirrored {
            let reflected = self.world.reflect(instrument.0, price.0);
            reflected.expect("a price in an instrument's range has an image in it")
        } else {
            price.0
        }
    }

    /// `, stop 105, display 3, min 2, until 09:00:05`: those that there are.
    fn terms(&self, order: &OrderState, terms: &OrderTerms) -> String {
        let mut text = String::new();
        if terms.stop_price != NO_PRICE {
            let price = self.price(order.instrument, terms.stop_price);
            text += &format!(", stop {price}");
        }
        if terms.display.0 != 0 {
            text += &format!(", display {}", terms.display.0);
        }
        if terms.minimum.0 != 0 {
            text += &format!(", min {}", terms.minimum.0);
        }
        if terms.expire_at.0 != 0 {
            text += &format!(", until {}", clock_text(terms.expire_at.0));
        }
        text
    }

    fn side(&self, side: Side) -> Side {
        if self.mirrored { side.opposite() } else { side }
    }

    fn reason(&self, header: &EventHeader) -> String {
        match Reason::try_from(header.reason) {
            Ok(reason) if self.mirrored => format!("{:?}", mirrored_reason(reason)),
            Ok(reason) => format!("{reason:?}"),
            Err(_) => format!("reason {}", header.reason),
        }
    }

    fn order_name(&self, order_id: u64) -> String {
        match self.names.get(&order_id) {
            Some((session, id)) => name(*session, id),
            None => format!("{order_id}"),
        }
    }

    /// `book`: both sides level by level, the highest price on top: price, lots, orders.
    pub fn book(&self, engine: &Engine, instrument: InstrumentId) -> Vec<String> {
        self.picture(|side| {
            let levels = engine.levels(instrument, side);
            levels
                .map(|(price, lots, orders)| {
                    let price = self.price(instrument, price);
                    (price, format!("{} ({orders})", lots.0))
                })
                .collect()
        })
    }

    /// `queue`: the same with the orders of each level, first in the queue first; of an order that
    /// shows a part, `a1 3 of 10`.
    pub fn queue(
        &self,
        engine: &Engine,
        instrument: InstrumentId,
        auditor: &Auditor,
    ) -> Vec<String> {
        self.picture(|side| {
            let mut levels: Vec<(i64, String)> = Vec::new();
            for (session, order) in engine.resting(instrument, side) {
                let price = self.price(instrument, order.price);
                let name = name(session, &order.client_order_id);
                let open = order.leaves.0;
                let text = match auditor.shown(order.order_id) {
                    Some(shown) if shown != open => format!("{name} {shown} of {open}"),
                    _ => format!("{name} {open}"),
                };
                match levels.last_mut() {
                    Some((last, orders)) if *last == price => *orders += &format!(", {text}"),
                    _ => levels.push((price, text)),
                }
            }
            levels
        })
    }

    /// `levels_of` gives the best first.
    fn picture(&self, levels_of: impl Fn(Side) -> Vec<(i64, String)>) -> Vec<String> {
        let mut sells = levels_of(self.side(Side::Sell));
        sells.reverse();
        let buys = levels_of(self.side(Side::Buy));
        let of = |word: &str, levels: Vec<(i64, String)>| -> Vec<String> {
            let line = |(price, text)| format!("{word} {price}: {text}");
            levels.into_iter().map(line).collect()
        };
        let lines = [of("sell", sells), of("buy", buys)].concat();
        if lines.is_empty() {
            vec!["empty".into()]
        } else {
            lines
        }
    }
}
