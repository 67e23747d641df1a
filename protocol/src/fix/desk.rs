//! What a desk asks and sets beside its orders, as values: OrderStatusRequest(H),
//! OrderMassStatusRequest(AF), SecurityStatusRequest(e), TradingSessionStatusRequest(g), and this venue's own KillSwitchRequest(U1),
//! ProtectionConfigRequest(U3), ProtectionResetRequest(U4) and CancelAfterRequest(U6).

use super::codec::Message;
use super::order::{
    Request, SYMBOL_LENGTH_MAX, character, id, missing, order_id, out_of_range, symbol, unsigned,
};
use super::validate::Refusal;
use crate::types::{ClientOrderId, KillScope};

/// H.
#[derive(Clone, Copy, Debug)]
pub struct StatusRequest {
    /// OrdStatusReqID(790), or none.
    pub request: ClientOrderId,
    /// ClOrdID(11) of the order, or none.
    pub original: ClientOrderId,
    /// OrderID(37), 0 = absent.
    pub order_id: u64,
    /// Symbol(55), zero-padded; empty = absent.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// Side(54) as sent, 0 = absent.
    pub side: u8,
}

/// AF.
#[derive(Clone, Copy, Debug)]
pub struct MassStatusRequest {
    /// MassStatusReqID(584).
    pub request: ClientOrderId,
    /// Symbol(55), zero-padded; empty = all.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// Side(54) as sent, 0 = both.
    pub side: u8,
}

/// SubscriptionRequestType(263).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Once, as it is now.
    Snapshot,
    /// As it is now, and each change.
    Subscribe,
    /// No change any more.
    Unsubscribe,
}

/// e.
#[derive(Clone, Copy, Debug)]
pub struct SecurityStatusRequest {
    /// SecurityStatusReqID(324).
    pub request: ClientOrderId,
    /// Symbol(55), zero-padded.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// TradingSessionID(336) is absent, or the one that there is.
    pub is_known: bool,
    /// SubscriptionRequestType(263).
    pub subscription: Subscription,
}

/// g.
#[derive(Clone, Copy, Debug)]
pub struct SessionStatusRequest {
    /// TradSesReqID(335).
    pub request: ClientOrderId,
    /// TradingSessionID(336), zero-padded; absent, it is the one that there is.
    pub session: [u8; SYMBOL_LENGTH_MAX],
    /// It is that one, and TradSesMethod(338) is electronic(1), if given.
    pub is_known: bool,
    /// SubscriptionRequestType(263).
    pub subscription: Subscription,
}

/// TradingSessionID(336) of the one trading session that there is: the day.
pub const TRADING_SESSION: &[u8] = b"1";
/// TradSesMethod(338) of it.
const ELECTRONIC: &[u8] = b"1";

/// U1.
#[derive(Clone, Copy, Debug)]
pub struct KillRequest {
    /// ClOrdID(11).
    pub client_order_id: ClientOrderId,
    /// KillScope(35012), as `KillScope`.
    pub scope: u8,
    /// KillTarget(35013), 0 = absent.
    pub target: u32,
    /// Symbol(55) instead of a target, zero-padded; empty = absent.
    pub symbol: [u8; SYMBOL_LENGTH_MAX],
    /// KillRelease(35014).
    pub release: bool,
}

/// U6.
#[derive(Clone, Copy, Debug)]
pub struct CancelAfterRequest {
    /// CancelAfterTime(35031), milliseconds, 0 = not any more.
    pub after_ms: u32,
}

/// U3; U4 has the first two.
#[derive(Clone, Copy, Debug)]
pub struct ProtectionRequest {
    /// ClOrdID(11).
    pub client_order_id: ClientOrderId,
    /// ProtectionGroup(9019).
    pub protection_group: u16,
    /// ProtectionQuantity(35020), lots.
    pub quantity: u64,
    /// ProtectionNet(35021), lots.
    pub net: u64,
    /// ProtectionFills(35022).
    pub fills: u32,
    /// ProtectionWindow(35023), milliseconds.
    pub window_ms: u32,
    /// ProtectionFreeze(35024), milliseconds.
    pub freeze_ms: u32,
}

pub(super) fn status(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    if message.get(bytes, 11).is_none() && message.get(bytes, 37).is_none() {
        return Err(missing(11));
    }
    Ok(Request::Status(StatusRequest {
        request: id(message, bytes, 790)?,
        original: id(message, bytes, 11)?,
        order_id: order_id(message, bytes),
        symbol: symbol(message.get(bytes, 55).unwrap_or_default()),
        side: character(message, bytes, 54).unwrap_or(0),
    }))
}

/// 585=7 is about all, 1 about one symbol.
pub(super) fn mass_status(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    let of_all = message.get(bytes, 585) == Some(b"7");
    match message.get(bytes, 55) {
        Some(_) if of_all => return Err(out_of_range(585)),
        None if !of_all => return Err(missing(55)),
        _ => {}
    }
    Ok(Request::MassStatus(MassStatusRequest {
        request: id(message, bytes, 584)?,
        symbol: symbol(message.get(bytes, 55).unwrap_or_default()),
        side: character(message, bytes, 54).unwrap_or(0),
    }))
}

fn subscription(message: &Message, bytes: &[u8]) -> Subscription {
    match message.get(bytes, 263) {
        Some(b"1") => Subscription::Subscribe,
        Some(b"2") => Subscription::Unsubscribe,
        _ => Subscription::Snapshot,
    }
}

fn is_or_absent(message: &Message, bytes: &[u8], tag: u32, value: &[u8]) -> bool {
    message.get(bytes, tag).is_none_or(|given| given == value)
}

pub(super) fn security_status(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    Ok(Request::SecurityStatus(SecurityStatusRequest {
        request: id(message, bytes, 324)?,
        symbol: symbol(message.get(bytes, 55).unwrap_or_default()),
        is_known: is_or_absent(message, bytes, 336, TRADING_SESSION),
        subscription: subscription(message, bytes),
    }))
}

pub(super) fn session_status(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    let session = message.get(bytes, 336).unwrap_or(TRADING_SESSION);
    Ok(Request::SessionStatus(SessionStatusRequest {
        request: id(message, bytes, 335)?,
        session: symbol(session),
        is_known: session == TRADING_SESSION && is_or_absent(message, bytes, 338, ELECTRONIC),
        subscription: subscription(message, bytes),
    }))
}

/// The venue is the only scope without a target.
pub(super) fn kill_switch(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    let scope = unsigned(message, bytes, 35012)?.unwrap_or(0);
    let target = unsigned(message, bytes, 35013)?;
    let symbol = symbol(message.get(bytes, 55).unwrap_or_default());
    let named = message.get(bytes, 55).is_some();
    if named && (target.is_some() || scope != KillScope::Instrument.as_u8()) {
        return Err(out_of_range(55));
    }
    let of_venue = scope == KillScope::Venue.as_u8();
    match target {
        None if !of_venue && !named => return Err(missing(35013)),
        Some(_) if of_venue => return Err(out_of_range(35013)),
        _ => {}
    }
    Ok(Request::Kill(KillRequest {
        client_order_id: id(message, bytes, 11)?,
        scope,
        target: target.unwrap_or(0),
        symbol,
        release: message.get(bytes, 35014) == Some(b"Y"),
    }))
}

pub(super) fn cancel_after(message: &Message, bytes: &[u8]) -> Result<Request, Refusal> {
    Ok(Request::CancelAfter(CancelAfterRequest {
        after_ms: unsigned(message, bytes, 35031)?.unwrap_or(0),
    }))
}

pub(super) fn protection(message: &Message, bytes: &[u8]) -> Result<ProtectionRequest, Refusal> {
    Ok(ProtectionRequest {
        client_order_id: id(message, bytes, 11)?,
        protection_group: unsigned(message, bytes, 9019)?.unwrap_or(0),
        quantity: unsigned(message, bytes, 35020)?.unwrap_or(0),
        net: unsigned(message, bytes, 35021)?.unwrap_or(0),
        fills: unsigned(message, bytes, 35022)?.unwrap_or(0),
        window_ms: unsigned(message, bytes, 35023)?.unwrap_or(0),
        freeze_ms: unsigned(message, bytes, 35024)?.unwrap_or(0),
    })
}
