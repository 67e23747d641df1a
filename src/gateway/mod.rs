//! The edge: sockets in, commands out; durable events in, bytes out.

pub mod authenticator;
pub mod keystore;
pub mod reference;
