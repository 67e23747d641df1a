//! The matching core: a pure function of (state, sequenced command).
//!
//! Called by the engine agent (live), by recovery (replay) and by tests, always the same way:
//! [`Engine::apply`], then [`Engine::resume`] until [`Progress::Done`]. It never reads a clock, a
//! socket, a file, an environment variable or a random number, never allocates after
//! construction and never fails: a refusal is an event.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod command;
pub mod event;
