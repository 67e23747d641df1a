//! Waking a parked thread without a syscall while it is awake.

use super::sync::{AtomicBool, Ordering, Padded, fence};

/// One per thread that parks. The thread arms it, looks at its inputs once more, and parks; a
/// publisher rings it after publishing.
///
/// Either the thread's second look sees what was published, or the publisher sees the thread
/// armed: both sides put a full fence between their store and their load.
pub struct Doorbell {
    /// Set by the owner before it parks, cleared by whoever wakes it.
    parked: Padded<AtomicBool>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doorbell")
            .field("parked", &self.parked)
            .finish_non_exhaustive()
    }
}

impl Doorbell {
    /// `wake` ends the owner's park; an early or extra call must be harmless.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            parked: Padded(AtomicBool::new(false)),
            wake: Box::new(wake),
        }
    }

    /// The owner is about to park; it must look at its inputs once more after this.
    #[inline]
    pub fn arm(&self) {
        self.parked.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The owner is awake again.
    #[inline]
    pub fn disarm(&self) {
        self.parked.0.store(false, Ordering::Relaxed);
    }

    /// Something was published: wakes the owner if it is parked.
    #[inline]
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        self.ring_after_fence();
    }

    /// [`Doorbell::ring`] for several owners, with one fence for all.
    #[inline]
    pub fn ring_all<'a>(doorbells: impl IntoIterator<Item = &'a Self>) {
        let mut doorbells = doorbells.into_iter().peekable();
        if doorbells.peek().is_some() {
            fence(Ordering::SeqCst);
            doorbells.for_each(Self::ring_after_fence);
        }
    }

    #[inline]
    fn ring_after_fence(&self) {
        if self.parked.0.load(Ordering::Relaxed) && self.parked.0.swap(false, Ordering::AcqRel) {
            (self.wake)();
        }
    }
}
