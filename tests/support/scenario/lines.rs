//! What the engine said, one readable line an event; and the book as a picture.
//!
//! One function per event. [`line`] lists all of them, so a new event does not compile without one.
//! Sequence numbers, exec ids and trade ids are not in the lines: `checks` looks at them.

use std::collections::HashMap;

use trading_engine::engine::Engine;
use trading_engine::engine::command::{CommandKind, NO_PRICE, OrderTerms, name_text};
use trading_engine::engine::event::{
    AdminMessage, BusinessRejected, CancelAfterSet, CommandRefused, DefinitionRefused, EventBody,
    EventHeader, Fill, KillSwitchDone, LogonAnswered, MassCancelDone, MassQuoteAnswered,
    OrderCanceled, OrderRejected, OrderReplaced, OrderRestated, OrderState, OrderStatusReport,
    OrderTriggered, PhaseChanged, ProtectionSet, ProtectionTripped, QuoteCancelDone, QuoteResult,
    RequestRejected, TradeAmended,
};
use trading_engine_protocol::types::{
    ClientOrderId, InstrumentId, Liquidity, OrderStatus, OrderType, Price, ProtectionLimit,
    Quantity, QuoteStatus, Reason, SessionId, Side,
};

use super::checks::Auditor;
use super::words::mirrored_reason;
use super::world::{World, clock_text, duration_text, phase_text};

/// Newest client id of each order that was accepted, by the venue's id.
pub type Names = HashMap<u64, (SessionId, ClientOrderId)>;

/// What a quote is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub session: SessionId,
    pub group: u16,
    pub instrument: InstrumentId,
    pub layer: u16,
    pub side: Side,
}

/// Every quote there was, by the venue's id.
pub type Quotes = HashMap<u64, Quoted>;

/// How lines are written: what orders are called, and whether it is all seen in the mirror.
pub struct View<'a> {
    pub world: &'a World,
    pub mirrored: bool,
    pub names: &'a Names,
    pub quotes: &'a Quotes,
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
        EventBody::QuoteRestated(event) => restated(view, header, &event.restated),
        EventBody::MassCancelDone(event) => mass_canceled(view, header, event),
        EventBody::CancelAfterSet(event) => cancel_after(view, header, event),
        EventBody::OrderRejected(event) => rejected(view, header, event),
        EventBody::RequestRejected(event) => request_rejected(view, header, event),
        EventBody::CommandRefused(event) => ignored(view, header, event),
        EventBody::LogonAnswered(event) => logon(view, header, event),
        EventBody::SessionClosed(_) => closed(view, header),
        EventBody::AdminMessage(event) => admin(view, header, event),
        EventBody::BusinessRejected(event) => business(view, header, event),
        EventBody::DayRolled(event) => format!("day rolled to {}", event.trading_day),
        EventBody::TickTableDefined(event) => {
            format!("tick-table {} defined", event.definition.table)
        }
        EventBody::ReferenceSet(event) => {
            let price = view.price(event.instrument, event.price);
            format!("reference of {} is {price}", view.symbol(event.instrument))
        }
        EventBody::LimitsSet(event) => {
            let firm = event.limits.firm.0;
            let what = if header.reason == 0 { "set" } else { "stopped" };
            format!("limits of firm {firm} {what}")
        }
        EventBody::AccountSet(event) => {
            let set = &event.definition;
            let how = if set.enabled == 1 {
                "enabled"
            } else {
                "disabled"
            };
            format!("account {} of firm {} {how}", set.account.0, set.firm.0)
        }
        EventBody::CapacitiesSet(_) => "capacities set".to_owned(),
        EventBody::AuditNoted(event) => format!("noted action {}", event.note.action),
        EventBody::PhaseChanged(event) => phase_changed(view, header, event),
        EventBody::AuctionIndicative(event) => {
            let left = view.imbalance(event.side, event.imbalance);
            let symbol = view.symbol(event.instrument);
            if event.price == NO_PRICE {
                return format!("{symbol} would not trade{left}");
            }
            let price = view.price(event.instrument, event.price);
            format!("{symbol} would trade {} @ {price}{left}", event.volume.0)
        }
        EventBody::AuctionUncrossed(event) => {
            let left = view.imbalance(event.side, event.imbalance);
            let price = view.price(event.instrument, event.price);
            let symbol = view.symbol(event.instrument);
            format!("{symbol} uncrossed {} @ {price}{left}", event.volume.0)
        }
        EventBody::KillSwitchDone(event) => killed(view, header, event),
        EventBody::TradeAmended(event) => amended(view, header, event),
        EventBody::MassQuoteAnswered(event) => quoted(view, header, event),
        EventBody::QuoteCanceled(event) => canceled(view, header, &event.canceled),
        EventBody::QuoteFill(event) => fill(view, header, &event.fill),
        EventBody::QuoteCancelDone(event) => quotes_canceled(view, header, event),
        EventBody::ProtectionSet(event) => protects(view, header, event),
        EventBody::ProtectionTripped(event) => tripped(view, header, event),
        EventBody::OrderStatusReport(event) => stated(view, header, event),
        EventBody::QuoteStatusAnswered(event) => {
            let entry = match event.entry_id.is_none() {
                true => String::new(),
                false => format!(", entry {}", name(header.session, &event.entry_id)),
            };
            stated(view, header, &event.report) + &entry
        }
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
    if header.reason == Reason::AuctionBegun.code() {
        let price = view.price(order.instrument, order.price);
        return format!("{line} @ {price}, {}", view.reason(header));
    }
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
    let name = view.order(header.session, order);
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

fn cancel_after(_: &View<'_>, header: &EventHeader, event: &CancelAfterSet) -> String {
    let who = World::session_letter(header.session);
    match event.cancel_at.0 {
        0 => format!("{who} cancels after never"),
        at => format!("{who} cancels after {}", clock_text(at)),
    }
}

fn fill(view: &View<'_>, header: &EventHeader, event: &Fill) -> String {
    let order = &event.order;
    let name = view.order(header.session, order);
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
    let name = view.order(header.session, &event.order);
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

/// `ACME enters volatility-auction until 09:00:01, VolatilityInterruption`.
fn phase_changed(view: &View<'_>, header: &EventHeader, event: &PhaseChanged) -> String {
    let symbol = view.symbol(event.instrument);
    if event.phase == event.previous && event.held == 1 {
        return format!("{symbol} held");
    }
    let mut line = format!("{symbol} enters {}", phase_text(event.phase));
    if event.held == 1 {
        line += ", held";
    }
    if event.until.0 != 0 {
        line += &format!(" until {}", clock_text(event.until.0));
    }
    if header.reason != 0 {
        line += &format!(", {}", view.reason(header));
    }
    line
}

/// `a9 killed 3`, `venue released`, `a9 cannot kill, NotPermitted`.
fn killed(view: &View<'_>, header: &EventHeader, event: &KillSwitchDone) -> String {
    let who = match (header.session, event.client_order_id.is_none()) {
        (SessionId(0), true) => "venue".to_owned(),
        (_, true) => "-".to_owned(),
        (session, false) => name(session, &event.client_order_id),
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
    let name = view.order(header.session, order);
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

/// `a1 quoted: ACME 10 @ 99 / keeps 8 @ 101, BETA gone / none`: a reason is a refused side, `-` one
/// that was not stated. Layers after each other with the same answer are one: `ACME/0..9 ...`.
fn quoted(view: &View<'_>, header: &EventHeader, event: &MassQuoteAnswered) -> String {
    let name = match event.head.quote_id.is_none() {
        true => "-".to_owned(),
        false => name(header.session, &event.head.quote_id),
    };
    if header.reason != 0 {
        return format!(
            "{name} cannot quote, {}{}",
            view.reason(header),
            tag(header)
        );
    }
    // What is said, of which instrument, from the first to the last layer.
    let mut parts: Vec<(InstrumentId, u16, u16, String)> = Vec::new();
    for result in &event.results {
        let text = view.quote_result(result);
        match parts.last_mut() {
            Some((instrument, _, last, said))
                if *instrument == result.instrument
                    && last.checked_add(1) == Some(result.layer)
                    && *said == text =>
            {
                *last = result.layer;
            }
            _ => parts.push((result.instrument, result.layer, result.layer, text)),
        }
    }
    let parts = parts.iter().map(|(instrument, first, last, text)| {
        let symbol = view.symbol(*instrument);
        let layers = match (first, last) {
            (0, 0) => String::new(),
            (first, last) if first == last => format!("/{first}"),
            (first, last) => format!("/{first}..{last}"),
        };
        format!("{symbol}{layers} {text}")
    });
    format!("{name} quoted: {}", parts.collect::<Vec<_>>().join(", "))
}

fn quotes_canceled(view: &View<'_>, header: &EventHeader, event: &QuoteCancelDone) -> String {
    let name = match event.quote_id.is_none() {
        true => "-".to_owned(),
        false => name(header.session, &event.quote_id),
    };
    if header.reason != 0 {
        return format!("{name} cannot cancel quotes, {}", view.reason(header));
    }
    format!("{name} canceled {} quotes", event.canceled)
}

fn until_text(until: u64) -> String {
    match until {
        u64::MAX => "frozen until reset".to_owned(),
        until => format!("frozen until {}", clock_text(until)),
    }
}

/// `a1 protects g1 window 1s qty 100 fills 3 net 50 frozen 2s`, those that limit; then what there is
/// of `, frozen until reset` and `, 30 lots in 2 fills`.
fn protects(view: &View<'_>, header: &EventHeader, event: &ProtectionSet) -> String {
    let name = match event.client_order_id.is_none() {
        true => "-".to_owned(),
        false => name(header.session, &event.client_order_id),
    };
    let group = event.protection_group;
    if header.reason != 0 {
        return format!("{name} cannot protect g{group}, {}", view.reason(header));
    }
    let mut line = format!("{name} protects g{group}");
    if event.window_ms == 0 {
        line += " no more";
    } else {
        line += &format!(" window {}", duration_text(event.window_ms));
        for (word, limit) in [
            ("qty", event.quantity.0),
            ("fills", u64::from(event.fills)),
            ("net", event.net.0),
        ] {
            if limit != 0 {
                line += &format!(" {word} {limit}");
            }
        }
        if event.frozen_ms != 0 {
            line += &format!(" frozen {}", duration_text(event.frozen_ms));
        }
    }
    if event.frozen_until.0 != 0 {
        line += &format!(", {}", until_text(event.frozen_until.0));
    }
    if event.window_fills != 0 {
        line += &format!(
            ", {} lots in {} fills",
            event.window_quantity.0, event.window_fills
        );
    }
    line
}

/// `A g1 tripped by A g1 ACME bid: Fills, 30 lots in 3 fills, net +30, frozen until reset`.
fn tripped(view: &View<'_>, header: &EventHeader, event: &ProtectionTripped) -> String {
    let who = World::session_letter(header.session);
    let by = view.order_name(event.order_id.0);
    let limit = match ProtectionLimit::try_from(event.limit) {
        Ok(limit) => format!("{limit:?}"),
        Err(_) => "?".to_owned(),
    };
    let net = match view.mirrored {
        true => -event.window_net,
        false => event.window_net,
    };
    let (lots, fills) = (event.window_quantity.0, event.window_fills);
    let until = until_text(event.frozen_until.0);
    let group = event.protection_group;
    format!(
        "{who} g{group} tripped by {by}: {limit}, {lots} lots in {fills} fills, net {net:+}, {until}"
    )
}

/// `a1 is open 6 of 10 @ 100, shows 2, display 3`; of what waits `waits`, of nothing `A has none`.
fn stated(view: &View<'_>, header: &EventHeader, event: &OrderStatusReport) -> String {
    let order = &event.order;
    if order.order_id.0 == 0 {
        let who = World::session_letter(header.session);
        return match Reason::try_from(header.reason) {
            Ok(Reason::None) => format!("{who} has none"),
            Ok(reason) => format!("{who} is told of none, {reason:?}"),
            Err(code) => format!("{who} is told of none, {code:?}"),
        };
    }
    let name = view.order(header.session, order);
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
    /// An order by its newest id, a quote by what it is of.
    fn order(&self, session: SessionId, order: &OrderState) -> String {
        match self.quotes.get(&order.order_id.0) {
            Some(quoted) => self.quote_name(quoted),
            None => name(session, &order.client_order_id),
        }
    }

    /// `A g1 ACME/2 bid`; without a group and in layer 0 `A ACME bid`.
    pub fn quote_name(&self, quoted: &Quoted) -> String {
        let mut text = World::session_letter(quoted.session);
        if quoted.group != 0 {
            text += &format!(" g{}", quoted.group);
        }
        text += &format!(" {}", self.symbol(quoted.instrument));
        if quoted.layer != 0 {
            text += &format!("/{}", quoted.layer);
        }
        match self.side(quoted.side) {
            Side::Buy => text + " bid",
            Side::Sell => text + " ask",
        }
    }

    fn quote_result(&self, result: &QuoteResult) -> String {
        let side = |status: u8, price: Price, lots: Quantity, reason: u16| {
            let at = || format!("{} @ {}", lots.0, self.price(result.instrument, price));
            match QuoteStatus::try_from(status) {
                Ok(QuoteStatus::NotStated) => "-".to_owned(),
                Ok(QuoteStatus::Entered) => at(),
                Ok(QuoteStatus::Kept) => format!("keeps {}", at()),
                Ok(QuoteStatus::Removed) => "gone".to_owned(),
                Ok(QuoteStatus::Absent) => "none".to_owned(),
                Ok(QuoteStatus::Refused) => {
                    let tag = match result.ref_tag {
                        0 => String::new(),
                        tag => format!(" tag {tag}"),
                    };
                    self.reason_text(reason) + &tag
                }
                Err(_) => "?".to_owned(),
            }
        };
        let bid = side(
            result.bid_status,
            result.bid_price,
            result.bid_quantity,
            result.bid_reason,
        );
        let ask = side(
            result.ask_status,
            result.ask_price,
            result.ask_quantity,
            result.ask_reason,
        );
        match self.mirrored {
            false => format!("{bid} / {ask}"),
            true => format!("{ask} / {bid}"),
        }
    }

    fn symbol(&self, instrument: InstrumentId) -> String {
        let known = self.world.instruments.iter();
        let mut known = known.filter(|known| known.instrument == instrument);
        known.next().map_or_else(
            || format!("instrument-{}", instrument.0),
            |known| name_text(&known.symbol).to_owned(),
        )
    }

    /// `, 5 to buy left`.
    fn imbalance(&self, side: u8, lots: Quantity) -> String {
        match Side::try_from(side).map(|side| self.side(side)) {
            Ok(Side::Buy) => format!(", {} to buy left", lots.0),
            Ok(Side::Sell) => format!(", {} to sell left", lots.0),
            Err(_) if lots.0 == 0 => String::new(),
            Err(_) => format!(", {} to ? left", lots.0),
        }
    }

    fn reason_text(&self, reason: u16) -> String {
        match Reason::try_from(reason) {
            Ok(reason) if self.mirrored => format!("{:?}", mirrored_reason(reason)),
            Ok(reason) => format!("{reason:?}"),
            Err(_) => format!("reason {reason}"),
        }
    }

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
        self.reason_text(header.reason)
    }

    fn order_name(&self, order_id: u64) -> String {
        if let Some(quoted) = self.quotes.get(&order_id) {
            return self.quote_name(quoted);
        }
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
                let name = self.order(session, &order);
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
