//! Sans-IO order-entry protocols: bytes and `now` in, bytes and messages out.
//!
//! The gateway and every client (load generator, maker bot, command-line trader) drive the same
//! state machines. Nothing here opens a socket, reads a clock, spawns a task or draws a random
//! number; time and nonces are arguments.
//!
//! * [`types`]: the words both protocols and the matching core share
//! * [`fix`]: FIX 4.4 codec, dictionary and session
//! * [`binary`]: SBE frames and their session

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

#[cfg(not(target_endian = "little"))]
compile_error!("wire and journal layouts are little-endian structs read in place");

pub mod binary;
pub mod fix;
pub mod types;
