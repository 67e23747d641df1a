//! MassQuote(i) and QuoteCancel(Z) as values.

use super::codec::{Message, number};
use super::order::{
    Request, account, id, instructions, missing, out_of_range, self_trade_prevention, symbol,
    unsigned,
};
use super::validate::Refusal;
use super::{QUOTE_ENTRIES_MAX, order::SYMBOL_LENGTH_MAX};
use crate::types::{
    AccountId, ClientOrderId, Decimal8, DecimalError, Instructions, QuoteCancelScope, Reason,
};

/// i, but for its entries.
#[derive(Clone, Copy, Debug)]
pub struct MassQuoteRequest {
    /// QuoteID(117).
    pub quote_id: ClientOrderId,
    /// Account(1) as a number, 0 = absent.
    pub account: AccountId,
    /// ProtectionGroup(9019), 0 = none.
    pub protection_group: u16,
    /// QuoteResponseLevel(301): 0 nothing, 1 what is refused, 2 all.
    pub response: u8,
    /// ExecInst(18); `None`: something that is not there.
    pub instructions: Option<Instructions>,
    /// As of an order; `None`: something that is not there.
    pub self_trade_prevention: Option<u8>,
}

/// One side of an entry: what is given of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuoteSide {
    /// BidPx(132), OfferPx(133).
    pub price: Option<Decimal8>,
    /// BidSize(134), OfferSize(135).
    pub quantity: Option<Decimal8>,
}

/// An entry of i.
#[derive(Clone, Copy, Debug)]
pub struct QuoteEntryRequest {
    /// QuoteEntryID(299).
    pub entry_id: ClientOrderId,
    /// QuoteSetID(302) less one.
    pub layer: u16,
    /// Symbol(55), zero-padded; empty = absent.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// `None` = neither price nor size is there.
    pub bid: Option<QuoteSide>,
    /// Likewise.
    pub ask: Option<QuoteSide>,
    /// Why it cannot be done, with the tag at fault: for the core to refuse this entry.
    pub refusal: Option<(Reason, u16)>,
}

/// Z.
#[derive(Clone, Copy, Debug)]
pub struct QuoteCancelRequest {
    /// QuoteID(117).
    pub quote_id: ClientOrderId,
    /// What the fields come to.
    pub scope: QuoteCancelScope,
    /// Symbol(55), zero-padded; empty = absent.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// ProtectionGroup(9019), 0 = none.
    pub protection_group: u16,
    /// QuoteSetID(302) less one.
    pub layer: u16,
}

/// Reads i; its entries replace what is in `entries`.
pub(super) fn mass_quote(
    message: &Message,
    bytes: &[u8],
    entries: &mut Vec<QuoteEntryRequest>,
) -> Result<Request, Refusal> {
    if message.get(bytes, 296).is_none() {
        return Err(missing(296));
    }
    entries.clear();
    entries.reserve(QUOTE_ENTRIES_MAX);
    read_entries(message, bytes, entries)?;
    if entries.is_empty() {
        return Err(out_of_range(295));
    }
    let account = account(message, bytes);
    if account.is_none() {
        for entry in entries.iter_mut() {
            entry.refusal = Some((Reason::UnknownAccount, 1));
        }
    }
    Ok(Request::MassQuote(MassQuoteRequest {
        quote_id: id(message, bytes, 117)?,
        account: AccountId(account.unwrap_or_default()),
        protection_group: unsigned(message, bytes, 9019)?.unwrap_or(0),
        response: unsigned(message, bytes, 301)?.unwrap_or(0),
        instructions: instructions(message, bytes),
        self_trade_prevention: self_trade_prevention(message, bytes),
    }))
}

/// The dictionary saw to it that sets begin with 302 and entries with 299, and that these fields are
/// nowhere else.
fn read_entries(
    message: &Message,
    bytes: &[u8],
    entries: &mut Vec<QuoteEntryRequest>,
) -> Result<(), Refusal> {
    let mut set = 0;
    for field in message.fields() {
        let value = message.value(bytes, field);
        match field.tag {
            302 => set = layer(value)?,
            299 if entries.len() == QUOTE_ENTRIES_MAX => return Err(out_of_range(295)),
            299 => entries.push(QuoteEntryRequest {
                entry_id: ClientOrderId::from_text(value).map_err(|_| out_of_range(299))?,
                layer: set,
                symbol: [0; SYMBOL_LENGTH_MAX],
                bid: None,
                ask: None,
                refusal: None,
            }),
            tag => {
                if let Some(entry) = entries.last_mut() {
                    read_field(entry, tag, value);
                }
            }
        }
    }
    Ok(())
}

fn read_field(entry: &mut QuoteEntryRequest, tag: u32, value: &[u8]) {
    match tag {
        55 => entry.symbol = symbol(value),
        132 => entry.bid.get_or_insert_default().price = decimal(entry, tag, value),
        133 => entry.ask.get_or_insert_default().price = decimal(entry, tag, value),
        134 => entry.bid.get_or_insert_default().quantity = decimal(entry, tag, value),
        135 => entry.ask.get_or_insert_default().quantity = decimal(entry, tag, value),
        _ => {}
    }
}

/// A price or size; one that is no number of ours refuses the entry.
fn decimal(entry: &mut QuoteEntryRequest, tag: u32, value: &[u8]) -> Option<Decimal8> {
    let is_price = tag <= 133;
    let reason = match Decimal8::parse(value) {
        Ok(value) => return Some(value),
        Err(DecimalError::Malformed) => return None,
        Err(DecimalError::TooPrecise) if is_price => Reason::PriceNotOnTick,
        Err(DecimalError::TooPrecise) => Reason::QuantityNotOnLot,
        Err(DecimalError::OutOfRange) if is_price => Reason::PriceAboveMaximum,
        Err(DecimalError::OutOfRange) => Reason::QuantityAboveMaximum,
    };
    let tag = u16::try_from(tag).unwrap_or(0);
    entry.refusal.get_or_insert((reason, tag));
    None
}

/// QuoteSetID(302): sets are the layers, counted from 1.
fn layer(value: &[u8]) -> Result<u16, Refusal> {
    number(value)
        .and_then(|set| u16::try_from(set.checked_sub(1)?).ok())
        .ok_or_else(|| out_of_range(302))
}

/// Reads Z. 298=4: all, or with 9019 a group's. 298=1: of one symbol, or with 302 one of them.
pub(super) fn quote_cancel(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    let group: Option<u16> = unsigned(message, bytes, 9019)?;
    let set = message.get(bytes, 302).map(layer).transpose()?;
    let symbols = message.number(bytes, 295).unwrap_or(0);
    let scope = match (message.get(bytes, 298), set) {
        (Some(b"4"), Some(_)) => return Err(out_of_range(302)),
        (Some(b"4"), None) if symbols > 0 => return Err(out_of_range(295)),
        (Some(b"4"), None) if group.is_some() => QuoteCancelScope::Group,
        (Some(b"4"), None) => QuoteCancelScope::All,
        _ if symbols == 0 => return Err(missing(55)),
        _ if symbols > 1 => return Err(out_of_range(295)),
        (_, Some(_)) => QuoteCancelScope::Entry,
        (_, None) if group.is_some() => return Err(missing(302)),
        (_, None) => QuoteCancelScope::Instrument,
    };
    Ok(Request::QuoteCancel(QuoteCancelRequest {
        quote_id: id(message, bytes, 117)?,
        scope,
        symbol: symbol(message.get(bytes, 55).unwrap_or_default()),
        protection_group: group.unwrap_or(0),
        layer: set.unwrap_or(0),
    }))
}
