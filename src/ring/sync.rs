//! Atomics, or loom's model of them.

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell as Witness,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

/// Keeps a value on its own pair of cache lines (the prefetcher fetches lines in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);
