//! Market data, built from durable events beside the engine: the one source of console, REST and
//! Redis.
//!
//! ```text
//! event ring --> agent (market: depth, trades, statistics) --words--> feed --> any number of readers
//! ```

pub mod agent;
pub mod depth;
pub mod feed;
mod levels;
pub mod market;
mod seqlock;
pub mod state;
