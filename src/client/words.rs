//! The words of the trader's commands, as messages.

use std::time::{SystemTime, UNIX_EPOCH};

use trading_engine_protocol::binary::message::{
    InstrumentDefinition, KillSwitch, MassCancel, MassQuote, NewOrder, OrderStatusRequest,
    ProtectionConfig, QuoteCancel, QuoteEntry, ReplaceOrder,
};
use trading_engine_protocol::binary::{
    MASS_CANCEL_BY_ACCOUNT, MASS_CANCEL_ORDERS, MASS_CANCEL_QUOTES, MASS_QUOTE_FULL_ACK,
    MASS_QUOTE_POST_ONLY, NULL_PRICE, QUOTE_NO_ASK, QUOTE_NO_BID,
};
use trading_engine_protocol::fix::codec::timestamp;
use trading_engine_protocol::types::{
    Decimal8, Instructions, KillScope, MassCancelScope, OrderType, QuoteCancelScope,
    SelfTradePrevention, TimeInForce,
};

/// Why a command is not understood.
type Wrong = String;

/// What is left of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    rest: &'a [&'a str],
    instruments: &'a [InstrumentDefinition],
}

impl<'a> Words<'a> {
    pub fn new(rest: &'a [&'a str], instruments: &'a [InstrumentDefinition]) -> Self {
        Self { rest, instruments }
    }

    fn take(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let word = self.take().and_then(|word| word.parse().ok());
        word.ok_or_else(|| format!("{what} is a number"))
    }

    fn decimal(&mut self, what: &str) -> Result<i64, Wrong> {
        let word = self.take().and_then(|word| word.parse::<Decimal8>().ok());
        word.map(|value| value.0)
            .ok_or_else(|| format!("{what} is a decimal"))
    }

    /// A decimal, if the next word is one.
    fn decimal_if_any(&mut self) -> Option<i64> {
        let value = self.rest.first()?.parse::<Decimal8>().ok()?;
        self.take();
        Some(value.0)
    }

    fn symbol(&mut self) -> Result<u32, Wrong> {
        let symbol = self.take().ok_or("which symbol?")?;
        find(self.instruments, symbol)
    }

    /// A time: so many seconds from now (`+60`), or `YYYYMMDD-HH:MM:SS` UTC.
    fn time(&mut self) -> Result<u64, Wrong> {
        let word = self.take().ok_or("until when?")?;
        if let Some(seconds) = word.strip_prefix('+') {
            let seconds: u64 = seconds.parse().map_err(|_| "+ and seconds")?;
            return Ok(now_ns().saturating_add(seconds.saturating_mul(1_000_000_000)));
        }
        let time = timestamp(word.as_bytes());
        time.map(|time| time.0)
            .ok_or_else(|| "a time is +SECONDS or YYYYMMDD-HH:MM:SS".into())
    }

    /// Self-trade prevention: what is canceled, and whether the whole firm counts.
    fn prevention(&mut self) -> Result<u8, Wrong> {
        let action = match self.take() {
            Some("newest") => SelfTradePrevention::CancelNewest,
            Some("oldest") => SelfTradePrevention::CancelOldest,
            Some("both") => SelfTradePrevention::CancelBoth,
            Some("decrement") => SelfTradePrevention::Decrement,
            _ => return Err("stp newest, oldest, both or decrement".into()),
        };
        let of_firm = self.rest.first() == Some(&"firm");
        if of_firm {
            self.take();
        }
        Ok(action.as_u8() + if of_firm { 0x10 } else { 0 })
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

fn unknown(word: &str) -> Wrong {
    format!("{word}: not understood")
}

/// The id of a symbol.
fn find(instruments: &[InstrumentDefinition], symbol: &str) -> Result<u32, Wrong> {
    let found = instruments
        .iter()
        .find(|instrument| text(&instrument.symbol) == symbol);
    found
        .map(|instrument| instrument.instrument_id)
        .ok_or_else(|| format!("no instrument {symbol}"))
}

/// A zero-padded symbol.
pub(super) fn text(symbol: &[u8; 24]) -> &str {
    let length = symbol
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(symbol.len());
    std::str::from_utf8(&symbol[..length]).unwrap_or("?")
}

/// `buy` and `sell`, behind that word. The id is the caller's.
pub(super) fn order(mut words: Words<'_>, side: u8) -> Result<NewOrder, Wrong> {
    let mut order = NewOrder {
        instrument_id: words.symbol()?,
        qty: words.decimal("quantity")?,
        price: words.decimal_if_any().unwrap_or(NULL_PRICE),
        stop_price: NULL_PRICE,
        side,
        ..NewOrder::default()
    };
    let (mut tif, mut to_limit) = (None, false);
    while let Some(word) = words.take() {
        match word {
            "day" => tif = Some(TimeInForce::Day),
            "gtc" => tif = Some(TimeInForce::GoodTillCancel),
            "gtd" => {
                tif = Some(TimeInForce::GoodTillDate);
                order.expire_time = words.time()?;
            }
            "ioc" => tif = Some(TimeInForce::ImmediateOrCancel),
            "fok" => tif = Some(TimeInForce::FillOrKill),
            "at-open" => tif = Some(TimeInForce::AtTheOpening),
            "at-close" => tif = Some(TimeInForce::AtTheClose),
            "stop" => order.stop_price = words.decimal("stop price")?,
            "market-to-limit" => to_limit = true,
            "display" => order.display_qty = words.decimal("display quantity")?,
            "min" => order.min_qty = words.decimal("minimum quantity")?,
            "post-only" => order.exec_inst |= u16::from(Instructions::POST_ONLY.0),
            "keep" => order.exec_inst |= u16::from(Instructions::DISCONNECT_EXEMPT.0),
            "stp" => order.stp_mode = words.prevention()?,
            "group" => order.mmp_group = words.number("group")?,
            "account" => order.account_id = words.number("account")?,
            other => return Err(unknown(other)),
        }
    }
    let (limited, stops) = (order.price != NULL_PRICE, order.stop_price != NULL_PRICE);
    let kind = match (to_limit, stops, limited) {
        (true, _, _) => OrderType::MarketToLimit,
        (false, true, true) => OrderType::StopLimit,
        (false, true, false) => OrderType::Stop,
        (false, false, true) => OrderType::Limit,
        (false, false, false) => OrderType::Market,
    };
    order.ord_type = kind.as_u8();
    let usual = match kind {
        OrderType::Market => TimeInForce::ImmediateOrCancel,
        _ => TimeInForce::Day,
    };
    order.tif = tif.unwrap_or(usual).as_u8();
    Ok(order)
}

/// `replace`, behind the id.
pub(super) fn replace(mut words: Words<'_>) -> Result<ReplaceOrder, Wrong> {
    let mut replace = ReplaceOrder {
        qty: words.decimal("quantity")?,
        price: words.decimal_if_any().unwrap_or(NULL_PRICE),
        stop_price: NULL_PRICE,
        ..ReplaceOrder::default()
    };
    while let Some(word) = words.take() {
        match word {
            "stop" => replace.stop_price = words.decimal("stop price")?,
            "display" => replace.display_qty = words.decimal("display quantity")?,
            "gtd" => replace.expire_time = words.time()?,
            other => return Err(unknown(other)),
        }
    }
    Ok(replace)
}

/// `cancel-all`.
pub(super) fn mass_cancel(mut words: Words<'_>) -> Result<MassCancel, Wrong> {
    let mut cancel = MassCancel {
        scope: MassCancelScope::Session.as_u8(),
        ..MassCancel::default()
    };
    while let Some(word) = words.take() {
        match word {
            "buy" => cancel.side = 1,
            "sell" => cancel.side = 2,
            "firm" => cancel.scope = MassCancelScope::Firm.as_u8(),
            "user" => cancel.scope = MassCancelScope::User.as_u8(),
            "quotes" => cancel.flags |= MASS_CANCEL_QUOTES,
            "orders" => cancel.flags |= MASS_CANCEL_ORDERS,
            "product" => cancel.product_id = words.number("product")?,
            "group" => cancel.mmp_group = words.number("group")?,
            "account" => {
                cancel.account_id = words.number("account")?;
                cancel.flags |= MASS_CANCEL_BY_ACCOUNT;
            }
            symbol => cancel.instrument_id = find(words.instruments, symbol)?,
        }
    }
    Ok(cancel)
}

/// `mass-status`.
pub(super) fn mass_status(mut words: Words<'_>) -> Result<OrderStatusRequest, Wrong> {
    let mut request = OrderStatusRequest::default();
    while let Some(word) = words.take() {
        match word {
            "buy" => request.side = 1,
            "sell" => request.side = 2,
            symbol => request.instrument_id = find(words.instruments, symbol)?,
        }
    }
    Ok(request)
}

/// `quote`: entries, with commas between them.
pub(super) fn quote(words: Words<'_>) -> Result<(MassQuote, Vec<QuoteEntry>), Wrong> {
    let mut quote = MassQuote {
        flags: MASS_QUOTE_FULL_ACK,
        ..MassQuote::default()
    };
    let mut entries = Vec::new();
    for rest in words.rest.split(|word| *word == ",") {
        let mut words = Words { rest, ..words };
        let instrument_id = words.symbol()?;
        let (bid_qty, bid_price, no_bid) = quote_side(&mut words)?;
        let (ask_qty, ask_price, no_ask) = quote_side(&mut words)?;
        let mut entry = QuoteEntry {
            instrument_id,
            entry_flags: if no_bid { QUOTE_NO_BID } else { 0 }
                | if no_ask { QUOTE_NO_ASK } else { 0 },
            bid_price,
            bid_qty,
            ask_price,
            ask_qty,
            ..QuoteEntry::default()
        };
        while let Some(word) = words.take() {
            match word {
                "layer" => entry.layer = words.number("layer")?,
                "group" => quote.mmp_group = words.number("group")?,
                "account" => quote.account_id = words.number("account")?,
                "post-only" => quote.flags |= MASS_QUOTE_POST_ONLY,
                "stp" => quote.stp_mode = words.prevention()?,
                other => return Err(unknown(other)),
            }
        }
        entries.push(entry);
    }
    Ok((quote, entries))
}

/// Quantity, price, and whether nothing is said: `-` is that, and 0 needs no price.
fn quote_side(words: &mut Words<'_>) -> Result<(i64, i64, bool), Wrong> {
    if words.rest.first() == Some(&"-") {
        words.take();
        return Ok((0, NULL_PRICE, true));
    }
    match words.decimal("quantity")? {
        0 => Ok((0, NULL_PRICE, false)),
        quantity => Ok((quantity, words.decimal("price")?, false)),
    }
}

/// `quote-cancel`: what is said decides how far it goes.
pub(super) fn quote_cancel(mut words: Words<'_>) -> Result<QuoteCancel, Wrong> {
    let (mut instrument, mut group, mut layer) = (None, None, None);
    while let Some(word) = words.take() {
        match word {
            "group" => group = Some(words.number("group")?),
            "layer" => layer = Some(words.number("layer")?),
            symbol => instrument = Some(find(words.instruments, symbol)?),
        }
    }
    let scope = match (instrument, group, layer) {
        (None, None, None) => QuoteCancelScope::All,
        (None, Some(_), None) => QuoteCancelScope::Group,
        (Some(_), None, None) => QuoteCancelScope::Instrument,
        (Some(_), _, Some(_)) => QuoteCancelScope::Entry,
        _ => return Err("all, SYMBOL, group N, or SYMBOL layer N [group N]".into()),
    };
    Ok(QuoteCancel {
        instrument_id: instrument.unwrap_or(0),
        mmp_group: group.unwrap_or(0),
        layer: layer.unwrap_or(0),
        scope: scope.as_u8(),
        ..QuoteCancel::default()
    })
}

/// `protect`, but for `reset`.
pub(super) fn protection(mut words: Words<'_>) -> Result<ProtectionConfig, Wrong> {
    let mut config = ProtectionConfig {
        mmp_group: words.number("group")?,
        ..ProtectionConfig::default()
    };
    while let Some(word) = words.take() {
        match word {
            "window" => config.window_ms = words.number("window")?,
            "lots" => config.qty_limit = words.number("lots")?,
            "net" => config.net_limit = words.number("net")?,
            "fills" => config.fill_limit = words.number("fills")?,
            "freeze" => config.freeze_ms = words.number("freeze")?,
            "off" => {}
            other => return Err(unknown(other)),
        }
    }
    Ok(config)
}

/// `kill`.
pub(super) fn kill(mut words: Words<'_>) -> Result<KillSwitch, Wrong> {
    let mut kill = KillSwitch::default();
    let scope = match words.take() {
        Some("session") => KillScope::Session,
        Some("firm") => KillScope::Firm,
        Some("user") => KillScope::User,
        Some("instrument") => KillScope::Instrument,
        Some("venue") => KillScope::Venue,
        _ => return Err("kill session, firm, user, instrument or venue".into()),
    };
    kill.scope = scope.as_u8();
    kill.target = match scope {
        KillScope::Venue => 0,
        KillScope::Instrument => words.symbol()?,
        _ => words.number("what is killed")?,
    };
    match words.rest {
        [] => {}
        ["release"] => kill.release = 1,
        [other, ..] => return Err(unknown(other)),
    }
    Ok(kill)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruments() -> Vec<InstrumentDefinition> {
        let mut symbol = [0; 24];
        symbol[..4].copy_from_slice(b"ACME");
        vec![InstrumentDefinition {
            symbol,
            instrument_id: 3,
            ..InstrumentDefinition::default()
        }]
    }

    fn said<T>(text: &str, read: impl Fn(Words<'_>) -> Result<T, Wrong>) -> Result<T, Wrong> {
        let words: Vec<&str> = text.split_whitespace().collect();
        read(Words::new(&words, &instruments()))
    }

    fn kind(text: &str) -> (u8, u8) {
        let order = said(text, |words| order(words, 1)).unwrap();
        (order.ord_type, order.tif)
    }

    #[test]
    fn an_order_is_of_the_type_that_its_words_make() {
        assert_eq!(kind("ACME 5"), (1, 3));
        assert_eq!(kind("ACME 5 fok"), (1, 4));
        assert_eq!(kind("ACME 5 at-open"), (1, 2));
        assert_eq!(kind("ACME 5 49.5"), (2, 0));
        assert_eq!(kind("ACME 5 49.5 gtc post-only"), (2, 1));
        assert_eq!(kind("ACME 5 49.5 at-close"), (2, 7));
        assert_eq!(kind("ACME 5 stop 50"), (3, 0));
        assert_eq!(kind("ACME 5 49.5 stop 50 gtd +60"), (4, 6));
        assert_eq!(kind("ACME 5 market-to-limit"), (20, 0));
        let order = said(
            "ACME 5 49.5 ioc min 2 display 1 stp oldest firm group 7 account 8 keep",
            |words| order(words, 2),
        );
        let order = order.unwrap();
        assert_eq!(
            (order.min_qty, order.display_qty),
            (2 * 100_000_000, 100_000_000)
        );
        assert_eq!((order.stp_mode, order.mmp_group), (0x12, 7));
        assert_eq!((order.account_id, order.exec_inst), (8, 4));
        for wrong in [
            "",
            "NOWHERE 5",
            "ACME",
            "ACME x",
            "ACME 5 49.5 soon",
            "ACME 5 stop",
        ] {
            assert!(
                said(wrong, |words| super::order(words, 1)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn quotes_state_a_side_leave_it_or_take_it_away() {
        let (quote, entries) =
            said("ACME 5 49 - group 2 , ACME 0 7 51 layer 1 post-only", quote).unwrap();
        assert_eq!((quote.mmp_group, quote.flags), (2, 3));
        assert_eq!(entries[0].entry_flags, QUOTE_NO_ASK);
        assert_eq!((entries[1].layer, entries[1].entry_flags), (1, 0));
        assert_eq!((entries[1].bid_qty, entries[1].bid_price), (0, NULL_PRICE));
        assert!(said("ACME 5 49", super::quote).is_err());
    }

    #[test]
    fn the_scope_of_a_quote_cancel_is_what_is_said() {
        let scope = |text| said(text, quote_cancel).map(|cancel| cancel.scope);
        assert_eq!(scope(""), Ok(1));
        assert_eq!(scope("ACME"), Ok(2));
        assert_eq!(scope("group 4"), Ok(3));
        assert_eq!(scope("ACME layer 1 group 4"), Ok(4));
        assert!(scope("layer 1").is_err());
    }

    #[test]
    fn a_kill_switch_names_what_it_stops() {
        let kill = |text| said(text, kill).map(|kill| (kill.scope, kill.target, kill.release));
        assert_eq!(kill("user 7"), Ok((3, 7, 0)));
        assert_eq!(kill("instrument ACME release"), Ok((4, 3, 1)));
        assert_eq!(kill("venue"), Ok((5, 0, 0)));
        assert!(kill("venue now").is_err());
        assert!(kill("firm").is_err());
    }
}
