//! trading-engine: an exchange gateway and matching engine. `ARCHITECTURE.md` draws the picture;
//! each folder is one box of it.

pub mod agent;
pub mod clock;
pub mod engine;
pub mod gateway;
pub mod journal;
pub mod limits;
pub mod ring;
pub mod sequencer;
