//! What the ring builds on: atomics, and witnesses of who touches which word.
//!
//! `tests/ring_loom.rs` compiles the files beside this one against a `sync` of its own, made of
//! loom's atomics and cells, and so explores every interleaving of the very code that runs.

pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

/// Keeps a value on its own pair of cache lines (the prefetcher fetches lines in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// Sees every access to the buffer's words. Here it costs nothing; under loom it is a cell per
/// word, and two threads at one word without an order between them are an error.
pub(crate) struct Witnesses;

impl Witnesses {
    pub(crate) fn new(_words: usize) -> Self {
        Self
    }

    #[inline(always)]
    #[allow(clippy::unused_self, reason = "the other implementation uses it")]
    pub(crate) fn reads(&self, _index: usize, _words: usize) {}

    #[inline(always)]
    #[allow(clippy::unused_self, reason = "the other implementation uses it")]
    pub(crate) fn writes(&self, _index: usize, _words: usize) {}
}
