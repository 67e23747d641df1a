//! The binary order-entry protocol: flat SBE messages in 16-byte frames, and a small session,
//! *challenge, Logon, replay by number, live*. `BINARY.md` is the rule book, `schema/` the contract.

pub mod acceptor;
pub mod frame;
pub mod initiator;
pub mod message;

pub use acceptor::{Acceptor, AcceptorSettings, Action, LogonRequest, Received};
pub use frame::{
    Entries, Frame, FrameError, FrameHeader, decode_frame, write_group_message, write_message,
};
pub use initiator::{ClientAction, Initiator, LogonSettings};

/// SBE schema id of order entry.
pub const SCHEMA_ID: u8 = 1;
/// Version this build speaks.
pub const VERSION: u8 = 1;
/// Oldest client version still served.
pub const VERSION_MIN: u8 = 1;
/// Longest frame in bytes.
pub const FRAME_LENGTH_MAX: usize = 4096;
/// What a price is when there is none.
pub const NULL_PRICE: i64 = i64::MIN;
/// First part of what a Logon signs.
pub const LOGON_CONTEXT: &[u8; 10] = b"TE-LOGON-1";
/// Bytes of what a Logon signs.
pub const SIGNED_LENGTH: usize = LOGON_CONTEXT.len() + 32 + size_of::<message::Logon>();
/// Logon flag: the client is told of trading phases.
pub const LOGON_TRADING_STATUS: u16 = 1;
/// OrdStatus(39) of an id, not of an order: it was replaced, and the order answers to its newest.
pub const STATUS_REPLACED: u8 = 5;

/// What a Logon signs: the context, the server's nonce, the Logon block with its signature zero.
pub fn logon_text(nonce: &[u8; 32], logon: &message::Logon) -> [u8; SIGNED_LENGTH] {
    use zerocopy::IntoBytes as _;
    let unsigned = message::Logon {
        signature: [0; 64],
        ..*logon
    };
    let mut text = [0u8; SIGNED_LENGTH];
    let (context, rest) = text.split_at_mut(LOGON_CONTEXT.len());
    context.copy_from_slice(LOGON_CONTEXT);
    rest[..32].copy_from_slice(nonce);
    rest[32..].copy_from_slice(unsigned.as_bytes());
    text
}

/// Flag of a mass cancel: quotes only.
pub const MASS_CANCEL_QUOTES: u8 = 4;
/// Flag of a mass cancel: orders only.
pub const MASS_CANCEL_ORDERS: u8 = 8;
/// Flag of a mass cancel: of one account.
pub const MASS_CANCEL_BY_ACCOUNT: u8 = 16;
/// Flag of a mass quote: the answer has a result for every side.
pub const MASS_QUOTE_FULL_ACK: u16 = 1;
/// Flag of a mass quote: a quote that would trade at once is not entered.
pub const MASS_QUOTE_POST_ONLY: u16 = 2;
/// Flag of a mass quote: refused by name.
pub const MASS_QUOTE_ALL_OR_NONE: u16 = 4;
/// Id of the field that has an entry's layer.
pub const QUOTE_LAYER_FIELD: u16 = 30036;
/// Flag of a quote entry: says nothing of the bid.
pub const QUOTE_NO_BID: u16 = 1;
/// Flag of a quote entry: says nothing of the ask.
pub const QUOTE_NO_ASK: u16 = 2;
