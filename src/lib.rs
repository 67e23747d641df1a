//! trading-engine: an exchange gateway and matching engine. `ARCHITECTURE.md` draws the picture;
//! each folder is one box of it.

pub mod admin;
pub mod agent;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod engine;
pub mod gateway;
pub mod journal;
pub mod limits;
pub mod market_data;
pub mod metric_names;
pub mod ring;
pub mod schedule;
pub mod sequencer;

pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod topology;
pub mod trading_day;
