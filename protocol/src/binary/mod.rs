//! The binary order-entry protocol: flat SBE messages in 16-byte frames, and a small session,
//! *challenge, Logon, replay by number, live*. `BINARY.md` is the rule book, `schema/` the contract.

pub mod acceptor;
pub mod frame;
pub mod initiator;
pub mod message;

pub use acceptor::{
    Acceptor, AcceptorSettings, Action, LogonRequest, MASS_CANCEL_BY_ACCOUNT, Received,
};
pub use frame::{Frame, FrameError, FrameHeader, decode_frame, write_message};
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
