//! Who may connect: bounds over all gateway threads, counted when a socket is accepted and when it
//! is closed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections there are, whichever thread has them.
#[derive(Debug, Default)]
pub struct Admissions {
    by_address: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    of: Arc<Admissions>,
    address: IpAddr,
}

impl Admissions {
    fn count(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        // Counts stay right whatever a panicking holder did: each change is one statement.
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more, if there may be one more in all and from this address.
    pub(super) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        in_all: usize,
        per_address: usize,
    ) -> Option<Admission> {
        let mut counts = self.count();
        let from_there = counts.get(&address).copied().unwrap_or(0);
        if counts.values().sum::<usize>() >= in_all || from_there >= per_address {
            return None;
        }
        counts.insert(address, from_there + 1);
        Some(Admission {
            of: Arc::clone(self),
            address,
        })
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.count().is_empty()
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.of.count();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
