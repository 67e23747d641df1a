//! The words of a command line, and the commands they make.
//!
//! A line is a session, a verb and words in any order. [`VERBS`] says which command a verb makes,
//! [`WORDS`] which field a word fills; a new feature adds a row to one of them and a field to
//! [`Request`]. Prices go through [`Request::mirrored`], so that every scenario can be run in the
//! mirror.

use std::collections::HashMap;

use trading_engine::engine::command::{
    AmendTrade, Body, BusinessReject, CancelAfter, CancelOrder, Command, CommandHeader,
    CommandKind, ConfigureProtection, DayRoll, DefineInstrument, EnterOrder, EnterOrderWithTerms,
    Genesis, KillSwitch, MassCancel, MassQuoteHead, OrderStatusRequest, OrderTerms, QuoteCancel,
    QuoteEntry, RefuseOrder, RefuseRequest, ReplaceOrder, ReplaceOrderWithTerms, ResetProtection,
    SessionDisconnected, SessionLogon, SessionMessage, SetAccount, SetLimits, SetPhase,
    SetReference, Tick, mass_quote, stated,
};
use trading_engine_protocol::types::{
    AccountId, ClientOrderId, Epoch, FirmId, Instructions, InstrumentId, KillScope,
    MassCancelScope, OrderId, OrderType, Price, Quantity, QuoteCancelScope, Reason,
    SelfTradePrevention, Side, TimeInForce, TradeId, UtcNanos,
};
use zerocopy::IntoBytes;

use super::world::{Definition, World, instant, milliseconds, number, phase, session_of};

/// A price that is not stated.
pub const NO_PRICE: i64 = i64::MIN;
/// A time in force that is not stated.
pub const NOT_STATED: u8 = 0xFF;

/// Everything a command line may say. Fields that a verb has no use for are not looked at.
#[derive(Clone, Debug)]
pub struct Request {
    /// Log time of the command, for words that state a time (`world::moment`).
    pub now: u64,
    /// Letter of the session, `None` = the venue.
    pub session: Option<char>,
    pub kind: CommandKind,
    /// The edge refuses what the verb says.
    pub refuse: bool,
    pub id: ClientOrderId,
    pub original: ClientOrderId,
    pub order_id: OrderId,
    /// 0 = not stated.
    pub side: u8,
    pub quantity: u64,
    pub quantity_e8: i64,
    pub price: i64,
    pub price_e8: i64,
    /// 0 = not stated.
    pub order_type: u8,
    pub time_in_force: u8,
    /// 0 = not stated.
    pub instrument: u32,
    pub account: u32,
    /// `account` is stated (a mass cancel asks for account 0, too).
    pub by_account: u8,
    pub possible_resend: u8,
    pub instructions: u8,
    pub self_trade_prevention: u8,
    pub protection_group: u16,
    /// Which of the four above a replace states: [`stated`] bits.
    pub stated: u8,
    /// What only some orders have; the command is the one with terms if one is stated.
    pub terms: OrderTerms,
    /// Terms are stated although there are none.
    pub with_terms: bool,
    /// Mass cancels.
    pub scope: u8,
    /// Milliseconds of a dead man's switch.
    pub after_ms: u32,
    pub reason: Reason,
    pub tag: u32,
    /// Instead of the numbers that the session has.
    pub generation: Option<u32>,
    pub stale: bool,
    pub sequence: Option<u64>,
    /// Logons.
    pub epoch: u32,
    pub reset: u8,
    pub connection: u64,
    pub from: u64,
    pub next_expected: u64,
    pub cancel_on_disconnect: u8,
    pub cancel_grace_ms: u32,
    /// Session-level messages.
    pub kind_in: u8,
    pub kind_out: u8,
    pub closes: u8,
    pub token: u64,
    pub next_inbound: u64,
    /// Business rejects.
    pub ref_msg_type: [u8; 8],
    pub business_reason: u16,
    pub trading_day: u32,
    pub definition: Option<Definition>,
    /// Mass cancels: quotes or orders only, and of which group of instruments.
    pub kinds: u8,
    pub product: u32,
    /// Phases.
    pub phase: u8,
    /// Kill switches: what, and whether it is released.
    pub target: u32,
    pub release: u8,
    pub cancels_only: u8,
    /// Mass quotes.
    pub entries: Vec<QuoteEntry>,
    pub response: u8,
    /// Quote cancels.
    pub layer: Option<u16>,
    /// Protection.
    pub window_ms: u32,
    pub frozen_ms: u32,
    pub fills: u32,
    pub net: u64,
    /// The status of all orders.
    pub all: u8,
    /// Which of the scenario's trades, from 1; and what the venue knows of it.
    pub trade: u64,
    pub amend: AmendTrade,
    /// Risk limits.
    pub limits: SetLimits,
    /// Accounts.
    pub set_account: SetAccount,
    /// Busts and corrections: the orders are stated as the trade left them, with the wish to be told
    /// if one has ended since.
    pub as_traded: bool,
}

impl Request {
    fn new(session: Option<char>, kind: CommandKind) -> Self {
        Self {
            now: 0,
            session,
            kind,
            refuse: false,
            id: ClientOrderId::NONE,
            original: ClientOrderId::NONE,
            order_id: OrderId(0),
            side: 0,
            quantity: 0,
            quantity_e8: 0,
            price: NO_PRICE,
            price_e8: NO_PRICE,
            order_type: 0,
            time_in_force: NOT_STATED,
            instrument: 0,
            account: 0,
            by_account: 0,
            possible_resend: 0,
            instructions: 0,
            self_trade_prevention: 0,
            protection_group: 0,
            stated: 0,
            terms: OrderTerms::NONE,
            with_terms: false,
            scope: MassCancelScope::Session as u8,
            after_ms: 0,
            reason: Reason::None,
            tag: 0,
            generation: None,
            stale: false,
            sequence: None,
            epoch: 0,
            reset: 0,
            connection: 0,
            from: 0,
            next_expected: 0,
            cancel_on_disconnect: 0,
            cancel_grace_ms: 0,
            kind_in: 0,
            kind_out: 0,
            closes: 0,
            token: 0,
            next_inbound: 0,
            ref_msg_type: [0; 8],
            business_reason: 0,
            trading_day: 0,
            definition: None,
            kinds: 0,
            product: 0,
            phase: 0,
            target: 0,
            release: 0,
            cancels_only: 0,
            entries: Vec::new(),
            response: 0,
            layer: None,
            window_ms: 0,
            frozen_ms: 0,
            fills: 0,
            net: 0,
            all: 0,
            trade: 0,
            amend: AmendTrade::default(),
            limits: SetLimits::default(),
            set_account: SetAccount::default(),
            as_traded: false,
        }
    }

    /// The same request in the mirror: the other side, prices reflected. Every field that is a side
    /// or a price is here.
    pub fn mirrored(mut self, world: &World) -> Result<Self, String> {
        self.side = match self.side {
            1 => 2,
            2 => 1,
            other => other,
        };
        if self.price != NO_PRICE {
            self.price = world.reflect(self.instrument, self.price)?;
        }
        if self.terms.stop_price.0 != NO_PRICE {
            self.terms.stop_price.0 = world.reflect(self.instrument, self.terms.stop_price.0)?;
        }
        for entry in &mut self.entries {
            let instrument = entry.instrument.0;
            let reflect = |price: Price| match price.0 {
                NO_PRICE => Ok(price),
                price => world.reflect(instrument, price).map(Price),
            };
            *entry = QuoteEntry {
                not_stated: (entry.not_stated & 1) << 1 | entry.not_stated >> 1,
                bid_price: reflect(entry.ask_price)?,
                bid_quantity: entry.ask_quantity,
                ask_price: reflect(entry.bid_price)?,
                ask_quantity: entry.bid_quantity,
                ..*entry
            };
        }
        if let Some(Definition::TickTable(table)) = &mut self.definition {
            *table = world.reflect_table(table)?;
        }
        self.limits.position = -self.limits.position;
        self.reason = mirrored_reason(self.reason);
        Ok(self)
    }
}

/// A reason as it reads in the mirror.
pub fn mirrored_reason(reason: Reason) -> Reason {
    match reason {
        Reason::PriceBelowMinimum => Reason::PriceAboveMaximum,
        Reason::PriceAboveMaximum => Reason::PriceBelowMinimum,
        same => same,
    }
}

/// What a word is followed by.
#[derive(Clone, Copy)]
enum Fills {
    /// Nothing: the word says it all.
    Flag(fn(&mut Request)),
    /// One value.
    Value(fn(&mut Request, &str) -> Result<(), String>),
    /// The name of an order known to the venue, or a bare order id.
    Order(fn(&mut Request, OrderId)),
}

/// One table from word to field. Besides these: `#id` names what is asked for, a number is the
/// quantity, a symbol the instrument, a [`Reason`] variant the reason, and in a cancel or replace
/// any other word is the id of the order meant.
const WORDS: &[(&str, Fills)] = &[
    // Terms of an order.
    ("buy", Fills::Flag(|r| r.side = Side::Buy.as_u8())),
    ("sell", Fills::Flag(|r| r.side = Side::Sell.as_u8())),
    ("@", Fills::Value(set_price)),
    (
        "limit",
        Fills::Flag(|r| r.order_type = OrderType::Limit.as_u8()),
    ),
    (
        "market",
        Fills::Flag(|r| r.order_type = OrderType::Market.as_u8()),
    ),
    (
        "day",
        Fills::Flag(|r| r.time_in_force = TimeInForce::Day.as_u8()),
    ),
    (
        "ioc",
        Fills::Flag(|r| r.time_in_force = TimeInForce::ImmediateOrCancel.as_u8()),
    ),
    (
        "fok",
        Fills::Flag(|r| r.time_in_force = TimeInForce::FillOrKill.as_u8()),
    ),
    (
        "stop-market",
        Fills::Flag(|r| r.order_type = OrderType::Stop.as_u8()),
    ),
    (
        "stop-limit",
        Fills::Flag(|r| r.order_type = OrderType::StopLimit.as_u8()),
    ),
    (
        "market-to-limit",
        Fills::Flag(|r| r.order_type = OrderType::MarketToLimit.as_u8()),
    ),
    (
        "gtc",
        Fills::Flag(|r| r.time_in_force = TimeInForce::GoodTillCancel.as_u8()),
    ),
    (
        "at-open",
        Fills::Flag(|r| r.time_in_force = TimeInForce::AtTheOpening.as_u8()),
    ),
    (
        "at-close",
        Fills::Flag(|r| r.time_in_force = TimeInForce::AtTheClose.as_u8()),
    ),
    ("gtd", Fills::Value(set_good_till)),
    ("expires", Fills::Value(set_expiry)),
    (
        "stop",
        Fills::Value(|r, v| set(&mut r.terms.stop_price.0, v)),
    ),
    (
        "display",
        Fills::Value(|r, v| set(&mut r.terms.display.0, v)),
    ),
    ("min", Fills::Value(|r, v| set(&mut r.terms.minimum.0, v))),
    ("with-terms", Fills::Flag(|r| r.with_terms = true)),
    (
        "post-only",
        Fills::Flag(|r| r.instructions |= Instructions::POST_ONLY.0),
    ),
    (
        "exempt",
        Fills::Flag(|r| r.instructions |= Instructions::DISCONNECT_EXEMPT.0),
    ),
    ("stp", Fills::Value(set_self_trade)),
    ("firm", Fills::Flag(widen)),
    (
        "account",
        Fills::Value(|r, v| {
            r.by_account = 1;
            set(&mut r.account, v)
        }),
    ),
    ("possible-resend", Fills::Flag(|r| r.possible_resend = 1)),
    ("stated", Fills::Value(set_stated)),
    // Which order is meant.
    ("order", Fills::Order(|r, id| r.order_id = id)),
    // Bytes that are no word of the language.
    ("side", Fills::Value(|r, v| set(&mut r.side, v))),
    ("type", Fills::Value(|r, v| set(&mut r.order_type, v))),
    ("tif", Fills::Value(|r, v| set(&mut r.time_in_force, v))),
    ("instrument", Fills::Value(|r, v| set(&mut r.instrument, v))),
    ("quantity", Fills::Value(set_quantity)),
    (
        "instructions",
        Fills::Value(|r, v| set(&mut r.instructions, v)),
    ),
    (
        "group",
        Fills::Value(|r, v| set(&mut r.protection_group, v)),
    ),
    ("scope", Fills::Value(|r, v| set(&mut r.scope, v))),
    // Many at once.
    (
        "user",
        Fills::Flag(|r| r.scope = MassCancelScope::User.as_u8()),
    ),
    ("product", Fills::Value(|r, v| set(&mut r.product, v))),
    ("quotes-only", Fills::Flag(|r| r.kinds = 1)),
    ("orders-only", Fills::Flag(|r| r.kinds = 2)),
    ("kinds", Fills::Value(|r, v| set(&mut r.kinds, v))),
    ("all", Fills::Flag(|r| r.all = 1)),
    // Quotes and their protection.
    ("response", Fills::Value(|r, v| set(&mut r.response, v))),
    (
        "layer",
        Fills::Value(|r, v| number(v).map(|layer| r.layer = Some(layer))),
    ),
    (
        "window",
        Fills::Value(|r, v| milliseconds(v).map(|ms| r.window_ms = ms)),
    ),
    (
        "frozen",
        Fills::Value(|r, v| milliseconds(v).map(|ms| r.frozen_ms = ms)),
    ),
    ("qty", Fills::Value(set_quantity)),
    ("fills", Fills::Value(|r, v| set(&mut r.fills, v))),
    ("net", Fills::Value(|r, v| set(&mut r.net, v))),
    ("by-account", Fills::Value(|r, v| set(&mut r.by_account, v))),
    // Connections and their numbers.
    (
        "generation",
        Fills::Value(|r, v| number(v).map(|value| r.generation = Some(value))),
    ),
    ("stale", Fills::Flag(|r| r.stale = true)),
    (
        "seq",
        Fills::Value(|r, v| number(v).map(|value| r.sequence = Some(value))),
    ),
    ("epoch", Fills::Value(|r, v| set(&mut r.epoch, v))),
    ("reset", Fills::Flag(|r| r.reset = 1)),
    ("connection", Fills::Value(|r, v| set(&mut r.connection, v))),
    ("from", Fills::Value(|r, v| set(&mut r.from, v))),
    (
        "next-expected",
        Fills::Value(|r, v| set(&mut r.next_expected, v)),
    ),
    ("cod", Fills::Value(set_cancel_on_disconnect)),
    (
        "grace",
        Fills::Value(|r, v| milliseconds(v).map(|ms| r.cancel_grace_ms = ms)),
    ),
    (
        "after",
        Fills::Value(|r, v| milliseconds(v).map(|ms| r.after_ms = ms)),
    ),
    // Session-level messages and business rejects.
    (
        "in",
        Fills::Value(|r, v| message_kind(v).map(|kind| r.kind_in = kind)),
    ),
    (
        "out",
        Fills::Value(|r, v| message_kind(v).map(|kind| r.kind_out = kind)),
    ),
    ("closes", Fills::Flag(|r| r.closes = 1)),
    ("token", Fills::Value(|r, v| set(&mut r.token, v))),
    (
        "next-inbound",
        Fills::Value(|r, v| set(&mut r.next_inbound, v)),
    ),
    (
        "message",
        Fills::Value(|r, v| message_kind(v).map(|kind| r.ref_msg_type[0] = kind)),
    ),
    ("code", Fills::Value(|r, v| set(&mut r.business_reason, v))),
    ("tag", Fills::Value(|r, v| set(&mut r.tag, v))),
];

/// Verbs of a session: the command each makes, and the word it stands for itself.
const VERBS: &[(&str, CommandKind, &str)] = &[
    ("buy", CommandKind::EnterOrder, "buy"),
    ("sell", CommandKind::EnterOrder, "sell"),
    ("enter", CommandKind::EnterOrder, ""),
    ("replace", CommandKind::ReplaceOrder, ""),
    ("cancel", CommandKind::CancelOrder, ""),
    ("mass cancel", CommandKind::MassCancel, ""),
    ("cancel after", CommandKind::CancelAfter, "after"),
    ("logon", CommandKind::SessionLogon, ""),
    ("disconnect", CommandKind::SessionDisconnected, ""),
    ("admin", CommandKind::SessionMessage, ""),
    ("business-reject", CommandKind::BusinessReject, ""),
    ("quote", CommandKind::MassQuote, ""),
    ("quote-cancel", CommandKind::QuoteCancel, ""),
    ("protect", CommandKind::ConfigureProtection, ""),
    ("protect-reset", CommandKind::ResetProtection, ""),
    ("kill", CommandKind::KillSwitch, ""),
    ("release", CommandKind::KillSwitch, ""),
    ("status", CommandKind::OrderStatusRequest, ""),
];

fn set<T: TryFrom<i128>>(field: &mut T, value: &str) -> Result<(), String> {
    *field = number(value)?;
    Ok(())
}

/// What a replace states of what it cannot change; the values are stated by their own words.
fn set_stated(request: &mut Request, value: &str) -> Result<(), String> {
    for what in value.split('+') {
        request.stated |= match what {
            "account" => stated::ACCOUNT,
            "instructions" => stated::INSTRUCTIONS,
            "stp" => stated::SELF_TRADE_PREVENTION,
            "group" => stated::PROTECTION_GROUP,
            _ => return Err(format!("a replace cannot state {what:?}")),
        };
    }
    Ok(())
}

fn set_good_till(request: &mut Request, value: &str) -> Result<(), String> {
    request.time_in_force = TimeInForce::GoodTillDate.as_u8();
    set_expiry(request, value)
}

fn set_expiry(request: &mut Request, value: &str) -> Result<(), String> {
    request.terms.expire_at = UtcNanos(instant(request.now, value)?);
    Ok(())
}

fn set_self_trade(request: &mut Request, value: &str) -> Result<(), String> {
    let action = match value {
        "newest" => SelfTradePrevention::CancelNewest.as_u8(),
        "oldest" => SelfTradePrevention::CancelOldest.as_u8(),
        "both" => SelfTradePrevention::CancelBoth.as_u8(),
        "decrement" => SelfTradePrevention::Decrement.as_u8(),
        byte => number(byte)?,
    };
    request.self_trade_prevention |= action;
    Ok(())
}

/// From the account to the firm; in a mass cancel, from the session to the firm.
fn widen(request: &mut Request) {
    if request.kind == CommandKind::MassCancel {
        request.scope = MassCancelScope::Firm.as_u8();
    } else {
        request.self_trade_prevention |= SelfTradePrevention::FirmCancelNewest.as_u8()
            - SelfTradePrevention::CancelNewest.as_u8();
    }
}

fn set_cancel_on_disconnect(request: &mut Request, value: &str) -> Result<(), String> {
    request.cancel_on_disconnect = match value {
        "lost" => 1,
        "logout" => 2,
        "both" => 3,
        byte => number(byte)?,
    };
    Ok(())
}

fn set_price(request: &mut Request, value: &str) -> Result<(), String> {
    request.price_e8 = decimal_e8(value)?;
    if !value.contains('.') {
        request.price = number(value)?;
    } else if !request.refuse {
        return Err("only `refuse` can state a price between two price units".into());
    }
    Ok(())
}

fn set_quantity(request: &mut Request, value: &str) -> Result<(), String> {
    request.quantity_e8 = decimal_e8(value)?;
    if !value.contains('.') {
        request.quantity = number(value)?;
    } else if !request.refuse {
        return Err("only `refuse` can state a part of a lot".into());
    }
    Ok(())
}

/// A decimal as 10^-8 mantissa; saturates, since a number too large for it is never refused here.
fn decimal_e8(text: &str) -> Result<i64, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{part:0<8}");
    let mantissa: i128 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no number"))?;
    Ok(i64::try_from(mantissa).unwrap_or(i64::MAX))
}

fn message_kind(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [kind] => Ok(*kind),
        _ => Err(format!("{text:?} is no MsgType character")),
    }
}

/// `a1` = text, `=17` = the number of a binary client, `-` = no id.
pub fn client_order_id(text: &str) -> Result<ClientOrderId, String> {
    if text == "-" {
        return Ok(ClientOrderId::NONE);
    }
    if let Some(digits) = text.strip_prefix('=') {
        return Ok(ClientOrderId::from_u64(number(digits)?));
    }
    ClientOrderId::from_text(text.as_bytes()).map_err(|why| format!("id {text:?}: {why:?}"))
}

fn reason(word: &str) -> Option<Reason> {
    Reason::ALL
        .iter()
        .copied()
        .find(|reason| format!("{reason:?}") == word)
}

/// The venue's ids of orders, by session and client order id: what clients learn from reports.
pub type OrderIds = HashMap<(u32, ClientOrderId), OrderId>;

/// Reads a command line.
pub fn parse(line: &str, world: &World, known: &OrderIds, now: u64) -> Result<Request, String> {
    let mut words = line.split_whitespace().peekable();
    let first = words.next().unwrap_or("");
    let [letter] = first.as_bytes() else {
        return venue_command(line, world);
    };
    let session = char::from(*letter);
    if !session.is_ascii_uppercase() {
        return Err(format!("{first:?} is no session: they are A to Z"));
    }
    let refuse = words.next_if_eq(&"refuse").is_some();
    let mut verb = words.next().unwrap_or("").to_owned();
    for (one, two) in [("mass", "cancel"), ("cancel", "after")] {
        if verb == one && words.next_if_eq(&two).is_some() {
            verb = format!("{one} {two}");
            break;
        }
    }
    let &(_, kind, means) = VERBS
        .iter()
        .find(|(name, ..)| *name == verb)
        .ok_or_else(|| format!("verb {verb:?} is unknown"))?;
    let mut request = Request::new(Some(session), kind);
    if kind == CommandKind::QuoteCancel {
        request.scope = 0;
    }
    request.now = now;
    request.refuse = refuse;
    if kind == CommandKind::KillSwitch {
        request.release = u8::from(verb == "release");
        kill(&mut request, words, world)?;
        return Ok(request);
    }
    if kind == CommandKind::MassQuote {
        let words: Vec<&str> = words.collect();
        let is_entry = |word: &&str| quoted(word, world).is_some();
        let first = words.iter().position(is_entry).ok_or("a quote of what?")?;
        let (head, entries) = words.split_at(first);
        let mut entries = entries.join(" ");
        let mut head = head.to_vec();
        let id = entries.rfind(" #").map(|at| entries.split_off(at));
        head.extend(id.as_deref().map(str::trim));
        fill(&mut request, head.into_iter(), world, known)?;
        for entry in entries.split(", ") {
            quote_entry(&mut request, entry, world)?;
        }
        return Ok(request);
    }
    let words = (!means.is_empty())
        .then_some(means)
        .into_iter()
        .chain(words);
    fill(&mut request, words, world, known)?;
    complete(&mut request, world)?;
    Ok(request)
}

fn fill<'a>(
    request: &mut Request,
    mut words: impl Iterator<Item = &'a str>,
    world: &World,
    known: &OrderIds,
) -> Result<(), String> {
    let names_order = matches!(
        request.kind,
        CommandKind::CancelOrder | CommandKind::ReplaceOrder | CommandKind::OrderStatusRequest
    );
    let names_group = matches!(
        request.kind,
        CommandKind::MassQuote
            | CommandKind::QuoteCancel
            | CommandKind::ConfigureProtection
            | CommandKind::ResetProtection
    );
    let mut id_stated = false;
    while let Some(word) = words.next() {
        if names_group
            && let Some(group) = word.strip_prefix('g')
            && let Ok(group) = number(group)
        {
            request.protection_group = group;
            continue;
        }
        if let Some(id) = word.strip_prefix('#') {
            request.id = client_order_id(id)?;
            id_stated = true;
            continue;
        }
        if let Some((_, fills)) = WORDS.iter().find(|(name, _)| *name == word) {
            let mut value = || words.next().ok_or_else(|| format!("{word} what?"));
            match fills {
                Fills::Flag(apply) => apply(request),
                Fills::Value(apply) => apply(request, value()?)?,
                Fills::Order(apply) => {
                    apply(request, order_id(request.session, value()?, world, known)?);
                }
            }
        } else if word.starts_with(|first: char| first.is_ascii_digit()) {
            set_quantity(request, word)?;
        } else if let Some(instrument) = world.symbol(word) {
            request.instrument = instrument.0;
        } else if request.kind == CommandKind::QuoteCancel
            && let Some((instrument, layer, _)) = quoted(word, world)
        {
            request.instrument = instrument;
            request.layer = word.contains('/').then_some(layer);
        } else if let Some(reason) = reason(word) {
            request.reason = reason;
        } else if names_order && request.original.is_none() {
            request.original = client_order_id(word)?;
        } else {
            return Err(format!("word {word:?} is unknown"));
        }
    }
    let needs_id = matches!(
        request.kind,
        CommandKind::CancelOrder
            | CommandKind::ReplaceOrder
            | CommandKind::EnterOrder
            | CommandKind::MassCancel
            | CommandKind::MassQuote
            | CommandKind::QuoteCancel
            | CommandKind::ConfigureProtection
            | CommandKind::ResetProtection
    );
    if needs_id && !id_stated {
        return Err("no #id (say `#-` for a request without one)".into());
    }
    Ok(())
}

/// What a quote is of: `ACME`, `ACME/2` (a layer), `ACME/0..9` (the same in each), or an instrument
/// that is not there, `instrument-7`.
fn quoted(word: &str, world: &World) -> Option<(u32, u16, u16)> {
    let (what, layers) = word.split_once('/').unwrap_or((word, "0"));
    let instrument = match what.strip_prefix("instrument-") {
        Some(id) => number(id).ok()?,
        None => world.symbol(what)?.0,
    };
    let (first, last) = layers.split_once("..").unwrap_or((layers, layers));
    Some((instrument, number(first).ok()?, number(last).ok()?))
}

/// `ACME 10 @ 99 / 10 @ 101`: a side is lots at a price, `none` any more, or `-`: not stated. Then
/// `entry e1`, its id; `refuse Reason tag 132`, what the edge found.
fn quote_entry(request: &mut Request, text: &str, world: &World) -> Result<(), String> {
    let mut words = text.split_whitespace();
    let what = words.next().unwrap_or("");
    let (instrument, first, last) =
        quoted(what, world).ok_or_else(|| format!("no instrument {what:?}"))?;
    let mut entry = QuoteEntry {
        instrument: InstrumentId(instrument),
        bid_price: Price(NO_PRICE),
        ask_price: Price(NO_PRICE),
        ..QuoteEntry::default()
    };
    let mut ask = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} what?"));
        match word {
            "/" => ask = true,
            "-" => entry.not_stated |= 1 << u8::from(ask),
            "none" => {}
            "@" if ask => set(&mut entry.ask_price.0, value()?)?,
            "@" => set(&mut entry.bid_price.0, value()?)?,
            "entry" => entry.entry_id = client_order_id(value()?)?,
            "refuse" => {
                let word = value()?;
                let reason = reason(word).ok_or_else(|| format!("no reason {word:?}"))?;
                entry.edge_reason = reason.code().to_le_bytes()[0];
            }
            "tag" => set(&mut entry.edge_tag, value()?)?,
            lots if ask => set(&mut entry.ask_quantity.0, lots)?,
            lots => set(&mut entry.bid_quantity.0, lots)?,
        }
    }
    if !ask {
        return Err(format!("{text:?}: a quote is `bid / ask`"));
    }
    request
        .entries
        .extend((first..=last).map(|layer| QuoteEntry { layer, ..entry }));
    Ok(())
}

/// `session B`, `firm B` (a session's, or a number), `user 7`, `ACME`, `venue`; `release`.
fn kill<'a>(
    request: &mut Request,
    words: impl Iterator<Item = &'a str>,
    world: &World,
) -> Result<(), String> {
    let mut words = words.peekable();
    request.kind = CommandKind::KillSwitch;
    request.scope = 0;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} what?"));
        match word {
            "session" => {
                request.scope = KillScope::Session.as_u8();
                request.target = session_of(world, value()?)?.0;
            }
            "firm" => {
                let what = value()?;
                request.scope = KillScope::Firm.as_u8();
                request.target = match number(what) {
                    Ok(firm) => firm,
                    Err(_) => session_of(world, what)?.1,
                };
            }
            "user" => {
                request.scope = KillScope::User.as_u8();
                set(&mut request.target, value()?)?;
            }
            "instrument" => {
                request.scope = KillScope::Instrument.as_u8();
                let what = value()?;
                request.target = match world.symbol(what) {
                    Some(instrument) => instrument.0,
                    None => number(what)?,
                };
            }
            "venue" => request.scope = KillScope::Venue.as_u8(),
            "scope" => {
                set(&mut request.scope, value()?)?;
                set(&mut request.target, value()?)?;
            }
            "release" => {
                let is_byte = |word: &&str| word.parse::<u8>().is_ok();
                let byte = words.next_if(is_byte).unwrap_or("1");
                set(&mut request.release, byte)?;
            }
            "only-cancels" => {
                let is_byte = |word: &&str| word.parse::<u8>().is_ok();
                let byte = words.next_if(is_byte).unwrap_or("1");
                set(&mut request.cancels_only, byte)?;
            }
            "stale" => request.stale = true,
            _ => {
                if let Some(id) = word.strip_prefix('#') {
                    request.id = client_order_id(id)?;
                } else {
                    let instrument = world.symbol(word);
                    request.scope = KillScope::Instrument.as_u8();
                    request.target = instrument.ok_or_else(|| format!("kill {word}?"))?.0;
                }
            }
        }
    }
    Ok(())
}

/// `firm A` (a session's, or a number), then of what it has limits: `account 7`, `ACME`; and which: `qty 5`,
/// `notional 500`, `collar 1000`, `open 2`, `position 10`, `gross 900`, `net 500`, `duplicates 2 in 1s`,
/// `executions 3 in 1s`, `messages 5 in 1s`; `has 4`, its position; `release`.
fn limits(text: &str, world: &World) -> Result<SetLimits, String> {
    let mut limits = SetLimits::default();
    let of = &world.instruments[0];
    // Price times lots, as the first instrument counts them.
    let unit = (of.price_unit_e8 * of.lot_size_e8 / 100_000_000).unsigned_abs();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} what?"));
        let mut window = |count: &mut u32, span: &mut u32| {
            set(count, value()?)?;
            if value()? != "in" {
                return Err(format!("`{word} 3 in 1s`"));
            }
            milliseconds(value()?).map(|ms| *span = ms)
        };
        match word {
            "duplicates" => window(&mut limits.duplicates, &mut limits.duplicates_ms)?,
            "executions" => window(&mut limits.executions, &mut limits.executions_ms)?,
            "messages" => window(&mut limits.messages, &mut limits.messages_ms)?,
            "firm" => {
                let firm = value()?;
                limits.firm = FirmId(match number(firm) {
                    Ok(firm) => firm,
                    Err(_) => session_of(world, firm)?.1,
                });
            }
            "account" => {
                limits.by_account = 1;
                set(&mut limits.account.0, value()?)?;
            }
            "qty" => set(&mut limits.quantity.0, value()?)?,
            "notional" => limits.notional_e8 = number::<u64>(value()?)? * unit,
            "collar" => set(&mut limits.collar_bp, value()?)?,
            "open" => set(&mut limits.open_orders, value()?)?,
            "position" => set(&mut limits.position_limit.0, value()?)?,
            "gross" => limits.gross_e8 = number::<u64>(value()?)? * unit,
            "net" => limits.net_e8 = number::<u64>(value()?)? * unit,
            "has" => {
                limits.sets_position = 1;
                set(&mut limits.position, value()?)?;
            }
            "release" => limits.release = 1,
            symbol => {
                let instrument = world.symbol(symbol);
                limits.instrument = instrument.ok_or_else(|| format!("limits {symbol}?"))?;
            }
        }
    }
    Ok(limits)
}

/// `firm A` (a session's, or a number), the account's number, then `disabled`, or a byte that is no word.
fn set_account(text: &str, world: &World) -> Result<SetAccount, String> {
    let mut set = SetAccount {
        enabled: 1,
        ..SetAccount::default()
    };
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} what?"));
        match word {
            "firm" => {
                let firm = value()?;
                set.firm = FirmId(match number(firm) {
                    Ok(firm) => firm,
                    Err(_) => session_of(world, firm)?.1,
                });
            }
            "disabled" => set.enabled = 0,
            "enabled" => set.enabled = number(value()?)?,
            account => set.account.0 = number(account)?,
        }
    }
    Ok(set)
}

/// An order by one of its client ids (`a1`, or `B:a1` of another session), or a bare number.
fn order_id(
    asker: Option<char>,
    text: &str,
    world: &World,
    known: &OrderIds,
) -> Result<OrderId, String> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(OrderId(number(text)?));
    }
    let (session, id) = match text.split_once(':') {
        Some((session, id)) => (session.chars().next(), id),
        None => (None, text),
    };
    let id = client_order_id(id)?;
    let of = |session: char| known.get(&(world.session_id(session), id)).copied();
    let found = match session {
        Some(session) => of(session),
        None => asker.and_then(of).or_else(|| ('A'..='Z').find_map(of)),
    };
    found.ok_or_else(|| format!("no order {text} was accepted"))
}

/// What an order line leaves unsaid: the first instrument, limit (with `stop`: a stop limit order if
/// there is a price, a stop order if not), day (market: at once).
fn complete(request: &mut Request, world: &World) -> Result<(), String> {
    if request.kind == CommandKind::QuoteCancel {
        if request.scope == 0 {
            let scope = match (request.instrument, request.protection_group, request.layer) {
                (.., Some(_)) => QuoteCancelScope::Entry,
                (0, 0, None) => QuoteCancelScope::All,
                (0, _, None) => QuoteCancelScope::Group,
                (_, 0, None) => QuoteCancelScope::Instrument,
                (.., None) => QuoteCancelScope::Entry,
            };
            request.scope = scope.as_u8();
        }
        return Ok(());
    }
    if request.kind != CommandKind::EnterOrder {
        if request.kind == CommandKind::ReplaceOrder && request.instrument == 0 {
            request.instrument = world.instruments[0].instrument.0;
        }
        return Ok(());
    }
    if request.instrument == 0 {
        request.instrument = world.instruments[0].instrument.0;
    }
    if request.order_type == 0 {
        let kind = match (request.terms.stop_price.0, request.price) {
            (NO_PRICE, _) => OrderType::Limit,
            (_, NO_PRICE) => OrderType::Stop,
            _ => OrderType::StopLimit,
        };
        request.order_type = kind.as_u8();
    }
    if request.time_in_force == NOT_STATED {
        request.time_in_force = if request.order_type == OrderType::Market.as_u8() {
            TimeInForce::ImmediateOrCancel.as_u8()
        } else {
            TimeInForce::Day.as_u8()
        };
    }
    Ok(())
}

/// Commands of the venue itself.
fn venue_command(line: &str, world: &World) -> Result<Request, String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let request = |kind| Request::new(None, kind);
    match verb {
        "day" => {
            let mut roll = request(CommandKind::DayRoll);
            let day = rest.strip_prefix("roll").ok_or("`day roll [YYYYMMDD]`")?;
            if !day.trim().is_empty() {
                roll.trading_day = number(day.trim())?;
            }
            Ok(roll)
        }
        "time" => Ok(request(CommandKind::Tick)),
        "tick" if rest.is_empty() => Ok(request(CommandKind::Tick)),
        "genesis" => Ok(request(CommandKind::Genesis)),
        "phase" => {
            let mut set_phase = request(CommandKind::SetPhase);
            let (name, symbol) = rest.split_once(' ').unwrap_or((rest, ""));
            set_phase.phase = phase(name)?;
            set_phase.instrument = match symbol {
                "" => 0,
                symbol => match world.symbol(symbol) {
                    Some(instrument) => instrument.0,
                    None => number(symbol)?,
                },
            };
            Ok(set_phase)
        }
        "reference" => {
            let mut reference = request(CommandKind::SetReference);
            let (symbol, price) = rest.split_once(' ').ok_or("`reference ACME 100`")?;
            reference.instrument = match world.symbol(symbol) {
                Some(instrument) => instrument.0,
                None => number(symbol)?,
            };
            reference.price = number(price)?;
            Ok(reference)
        }
        "tick-table" => {
            let definition = world.definition(line)?;
            let mut define = request(definition.kind());
            define.definition = Some(definition);
            Ok(define)
        }
        "kill" | "release" => {
            let mut switch = request(CommandKind::KillSwitch);
            switch.release = u8::from(verb == "release");
            kill(&mut switch, rest.split_whitespace(), world)?;
            Ok(switch)
        }
        "limits" => {
            let mut set = request(CommandKind::SetLimits);
            set.limits = limits(rest, world)?;
            Ok(set)
        }
        "account" => {
            let mut set = request(CommandKind::SetAccount);
            set.set_account = set_account(rest, world)?;
            Ok(set)
        }
        "bust" | "correct" => {
            let mut amend = request(CommandKind::AmendTrade);
            let rest = match rest.strip_suffix(" as traded") {
                Some(rest) => {
                    amend.as_traded = true;
                    rest
                }
                None => rest,
            };
            let (trade, price) = rest.split_once(" @ ").unwrap_or((rest, ""));
            let trade = trade.strip_prefix('T').unwrap_or(trade);
            amend.trade = number(trade)?;
            if verb == "correct" {
                amend.price = number(price)?;
            }
            Ok(amend)
        }
        "define" => {
            let definition = world.definition(rest)?;
            let mut define = request(definition.kind());
            define.definition = Some(definition);
            Ok(define)
        }
        _ => Err(format!("command {verb:?} is unknown")),
    }
}

/// The bytes of one command, 8-aligned.
pub type Sealed = Vec<u64>;

fn seal<B: Body>(header: CommandHeader, body: B) -> Sealed {
    let mut command = Command::new(body);
    command.header = CommandHeader {
        length: command.header.length,
        kind: command.header.kind,
        version: command.header.version,
        ..header
    };
    let bytes = command.to_bytes();
    let mut sealed = vec![0u64; bytes.len() / 8];
    sealed.as_mut_bytes().copy_from_slice(&bytes);
    sealed
}

/// A mass quote: the one command whose length varies.
fn quote(r: &Request, header: CommandHeader) -> Sealed {
    let head = MassQuoteHead {
        quote_id: r.id,
        account: AccountId(r.account),
        protection_group: r.protection_group,
        instructions: r.instructions,
        response: r.response,
        self_trade_prevention: r.self_trade_prevention,
        ..MassQuoteHead::default()
    };
    let bytes = mass_quote(header, &head, &r.entries);
    let mut sealed = vec![0u64; bytes.len() / 8];
    sealed.as_mut_bytes().copy_from_slice(&bytes);
    sealed
}

fn enter(r: &Request, header: CommandHeader) -> Sealed {
    let order = EnterOrder {
        client_order_id: r.id,
        price: Price(r.price),
        quantity: Quantity(r.quantity),
        instrument: InstrumentId(r.instrument),
        account: AccountId(r.account),
        side: r.side,
        order_type: r.order_type,
        time_in_force: r.time_in_force,
        possible_resend: r.possible_resend,
        instructions: r.instructions,
        self_trade_prevention: r.self_trade_prevention,
        protection_group: r.protection_group,
    };
    if r.with_terms || r.terms != OrderTerms::NONE {
        let terms = r.terms;
        seal(header, EnterOrderWithTerms { order, terms })
    } else {
        seal(header, order)
    }
}

fn replace(r: &Request, header: CommandHeader) -> Sealed {
    let replace = ReplaceOrder {
        client_order_id: r.id,
        original: r.original,
        order_id: r.order_id,
        price: Price(r.price),
        quantity: Quantity(r.quantity),
        instrument: InstrumentId(r.instrument),
        side: r.side,
        order_type: r.order_type,
        time_in_force: r.time_in_force,
        stated: r.stated,
        account: AccountId(r.account),
        protection_group: r.protection_group,
        instructions: r.instructions,
        self_trade_prevention: r.self_trade_prevention,
    };
    if r.with_terms || r.terms != OrderTerms::NONE {
        let terms = r.terms;
        seal(header, ReplaceOrderWithTerms { replace, terms })
    } else {
        seal(header, replace)
    }
}

/// The command that a request makes; `header` says who and when.
pub fn build(request: &Request, header: CommandHeader) -> Sealed {
    let r = request;
    match (r.kind, r.refuse) {
        (CommandKind::EnterOrder, false) => enter(r, header),
        (CommandKind::ReplaceOrder, false) => replace(r, header),
        (CommandKind::EnterOrder, true) => seal(
            header,
            RefuseOrder {
                client_order_id: r.id,
                price_e8: r.price_e8,
                quantity_e8: r.quantity_e8,
                instrument: InstrumentId(r.instrument),
                reason: r.reason.code(),
                ref_tag: u16::try_from(r.tag).unwrap(),
                side: r.side,
                order_type: r.order_type,
                time_in_force: r.time_in_force,
                possible_resend: r.possible_resend,
                ..RefuseOrder::default()
            },
        ),
        (CommandKind::CancelOrder, false) => seal(
            header,
            CancelOrder {
                client_order_id: r.id,
                original: r.original,
                order_id: r.order_id,
                instrument: InstrumentId(r.instrument),
                side: r.side,
                ..CancelOrder::default()
            },
        ),
        (CommandKind::ReplaceOrder | CommandKind::CancelOrder, true) => seal(
            header,
            RefuseRequest {
                client_order_id: r.id,
                original: r.original,
                order_id: r.order_id,
                request: r.kind as u8,
                reason: r.reason.code(),
                ref_tag: u16::try_from(r.tag).unwrap(),
                ..RefuseRequest::default()
            },
        ),
        _ => build_other(request, header),
    }
}

fn build_other(request: &Request, header: CommandHeader) -> Sealed {
    let r = request;
    match r.kind {
        CommandKind::SessionLogon => seal(
            header,
            SessionLogon {
                epoch: Epoch(r.epoch),
                reset: r.reset,
                numbered_reply: u8::from(header.inbound_seq != 0),
                connection: r.connection,
                from_seq: r.from,
                next_expected: r.next_expected,
                cancel_on_disconnect: r.cancel_on_disconnect,
                cancel_grace_ms: r.cancel_grace_ms,
                ..SessionLogon::default()
            },
        ),
        CommandKind::SessionDisconnected => seal(
            header,
            SessionDisconnected {
                reason: r.reason.code(),
                grace_ms: u16::try_from(r.cancel_grace_ms).unwrap_or(u16::MAX),
                ..SessionDisconnected::default()
            },
        ),
        CommandKind::SessionMessage => seal(
            header,
            SessionMessage {
                outbound_kind: r.kind_out,
                inbound_kind: r.kind_in,
                closes: r.closes,
                token: r.token,
                next_inbound: r.next_inbound,
                ..SessionMessage::default()
            },
        ),
        CommandKind::BusinessReject => seal(
            header,
            BusinessReject {
                ref_msg_type: r.ref_msg_type,
                business_reason: r.business_reason,
                reason: r.reason.code(),
                ref_tag: r.tag,
                ref_id: r.id,
                ..BusinessReject::default()
            },
        ),
        CommandKind::SetLimits => seal(header, r.limits),
        CommandKind::MassCancel => seal(
            header,
            MassCancel {
                client_order_id: r.id,
                instrument: InstrumentId(r.instrument),
                account: AccountId(r.account),
                scope: r.scope,
                side: r.side,
                by_account: r.by_account,
                kinds: r.kinds,
                product: r.product,
                protection_group: r.protection_group,
                request_type: match r.order_type {
                    0 => 0,
                    digit => b'0' + digit,
                },
                ..MassCancel::default()
            },
        ),
        CommandKind::CancelAfter => seal(
            header,
            CancelAfter {
                after_ms: r.after_ms,
                reserved: 0,
            },
        ),
        CommandKind::Tick => seal(header, Tick::default()),
        CommandKind::DayRoll => seal(
            header,
            DayRoll {
                trading_day: r.trading_day,
                reserved: 0,
            },
        ),
        CommandKind::Genesis => seal(
            header,
            Genesis {
                hash_key: 42,
                log_id: 1,
                ..Genesis::default()
            },
        ),
        CommandKind::DefineInstrument
        | CommandKind::DefineFirm
        | CommandKind::DefineSession
        | CommandKind::DefineTickTable => match r.definition.as_ref().expect("`define` has one") {
            Definition::Instrument(body) => seal::<DefineInstrument>(header, *body),
            Definition::Firm(body) => seal(header, *body),
            Definition::Session(body) => seal(header, *body),
            Definition::TickTable(body) => seal(header, *body),
        },
        CommandKind::EnterOrder
        | CommandKind::ReplaceOrder
        | CommandKind::CancelOrder
        | CommandKind::RefuseOrder
        | CommandKind::RefuseRequest
        | CommandKind::EnterOrderWithTerms
        | CommandKind::ReplaceOrderWithTerms => unreachable!("built by `build`"),
        kind => build_newer(kind, r, header),
    }
}

fn build_newer(kind: CommandKind, r: &Request, header: CommandHeader) -> Sealed {
    match kind {
        CommandKind::SetPhase => seal(
            header,
            SetPhase {
                instrument: InstrumentId(r.instrument),
                phase: r.phase,
                ..SetPhase::default()
            },
        ),
        CommandKind::SetReference => seal(
            header,
            SetReference {
                instrument: InstrumentId(r.instrument),
                price: Price(r.price),
                ..SetReference::default()
            },
        ),
        CommandKind::KillSwitch => seal(
            header,
            KillSwitch {
                client_order_id: r.id,
                target: r.target,
                scope: r.scope,
                release: r.release,
                cancels_only: r.cancels_only,
                ..KillSwitch::default()
            },
        ),
        CommandKind::AmendTrade => seal(header, r.amend),
        CommandKind::SetAccount => seal(header, r.set_account),
        CommandKind::MassQuote => quote(r, header),
        CommandKind::QuoteCancel => seal(
            header,
            QuoteCancel {
                quote_id: r.id,
                instrument: InstrumentId(r.instrument),
                protection_group: r.protection_group,
                layer: r.layer.unwrap_or(0),
                scope: r.scope,
                ..QuoteCancel::default()
            },
        ),
        CommandKind::ConfigureProtection => seal(
            header,
            ConfigureProtection {
                client_order_id: r.id,
                quantity: Quantity(r.quantity),
                net: Quantity(r.net),
                fills: r.fills,
                window_ms: r.window_ms,
                frozen_ms: r.frozen_ms,
                protection_group: r.protection_group,
                ..ConfigureProtection::default()
            },
        ),
        CommandKind::ResetProtection => seal(
            header,
            ResetProtection {
                client_order_id: r.id,
                protection_group: r.protection_group,
                ..ResetProtection::default()
            },
        ),
        CommandKind::OrderStatusRequest => seal(
            header,
            OrderStatusRequest {
                client_order_id: r.id,
                original: r.original,
                order_id: r.order_id,
                instrument: InstrumentId(r.instrument),
                side: r.side,
                all: r.all,
                ..OrderStatusRequest::default()
            },
        ),
        kind => unreachable!("{kind:?} is built elsewhere"),
    }
}

/// A trade that never was.
pub fn no_trade(number: u64) -> AmendTrade {
    AmendTrade {
        trade_id: TradeId(number),
        ..AmendTrade::default()
    }
}

/// A command of the venue before the first line of a scenario.
pub fn venue(kind: CommandKind, definition: Option<Definition>) -> Request {
    let mut request = Request::new(None, kind);
    request.definition = definition;
    request
}

/// The logon that every session of the world begins with.
pub fn first_logon(session: char) -> Request {
    Request::new(Some(session), CommandKind::SessionLogon)
}
