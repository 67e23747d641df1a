//! One file an engine: how the stream's commands become its requests, and what was chosen for it.
//!
//! Requests are made before the clock starts. [`Peer::apply`] is what is timed; [`Peer::report`]
//! does the same and says which trades came of it.

#[cfg(feature = "survey")]
pub mod matchcore;
#[cfg(feature = "survey")]
pub mod nanobook;
pub mod obcore;
pub mod orderbook_rs;
pub mod ours;

/// A trade in the workload's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    pub maker: u64,
    pub taker: u64,
    pub price: i64,
    pub quantity: u64,
}

/// What rests in all books together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub orders: u64,
    pub lots: u64,
}

/// A matching engine on the clock. Positions count from the first command of the prefill.
pub trait Peer: Sized {
    /// All commands of a stream, ready to be applied.
    type Requests;

    /// Books without orders, one for each instrument.
    fn new(requests: &Self::Requests) -> Self;

    /// Applies one command; what the engine answers is made, and not read.
    fn apply(&mut self, requests: &Self::Requests, at: usize);

    /// Applies one command and passes its trades on, in order.
    fn report(&mut self, requests: &Self::Requests, at: usize, each: &mut dyn FnMut(Trade));

    /// Off the clock, between blocks: drops records that the engine's user is told to drop.
    fn settle(&mut self) {}

    fn open(&self) -> Open;
}
