//! NewOrderSingle(D), OrderCancelRequest(F), OrderCancelReplaceRequest(G) and
//! OrderMassCancelRequest(q) as values, and what all requests are read with.

use super::codec::{Message, number, timestamp};
use super::desk::{
    self, CancelAfterRequest, KillRequest, MassStatusRequest, ProtectionRequest,
    SecurityStatusRequest, SessionStatusRequest, StatusRequest,
};
use super::quote::{self, MassQuoteRequest, QuoteCancelRequest, QuoteEntryRequest};
use super::validate::Refusal;
use crate::types::{
    AccountId, ClientOrderId, Decimal8, DecimalError, Instructions, MassCancelScope, OrderType,
    Reason, SelfTradePrevention, Side, TimeInForce, UtcNanos,
};

/// Longest Symbol(55) that can be an instrument's.
pub const SYMBOL_LENGTH_MAX: usize = 24;

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// D.
    New(OrderRequest),
    /// G.
    Replace(OrderRequest),
    /// F.
    Cancel(CancelRequest),
    /// q.
    MassCancel(MassCancelRequest),
    /// i; its entries are [`super::Acceptor::quote_entries`].
    MassQuote(MassQuoteRequest),
    /// Z.
    QuoteCancel(QuoteCancelRequest),
    /// H.
    Status(StatusRequest),
    /// AF.
    MassStatus(MassStatusRequest),
    /// e.
    SecurityStatus(SecurityStatusRequest),
    /// g.
    SessionStatus(SessionStatusRequest),
    /// U1.
    Kill(KillRequest),
    /// U3.
    Protection(ProtectionRequest),
    /// U4.
    ProtectionReset(ProtectionRequest),
    /// U6.
    CancelAfter(CancelAfterRequest),
}

/// D or G.
#[derive(Clone, Copy, Debug)]
pub struct OrderRequest {
    /// ClOrdID(11).
    pub client_order_id: ClientOrderId,
    /// OrigClOrdID(41), G only.
    pub original: ClientOrderId,
    /// OrderID(37), 0 = absent, G only.
    pub order_id: u64,
    /// Symbol(55), zero-padded; empty = absent or too long to be one.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// Price(44).
    pub price: Option<Decimal8>,
    /// OrderQty(38).
    pub quantity: Option<Decimal8>,
    /// Side(54) as sent.
    pub side: u8,
    /// OrdType(40) as sent.
    pub order_type: u8,
    /// TimeInForce(59) as sent; `None` = absent, which is Day for D.
    pub time_in_force: Option<u8>,
    /// Account(1) as a number.
    pub account: Option<AccountId>,
    /// StopPx(99).
    pub stop_price: Option<Decimal8>,
    /// MaxFloor(111) or DisplayQty(1138).
    pub display: Option<Decimal8>,
    /// MinQty(110).
    pub minimum: Option<Decimal8>,
    /// ExpireTime(126), or the end of ExpireDate(432); 0 = absent.
    pub expire_at: UtcNanos,
    /// ExecInst(18).
    pub instructions: Option<Instructions>,
    /// SelfMatchPreventionInstruction(2964) and scope, as `SelfTradePrevention`.
    pub self_trade_prevention: Option<u8>,
    /// ProtectionGroup(9019), 0 = none.
    pub protection_group: Option<u16>,
    /// PossResend(97)=Y.
    pub possible_resend: bool,
    /// Why it cannot be done, with the tag at fault: to be refused by the core all the same.
    pub refusal: Option<(Reason, u16)>,
}

/// F.
#[derive(Clone, Copy, Debug)]
pub struct CancelRequest {
    /// ClOrdID(11).
    pub client_order_id: ClientOrderId,
    /// OrigClOrdID(41).
    pub original: ClientOrderId,
    /// OrderID(37), 0 = absent.
    pub order_id: u64,
    /// Symbol(55), zero-padded; empty = absent.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// Side(54) as sent.
    pub side: u8,
}

/// q.
#[derive(Clone, Copy, Debug)]
pub struct MassCancelRequest {
    /// ClOrdID(11).
    pub client_order_id: ClientOrderId,
    /// MassCancelRequestType(530) as sent.
    pub kind: u8,
    /// Symbol(55), zero-padded; empty = absent.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// Side(54) as sent, 0 = absent.
    pub side: u8,
    /// MassCancelScope(35010), as `MassCancelScope`: the session's when absent.
    pub scope: u8,
    /// MassCancelKinds(35011): 1 quotes only, 2 orders only, 0 = absent.
    pub kinds: u8,
    /// Product(460): number of an instrument group, 0 = absent.
    pub product: u32,
    /// ProtectionGroup(9019), 0 = absent.
    pub protection_group: u16,
    /// Account(1) as a number.
    pub account: Option<AccountId>,
}

impl OrderRequest {
    /// Side(54), if it is one the venue knows.
    pub fn side(&self) -> Option<Side> {
        Side::try_from(self.side.wrapping_sub(b'0')).ok()
    }

    /// OrdType(40), likewise.
    pub fn order_type(&self) -> Option<OrderType> {
        let value = match self.order_type {
            b'K' => OrderType::MarketToLimit.as_u8(),
            digit => digit.wrapping_sub(b'0'),
        };
        OrderType::try_from(value).ok().filter(|kind| {
            // Its letter is its only name.
            (*kind == OrderType::MarketToLimit) == (self.order_type == b'K')
        })
    }

    /// TimeInForce(59), likewise.
    pub fn time_in_force(&self) -> Option<TimeInForce> {
        TimeInForce::try_from(self.time_in_force.unwrap_or(b'0').wrapping_sub(b'0')).ok()
    }
}

/// Fields that change what an order means and are not there.
const UNSUPPORTED: &[u32] = &[210, 211, 388, 389, 583, 1385];

/// The value of a field cannot be used.
pub(super) const fn out_of_range(tag: u32) -> Refusal {
    (5, tag, "Value is incorrect (out of range) for this tag")
}

/// A field must be there because of the others.
pub(super) const fn missing(tag: u32) -> Refusal {
    (1, tag, "Required tag missing")
}

/// Reads a request that passed the dictionary. What cannot be used of it is refused at session
/// level, what can be said in the core's terms is not. The entries of a mass quote replace what is
/// in `entries`.
pub(super) fn read(
    message: &Message,
    bytes: &[u8],
    entries: &mut Vec<QuoteEntryRequest>,
) -> Result<Request, Refusal> {
    match message.message_type(bytes) {
        b"F" => cancel(message, bytes),
        b"q" => mass_cancel(message, bytes),
        b"i" => quote::mass_quote(message, bytes, entries),
        b"Z" => quote::quote_cancel(message, bytes),
        b"H" => desk::status(message, bytes),
        b"AF" => desk::mass_status(message, bytes),
        b"e" => desk::security_status(message, bytes),
        b"g" => desk::session_status(message, bytes),
        b"U1" => desk::kill_switch(message, bytes),
        b"U3" => Ok(Request::Protection(desk::protection(message, bytes)?)),
        b"U4" => Ok(Request::ProtectionReset(desk::protection(message, bytes)?)),
        b"U6" => desk::cancel_after(message, bytes),
        kind => order(kind, message, bytes),
    }
}

fn cancel(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    Ok(Request::Cancel(CancelRequest {
        client_order_id: id(message, bytes, 11)?,
        original: id(message, bytes, 41)?,
        order_id: order_id(message, bytes),
        symbol: symbol(message.get(bytes, 55).unwrap_or_default()),
        side: character(message, bytes, 54).unwrap_or(0),
    }))
}

fn mass_cancel(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    Ok(Request::MassCancel(MassCancelRequest {
        client_order_id: id(message, bytes, 11)?,
        kind: character(message, bytes, 530).unwrap_or(0),
        symbol: symbol(message.get(bytes, 55).unwrap_or_default()),
        side: character(message, bytes, 54).unwrap_or(0),
        scope: unsigned(message, bytes, 35010)?.unwrap_or(MassCancelScope::Session.as_u8()),
        kinds: unsigned(message, bytes, 35011)?.unwrap_or(0),
        product: unsigned(message, bytes, 460)?.unwrap_or(0),
        protection_group: unsigned(message, bytes, 9019)?.unwrap_or(0),
        account: unsigned(message, bytes, 1)?.map(AccountId),
    }))
}

/// D or G.
fn order(kind: &[u8], message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    let client_order_id = id(message, bytes, 11)?;
    let original = id(message, bytes, 41)?;
    let order_id = order_id(message, bytes);
    let symbol = symbol(message.get(bytes, 55).unwrap_or_default());
    let one = |tag| character(message, bytes, tag);
    let side = one(54).unwrap_or(0);
    let mut request = OrderRequest {
        account: None,
        stop_price: None,
        display: None,
        minimum: None,
        expire_at: UtcNanos(0),
        instructions: None,
        self_trade_prevention: None,
        protection_group: unsigned(message, bytes, 9019)?,
        client_order_id,
        original,
        order_id,
        symbol,
        price: None,
        quantity: None,
        side,
        order_type: one(40).unwrap_or(0),
        time_in_force: one(59),
        possible_resend: message.get(bytes, 97) == Some(b"Y"),
        refusal: None,
    };
    let mut refusal = None;
    let mut decimal = |tag: u32, too_precise: Reason, too_large: Reason| match message
        .get(bytes, tag)
        .map(Decimal8::parse)
    {
        None | Some(Err(DecimalError::Malformed)) => None,
        Some(Ok(value)) => Some(value),
        Some(Err(DecimalError::TooPrecise)) => {
            refusal.get_or_insert((too_precise, tag));
            None
        }
        Some(Err(DecimalError::OutOfRange)) => {
            refusal.get_or_insert((too_large, tag));
            None
        }
    };
    request.price = decimal(44, Reason::PriceNotOnTick, Reason::PriceAboveMaximum);
    request.quantity = decimal(38, Reason::QuantityNotOnLot, Reason::QuantityAboveMaximum);
    request.stop_price = decimal(99, Reason::StopPriceInvalid, Reason::StopPriceInvalid);
    let invalid = Reason::DisplayQuantityInvalid;
    let floor = decimal(111, invalid, invalid);
    let display = decimal(1138, invalid, invalid);
    // Two names of one quantity, of an earlier and a later version of the standard.
    let shown = if display.is_some() { 1138 } else { 111 };
    request.display = display.or(floor);
    let two_displays = floor.is_some() && display.is_some() && floor != display;
    let invalid = Reason::MinimumQuantityInvalid;
    request.minimum = decimal(110, invalid, invalid);
    request.expire_at = match (message.get(bytes, 126), message.get(bytes, 432)) {
        (Some(time), _) => timestamp(time).ok_or_else(|| out_of_range(126))?,
        (None, Some(date)) => UtcNanos(
            date_of(date)
                .ok_or_else(|| out_of_range(432))?
                .0
                .saturating_add(UtcNanos::DAY),
        ),
        (None, None) => UtcNanos(0),
    };
    // A replace must know what is stated from what is not; a scope without its instruction is no value.
    let is_stated = |tag: u32| message.get(bytes, tag).is_some();
    let instructions = instructions(message, bytes);
    request.instructions = instructions.filter(|_| is_stated(18));
    let prevention = self_trade_prevention(message, bytes);
    request.self_trade_prevention = prevention.filter(|_| is_stated(2964));
    let account = account(message, bytes);
    request.account = account.filter(|_| is_stated(1)).map(AccountId);
    let unsupported = UNSUPPORTED
        .iter()
        .find(|tag| message.get(bytes, **tag).is_some())
        .copied();
    let found = if request.side().is_none() {
        Some((Reason::UnsupportedSide, 54))
    } else if request.order_type().is_none() {
        Some((Reason::UnsupportedOrderType, 40))
    } else if request.time_in_force().is_none() {
        Some((Reason::UnsupportedTimeInForce, 59))
    } else if let Some(tag) = unsupported {
        Some((Reason::UnsupportedInstruction, tag))
    } else if instructions.is_none() {
        Some((Reason::UnsupportedInstruction, 18))
    } else if two_displays {
        Some((Reason::DisplayQuantityInvalid, 111))
    } else if request.display == Some(Decimal8(0)) {
        // FIX's hidden order.
        Some((Reason::UnsupportedInstruction, shown))
    } else if prevention.is_none() {
        Some((Reason::UnsupportedSelfTradePrevention, 2964))
    } else if account.is_none() {
        Some((Reason::UnknownAccount, 1))
    } else {
        refusal
    };
    request.refusal = found.map(|(reason, tag)| (reason, u16::try_from(tag).unwrap_or(0)));
    Ok(if kind == b"D" {
        Request::New(request)
    } else {
        Request::Replace(request)
    })
}

/// Midnight of YYYYMMDD.
fn date_of(text: &[u8]) -> Option<UtcNanos> {
    let number = number(text).filter(|_| text.len() == 8)?;
    let number = u32::try_from(number).ok()?;
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    let known = (1970..=2500).contains(&year)
        && (1..=12).contains(&month)
        && day >= 1
        && day <= UtcNanos::days_in_month(year, month);
    known.then(|| UtcNanos::from_date(year, month, day))
}

/// ExecInst(18), values with spaces between them; `None`: something that is not there.
pub(super) fn instructions(message: &Message, bytes: &[u8]) -> Option<Instructions> {
    let Some(values) = message.get(bytes, 18) else {
        return Some(Instructions::default());
    };
    let mut all = 0;
    for value in values.split(|&byte| byte == b' ') {
        all |= match value {
            b"6" => Instructions::POST_ONLY.0,
            b"H" => Instructions::DISCONNECT_EXEMPT.0,
            _ => return None,
        };
    }
    Some(Instructions(all))
}

/// SelfMatchPreventionInstruction(2964): 1 aggressor, 2 resting, 3 both, 4 decrement; 2362 is the
/// scope: A account (default), F firm. `None`: something that is not there.
pub(super) fn self_trade_prevention(message: &Message, bytes: &[u8]) -> Option<u8> {
    match (character(message, bytes, 2964), message.get(bytes, 2362)) {
        (None, None) => Some(SelfTradePrevention::None.as_u8()),
        (Some(action @ b'1'..=b'4'), None | Some(b"A")) => Some(action - b'0'),
        (Some(action @ b'1'..=b'4'), Some(b"F")) => Some(0x10 + action - b'0'),
        _ => None,
    }
}

/// Account(1), 0 = absent; `None`: no number.
pub(super) fn account(message: &Message, bytes: &[u8]) -> Option<u32> {
    match message.get(bytes, 1) {
        None => Some(0),
        Some(text) => number(text).and_then(|number| u32::try_from(number).ok()),
    }
}

/// OrderID(37), 0 = absent, or none of ours.
pub(super) fn order_id(message: &Message, bytes: &[u8]) -> u64 {
    message.number(bytes, 37).unwrap_or(0)
}

/// First character of a field.
pub(super) fn character(message: &Message, bytes: &[u8], tag: u32) -> Option<u8> {
    message.get(bytes, tag)?.first().copied()
}

/// A number without sign that fits.
pub(super) fn unsigned<T: TryFrom<u64>>(
    message: &Message,
    bytes: &[u8],
    tag: u32,
) -> Result<Option<T>, Refusal> {
    let Some(text) = message.get(bytes, tag) else {
        return Ok(None);
    };
    let value = number(text).and_then(|value| T::try_from(value).ok());
    value.map(Some).ok_or_else(|| out_of_range(tag))
}

/// An id; absent = none.
pub(super) fn id(message: &Message, bytes: &[u8], tag: u32) -> Result<ClientOrderId, Refusal> {
    match message.get(bytes, tag) {
        Some(text) => ClientOrderId::from_text(text).map_err(|_| out_of_range(tag)),
        None => Ok(ClientOrderId::NONE),
    }
}

/// A symbol that is too long or not printable is no instrument's, and is kept as far as it fits.
pub(super) fn symbol(text: &[u8]) -> [u8; SYMBOL_LENGTH_MAX] {
    let mut out = [0; SYMBOL_LENGTH_MAX];
    for (to, from) in out.iter_mut().zip(text) {
        *to = if from.is_ascii_graphic() { *from } else { b'?' };
    }
    out
}
