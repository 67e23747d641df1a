//! NewOrderSingle(D), OrderCancelRequest(F) and OrderCancelReplaceRequest(G) as values.

use super::codec::{Message, timestamp};
use crate::types::{
    AccountId, ClientOrderId, Decimal8, DecimalError, Instructions, OrderType, Reason,
    SelfTradePrevention, Side, TimeInForce, UtcNanos,
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
    /// Account(1) as a number, 0 = absent.
    pub account: AccountId,
    /// StopPx(99).
    pub stop_price: Option<Decimal8>,
    /// MaxFloor(111) or DisplayQty(1138).
    pub display: Option<Decimal8>,
    /// MinQty(110).
    pub minimum: Option<Decimal8>,
    /// ExpireTime(126), or the end of ExpireDate(432); 0 = absent.
    pub expire_at: UtcNanos,
    /// ExecInst(18).
    pub instructions: Instructions,
    /// SelfMatchPreventionInstruction(2964) and scope, as `SelfTradePrevention`.
    pub self_trade_prevention: u8,
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
const UNSUPPORTED: &[u32] = &[210];
/// Nanoseconds of a day.
const DAY_NS: u64 = 86_400 * UtcNanos::SECOND;

/// Reads the order fields of a message that passed the dictionary. `Err(tag)`: that field's value
/// cannot be used at session level (373=5).
pub(super) fn read(message: &Message, bytes: &[u8]) -> Result<Request, u32> {
    let kind = message.message_type(bytes);
    let client_order_id = id(message, bytes, 11)?;
    let original = if kind == b"D" || kind == b"q" {
        ClientOrderId::NONE
    } else {
        id(message, bytes, 41)?
    };
    let order_id = match message.get(bytes, 37) {
        Some(text) => super::codec::number(text).unwrap_or(0),
        None => 0,
    };
    let symbol = symbol(message.get(bytes, 55).unwrap_or_default());
    let one = |tag| {
        message
            .get(bytes, tag)
            .and_then(|value| value.first().copied())
    };
    let side = one(54).unwrap_or(0);
    if kind == b"F" {
        return Ok(Request::Cancel(CancelRequest {
            client_order_id,
            original,
            order_id,
            symbol,
            side,
        }));
    }
    if kind == b"q" {
        return Ok(Request::MassCancel(MassCancelRequest {
            client_order_id,
            kind: one(530).unwrap_or(0),
            symbol,
            side,
        }));
    }
    let mut request = OrderRequest {
        account: AccountId(0),
        stop_price: None,
        display: None,
        minimum: None,
        expire_at: UtcNanos(0),
        instructions: Instructions::default(),
        self_trade_prevention: 0,
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
    let shown = if message.get(bytes, 1138).is_some() {
        1138
    } else {
        111
    };
    request.display = decimal(shown, invalid, invalid);
    let invalid = Reason::MinimumQuantityInvalid;
    request.minimum = decimal(110, invalid, invalid);
    request.expire_at = match (message.get(bytes, 126), message.get(bytes, 432)) {
        (Some(time), _) => timestamp(time).ok_or(126u32)?,
        (None, Some(date)) => UtcNanos(date_of(date).ok_or(432u32)?.0.saturating_add(DAY_NS)),
        (None, None) => UtcNanos(0),
    };
    let instructions = match message.get(bytes, 18) {
        None => Some(Instructions::default()),
        Some(b"6") => Some(Instructions::POST_ONLY),
        Some(_) => None,
    };
    request.instructions = instructions.unwrap_or_default();
    // 1 aggressor, 2 resting, 3 both, 4 decrement; 2362 is the scope: A account (default), F firm.
    let prevention = match (one(2964), message.get(bytes, 2362)) {
        (None, None) => Some(SelfTradePrevention::None.as_u8()),
        (Some(action @ b'1'..=b'4'), None | Some(b"A")) => Some(action - b'0'),
        (Some(action @ b'1'..=b'4'), Some(b"F")) => Some(0x10 + action - b'0'),
        _ => None,
    };
    request.self_trade_prevention = prevention.unwrap_or_default();
    let account = match message.get(bytes, 1) {
        None => Some(0),
        Some(text) => super::codec::number(text).and_then(|number| u32::try_from(number).ok()),
    };
    request.account = AccountId(account.unwrap_or_default());
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
    let number = super::codec::number(text).filter(|_| text.len() == 8)?;
    let number = u32::try_from(number).ok()?;
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    let known = (1970..=2500).contains(&year)
        && (1..=12).contains(&month)
        && day >= 1
        && day <= UtcNanos::days_in_month(year, month);
    known.then(|| UtcNanos::from_date(year, month, day))
}

fn id(message: &Message, bytes: &[u8], tag: u32) -> Result<ClientOrderId, u32> {
    match message.get(bytes, tag) {
        Some(text) => ClientOrderId::from_text(text).map_err(|_| tag),
        None => Ok(ClientOrderId::NONE),
    }
}

/// A symbol that is too long or not printable is no instrument's, and is kept as far as it fits.
fn symbol(text: &[u8]) -> [u8; SYMBOL_LENGTH_MAX] {
    let mut out = [0; SYMBOL_LENGTH_MAX];
    for (to, from) in out.iter_mut().zip(text) {
        *to = if from.is_ascii_graphic() { *from } else { b'?' };
    }
    out
}
