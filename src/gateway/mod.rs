//! The edge: sockets in, commands out; durable events in, bytes out.
//!
//! * `poller`: one agent, its sockets, the event ring and every timer
//! * `admissions`: how many connections there may be
//! * `connection`: a socket and its buffers; `outbox`: the way into the log
//! * `binary`, `fix`: a connection's protocol, translated to commands and from events
//! * `quotes`: mass quotes between the wire's units and the core's
//! * `statuses`: what FIX clients asked to be told of trading phases
//! * `reference`: instruments and sessions by name; `keystore`, `authenticator`: credentials
//! * `waiting`, `failures`: whose credentials are checked next, and whose not for now

mod admissions;
pub mod authenticator;
mod binary;
mod connection;
mod context;
mod door;
mod failures;
mod fix;
#[cfg(test)]
mod golden;
pub mod keystore;
mod outbox;
pub mod poller;
mod quotes;
pub mod reference;
mod statuses;
mod waiting;

pub use admissions::Admissions;
pub use outbox::Outbox;
pub use poller::{Gateway, GatewayLinks, GatewaySettings, GatewayStats, Home, Listeners, Stages};
