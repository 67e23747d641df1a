//! A published counter: one thread writes it, any thread reads it.

use super::sync::{Arc, AtomicU64, Ordering, Padded};

/// A `u64` that only grows, such as the durable Sequence. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// Written by the one publisher, read by everyone.
    value: Arc<Padded<AtomicU64>>,
}

impl Cursor {
    /// A cursor at `value`.
    pub fn new(value: u64) -> Self {
        Self {
            value: Arc::new(Padded(AtomicU64::new(value))),
        }
    }

    /// Moves it. Everything the publisher wrote before is visible to whoever reads the new value.
    #[inline]
    pub fn publish(&self, value: u64) {
        debug_assert!(
            value >= self.value.0.load(Ordering::Relaxed),
            "Invariant: a cursor grows"
        );
        self.value.0.store(value, Ordering::Release);
    }

    /// The newest value published.
    #[inline]
    pub fn get(&self) -> u64 {
        self.value.0.load(Ordering::Acquire)
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self::new(0)
    }
}
