//! FIX 4.4: codec, dictionary, and both sides of the session. `FIX.md` is the rule book,
//! `schema/` has the dictionary that clients load.

pub mod acceptor;
pub mod codec;
pub mod desk;
pub mod dictionary;
pub mod encode;
pub mod initiator;
pub mod order;
pub mod quote;
mod validate;

pub use acceptor::{
    Acceptor, AcceptorSettings, Action, Content, LogonRequest, SecurityStatus, SessionStatus,
};
pub use codec::{Decoded, Field, Message, decode};
pub use desk::{
    CancelAfterRequest, KillRequest, MassStatusRequest, ProtectionRequest, SecurityStatusRequest,
    SessionStatusRequest, StatusRequest, Subscription, TRADING_SESSION,
};
pub use encode::{Header, MessageWriter};
pub use initiator::{ClientAction, Initiator, InitiatorSettings};
pub use order::{CancelRequest, MassCancelRequest, OrderRequest, Request};
pub use quote::{MassQuoteRequest, QuoteCancelRequest, QuoteEntryRequest, QuoteSide};
pub use validate::{Refusal, validate};

/// Field separator.
pub const SOH: u8 = 1;
/// BeginString(8).
pub const BEGIN_STRING: &[u8] = b"FIX.4.4";
/// Longest message in bytes: a mass quote of as many entries as there may be, or its answer, with ids
/// and symbols of full length.
pub const MESSAGE_LENGTH_MAX: usize = 32_768;
/// Most fields in a message.
pub const FIELDS_MAX: usize = 1024;
/// Most entries of a mass quote, over all its sets.
pub const QUOTE_ENTRIES_MAX: usize = 100;
