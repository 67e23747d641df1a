//! The vocabulary of the venue: ids, prices, order attributes, reasons and times.
//!
//! Both protocols translate to and from these types, and the matching core imports nothing else
//! of this crate. One id is one newtype; converting between them is always by name.

mod client_order_id;
mod decimal;
mod digits;
mod ids;
mod order;
mod reason;
mod time;

pub use client_order_id::{ClientOrderId, ClientOrderIdError};
pub use decimal::{Decimal8, DecimalError};
pub(crate) use decimal::{MISSING, is_float};
pub(crate) use digits::{NUMBER_ROOM, eight, put_eight, read_eight, write_u64};
pub use ids::{
    AccountId, Epoch, ExecId, FirmId, Generation, InstrumentId, OrderId, Price, Quantity, Sequence,
    SessionId, SessionSequence, TradeId,
};
pub use order::{
    CANCEL_GRACE_MS_MAX, ExecutionKind, Instructions, KillScope, Liquidity, MassCancelScope,
    OrderStatus, OrderType, ProtectionLimit, QuoteCancelScope, QuoteStatus, Roles,
    SelfTradePrevention, SessionProtocol, Side, TimeInForce, TradingPhase, UnknownValue,
};
pub use reason::Reason;
pub use time::UtcNanos;
