//! NewOrderSingle(D), OrderCancelRequest(F) and OrderCancelReplaceRequest(G) as values.

use super::codec::Message;
use crate::types::{ClientOrderId, Decimal8, DecimalError, OrderType, Reason, Side, TimeInForce};

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

impl OrderRequest {
    /// Side(54), if it is one the venue knows.
    pub fn side(&self) -> Option<Side> {
        Side::try_from(self.side.wrapping_sub(b'0')).ok()
    }

    /// OrdType(40), likewise.
    pub fn order_type(&self) -> Option<OrderType> {
        OrderType::try_from(self.order_type.wrapping_sub(b'0')).ok()
    }

    /// TimeInForce(59), likewise.
    pub fn time_in_force(&self) -> Option<TimeInForce> {
        TimeInForce::try_from(self.time_in_force.unwrap_or(b'0').wrapping_sub(b'0')).ok()
    }
}

/// Fields that change what an order means and are not there yet.
const UNSUPPORTED: &[u32] = &[18, 99, 110, 111, 126, 210, 432];

/// Reads the order fields of a message that passed the dictionary. `Err(tag)`: that field's value
/// cannot be used at session level (373=5).
pub(super) fn read(message: &Message, bytes: &[u8]) -> Result<Request, u32> {
    let kind = message.message_type(bytes);
    let client_order_id = id(message, bytes, 11)?;
    let original = if kind == b"D" {
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
    let mut request = OrderRequest {
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
    } else if message.get(bytes, 1).is_some() {
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
