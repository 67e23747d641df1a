//! The edge: sockets in, commands out; durable events in, bytes out.

pub mod authenticator;
mod connection;
pub mod keystore;
mod outbox;
pub mod reference;
