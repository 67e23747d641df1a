//! FIX 4.4: codec, dictionary, and both sides of the session. `FIX.md` is the rule book,
//! `schema/` has the dictionary that clients load.

pub mod acceptor;
pub mod codec;
pub mod dictionary;
pub mod encode;
pub mod initiator;
pub mod order;
mod validate;

pub use acceptor::{Acceptor, AcceptorSettings, Action, Content, LogonRequest};
pub use codec::{Decoded, Field, Message, decode};
pub use encode::{Header, MessageWriter};
pub use initiator::{ClientAction, Initiator, InitiatorSettings};
pub use order::{CancelRequest, MassCancelRequest, OrderRequest, Request};
pub use validate::{Refusal, validate};

/// Field separator.
pub const SOH: u8 = 1;
/// BeginString(8).
pub const BEGIN_STRING: &[u8] = b"FIX.4.4";
/// Longest message in bytes.
pub const MESSAGE_LENGTH_MAX: usize = 8192;
/// Most fields in a message.
pub const FIELDS_MAX: usize = 256;
