//! What history's answers look like: plain rows with ids, decimals and times as text, for JSON and its
//! schema. `history` fills them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use trading_engine_protocol::types::{
    OrderStatus, OrderType, QuoteStatus, Reason, Side, TimeInForce, TradingPhase, UtcNanos,
};
use utoipa::ToSchema;

/// An id of the venue. Text in JSON: not every reader's numbers have 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "16777216")]
pub struct Id(pub u64);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time in ns UTC; in JSON as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "2026-01-30T09:00:00.000000001Z")]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = UtcNanos(self.0).date();
        let second = self.0 / UtcNanos::SECOND % 86_400;
        let (hour, minute, second, ns) = (
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.0 % UtcNanos::SECOND,
        );
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z"
        )
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a page ended: opaque to clients, ids joined by dots.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, example = "16777216")]
pub struct Cursor(pub(super) Vec<i64>);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(f, "{dot}{number}")?;
        }
        Ok(())
    }
}

/// A cursor that no page ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a cursor of this list")
    }
}

impl std::error::Error for CursorError {}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let numbers: Result<Vec<i64>, _> = text.split('.').map(str::parse).collect();
        match numbers {
            Ok(numbers) if numbers.len() <= 3 => Ok(Self(numbers)),
            _ => Err(CursorError),
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Some rows, the newest first, and where the next ones begin.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Cursor of the next page; none: this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// An order as its last report stated it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "FIX's words")]
pub struct OrderRow {
    pub order_id: Id,
    pub session: u32,
    pub firm: u32,
    pub account: u32,
    pub instrument: u32,
    pub symbol: String,
    pub client_order_id: String,
    pub side: &'static str,
    pub order_type: &'static str,
    pub time_in_force: &'static str,
    pub status: &'static str,
    pub price: Option<String>,
    pub quantity: String,
    pub leaves: String,
    pub cumulative: String,
    pub average_price: Option<String>,
    pub stop_price: Option<String>,
    pub display_quantity: Option<String>,
    pub minimum_quantity: Option<String>,
    pub expire_at: Option<Time>,
    pub post_only: bool,
    pub is_quote: bool,
    pub protection_group: u16,
    /// Of the last report; none: nothing was wrong.
    pub reason: Option<&'static str>,
    pub entered_at: Time,
    pub updated_at: Time,
    /// Of its last event.
    pub sequence: u64,
    pub index: u32,
}

/// An execution report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "FIX's words")]
pub struct ExecutionRow {
    pub exec_id: Id,
    pub sequence: u64,
    pub index: u32,
    pub at: Time,
    pub received_at: Option<Time>,
    /// What happened: `accepted`, `replaced`, `canceled`, `rejected`, `fill`, `triggered`, `restated`,
    /// `busted`, `corrected`.
    pub kind: &'static str,
    pub reason: Option<&'static str>,
    pub session: u32,
    /// Number of the message to the session, in its numbering run.
    pub session_sequence: u64,
    pub epoch: u32,
    pub order_id: Option<Id>,
    pub client_order_id: String,
    /// Replaced: the id before. Canceled: the request's. Quotes: QuoteEntryID(299).
    pub request_id: Option<String>,
    pub instrument: u32,
    /// As sent, when the venue does not know it.
    pub symbol: Option<String>,
    pub account: u32,
    pub side: &'static str,
    pub order_type: &'static str,
    pub time_in_force: &'static str,
    pub status: &'static str,
    pub price: Option<String>,
    pub quantity: String,
    pub leaves: String,
    pub cumulative: String,
    /// Quantity that a cancel or restatement took off.
    pub reduced: Option<String>,
    pub last_price: Option<String>,
    pub last_quantity: Option<String>,
    /// `added`, `removed`, `auction`.
    pub liquidity: Option<&'static str>,
    pub trade_id: Option<Id>,
    /// Busts and corrections: the fill.
    pub reference_exec_id: Option<Id>,
    pub new_price: Option<String>,
    pub stop_price: Option<String>,
    pub display_quantity: Option<String>,
    pub minimum_quantity: Option<String>,
    pub expire_at: Option<Time>,
    pub is_quote: bool,
}

/// One side of a trade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "FIX's words")]
pub struct TradeSide {
    pub order_id: Id,
    pub exec_id: Id,
    pub session: u32,
    pub firm: u32,
    pub account: u32,
}

/// A trade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "FIX's words")]
pub struct TradeRow {
    pub trade_id: Id,
    pub sequence: u64,
    pub index: u32,
    pub at: Time,
    pub instrument: u32,
    pub symbol: String,
    /// What it traded at.
    pub price: String,
    pub quantity: String,
    /// Side that removed liquidity; none in an auction.
    pub aggressor: Option<&'static str>,
    pub buy: TradeSide,
    pub sell: TradeSide,
    pub busted: bool,
    pub corrected_price: Option<String>,
    /// Sequence of the bust or correction.
    pub amended_sequence: Option<u64>,
}

/// A position from all trades there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "FIX's words")]
pub struct PositionRow {
    pub firm: u32,
    pub account: u32,
    pub instrument: u32,
    pub symbol: String,
    pub bought: String,
    pub sold: String,
    /// Bought less sold.
    pub net: String,
    pub average_bought_price: Option<String>,
    pub average_sold_price: Option<String>,
    pub sequence: u64,
}

/// One side of a quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "FIX's words")]
pub struct QuoteSide {
    pub order_id: Option<Id>,
    pub price: Option<String>,
    pub quantity: String,
    pub status: &'static str,
    pub reason: Option<&'static str>,
}

/// What became of an entry of a mass quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "FIX's words")]
pub struct QuoteRow {
    pub sequence: u64,
    pub index: u32,
    /// Place in the message, from 0.
    pub entry: u32,
    pub at: Time,
    pub session: u32,
    pub account: u32,
    pub quote_id: String,
    pub entry_id: Option<String>,
    pub protection_group: u16,
    /// Why the whole message was refused.
    pub reason: Option<&'static str>,
    pub instrument: Option<u32>,
    pub symbol: Option<String>,
    pub layer: Option<u16>,
    pub bid: Option<QuoteSide>,
    pub ask: Option<QuoteSide>,
}

/// What one of the venue's people did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditRow {
    /// Where it begins in the log.
    pub sequence: u64,
    /// Event of the command.
    pub index: u32,
    /// When.
    pub at: Time,
    /// Id of the HTTP request, hex.
    pub request: String,
    /// Who.
    pub actor: String,
    /// In which role.
    pub role: &'static str,
    /// What: the command's name, or `KeyRotated`, `UserChanged`.
    pub action: String,
    /// What it was about: an instrument, firm, session, ...; 0 = nothing that has a number.
    pub target: u64,
    /// What was asked for: scope and state of a kill switch, a phase, a user and the role given; of definitions,
    /// limits, reference prices, amended trades and days what they are, once they were taken.
    pub detail: Option<String>,
    /// From where.
    pub address: String,
    /// Where it ends in the log; none: it has not.
    pub ended_sequence: Option<u64>,
    /// Why it was refused; none: it was not.
    pub reason: Option<&'static str>,
}

/// Anything else that happened.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventRow {
    /// The command.
    pub sequence: u64,
    /// Event of it.
    pub index: u32,
    /// When.
    pub at: Time,
    /// What, by the event's name, such as `LogonAnswered`.
    pub kind: String,
    /// Whose, 0 = the venue's.
    pub session: u32,
    /// Why it was refused or ended.
    pub reason: Option<&'static str>,
    /// What the event says, by its kind; prices in units of the instrument, quantities in lots, times in ns UTC.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// `units` of 10^-8 times `unit_e8`, with at least `decimals_min` decimals.
pub(super) fn decimal(units: i64, unit_e8: i64, decimals_min: u8) -> String {
    text_e8(i128::from(units) * i128::from(unit_e8), decimals_min)
}

pub(super) fn text_e8(mantissa: i128, decimals_min: u8) -> String {
    let sign = if mantissa < 0 { "-" } else { "" };
    let magnitude = mantissa.unsigned_abs();
    let (whole, part) = (magnitude / 100_000_000, magnitude % 100_000_000);
    let mut decimals = format!("{part:08}");
    while decimals.len() > usize::from(decimals_min.min(8)) && decimals.ends_with('0') {
        decimals.pop();
    }
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{decimals}")
}

/// What a lot cost on average, `notional` being a sum of price units times lots; rounded half away from 0
/// at the eighth decimal. `None`: there are no lots, or numbers no venue has.
pub(super) fn average(notional: i128, lots: i64, unit_e8: i64, decimals_min: u8) -> Option<String> {
    let lots = i128::from(lots);
    if lots <= 0 {
        return None;
    }
    let sum = notional.checked_mul(i128::from(unit_e8))?;
    let half = if sum < 0 { -lots / 2 } else { lots / 2 };
    Some(text_e8(sum.checked_add(half)? / lots, decimals_min))
}

const UNKNOWN: &str = "unknown";

pub(super) fn side(number: u8) -> &'static str {
    match Side::try_from(number) {
        Ok(Side::Buy) => "buy",
        Ok(Side::Sell) => "sell",
        Err(_) => UNKNOWN,
    }
}

pub(super) fn order_type(number: u8) -> &'static str {
    match OrderType::try_from(number) {
        Ok(OrderType::Market) => "market",
        Ok(OrderType::Limit) => "limit",
        Ok(OrderType::Stop) => "stop",
        Ok(OrderType::StopLimit) => "stop-limit",
        Ok(OrderType::MarketToLimit) => "market-to-limit",
        Err(_) => UNKNOWN,
    }
}

pub(super) fn time_in_force(number: u8) -> &'static str {
    match TimeInForce::try_from(number) {
        Ok(TimeInForce::Day) => "day",
        Ok(TimeInForce::GoodTillCancel) => "gtc",
        Ok(TimeInForce::AtTheOpening) => "opening",
        Ok(TimeInForce::ImmediateOrCancel) => "ioc",
        Ok(TimeInForce::FillOrKill) => "fok",
        Ok(TimeInForce::GoodTillDate) => "gtd",
        Ok(TimeInForce::AtTheClose) => "closing",
        Err(_) => UNKNOWN,
    }
}

pub(super) fn status(number: u8) -> &'static str {
    match OrderStatus::try_from(number) {
        Ok(OrderStatus::New) => "new",
        Ok(OrderStatus::PartiallyFilled) => "partially-filled",
        Ok(OrderStatus::Filled) => "filled",
        Ok(OrderStatus::Canceled) => "canceled",
        Ok(OrderStatus::Rejected) => "rejected",
        Ok(OrderStatus::Expired) => "expired",
        Err(_) => UNKNOWN,
    }
}

pub(super) fn quote_status(number: u8) -> &'static str {
    match QuoteStatus::try_from(number) {
        Ok(QuoteStatus::NotStated) => "not-stated",
        Ok(QuoteStatus::Entered) => "entered",
        Ok(QuoteStatus::Kept) => "kept",
        Ok(QuoteStatus::Removed) => "removed",
        Ok(QuoteStatus::Refused) => "refused",
        Ok(QuoteStatus::Absent) => "absent",
        Err(_) => UNKNOWN,
    }
}

/// Name of a phase, as the API has it.
pub fn phase(number: u8) -> &'static str {
    match TradingPhase::try_from(number) {
        Ok(TradingPhase::Continuous) => "continuous",
        Ok(TradingPhase::Closed) => "closed",
        Ok(TradingPhase::PreOpen) => "pre-open",
        Ok(TradingPhase::OpeningAuction) => "opening-auction",
        Ok(TradingPhase::Halted) => "halted",
        Ok(TradingPhase::VolatilityAuction) => "volatility-auction",
        Ok(TradingPhase::ClosingAuction) => "closing-auction",
        Err(_) => UNKNOWN,
    }
}

/// Text of a reason; `None`: there is none.
pub(super) fn reason(code: u16) -> Option<&'static str> {
    match Reason::try_from(code) {
        Ok(Reason::None) => None,
        Ok(reason) => Some(reason.text()),
        Err(_) => Some(UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_as_long_as_the_instrument_shows() {
        assert_eq!(decimal(10_002, 1_000_000, 2), "100.02");
        assert_eq!(decimal(10_000, 1_000_000, 2), "100.00");
        assert_eq!(decimal(-5, 10_000, 0), "-0.0005");
        assert_eq!(decimal(0, 1_000_000, 0), "0");
        assert_eq!(decimal(i64::MAX, i64::MAX, 0).len(), 30 + 1 + 8);
        assert_eq!(average(3, 2, 100_000_000, 2).unwrap(), "1.50");
        assert_eq!(average(1, 3, 100_000_000, 0).unwrap(), "0.33333333");
        assert_eq!(average(-2, 3, 100_000_000, 0).unwrap(), "-0.66666667");
        assert_eq!(average(1, 0, 1, 0), None);
    }

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = Cursor(vec![3, -4, 5]);
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "x", "1.2.3.4", "1..2", "99999999999999999999"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        let time = Time(1_340_236_800 * UtcNanos::SECOND + 3_661 * UtcNanos::SECOND + 7);
        assert_eq!(time.to_string(), "2012-06-21T01:01:01.000000007Z");
    }
}
