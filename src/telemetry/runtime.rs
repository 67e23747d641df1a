//! What the allocator and the side ports' runtime say of themselves.

use std::fmt;

use tikv_jemalloc_ctl::{epoch, stats};
use tokio::runtime::Handle;

use super::{Exposition, Source};
use crate::metric_names as names;

/// Reads both at each look.
pub struct Runtime {
    runtime: Handle,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Of this runtime, and of the process's allocator.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }
}

impl Source for Runtime {
    fn render(&self, out: &mut Exposition) {
        // The figures are those of the last epoch. Beginning one takes each arena's lock in turn, for
        // as long as adding up its counters takes.
        if epoch::advance().is_ok() {
            let bytes = [
                (&names::ALLOCATED, stats::allocated::read()),
                (&names::ACTIVE, stats::active::read()),
                (&names::RESIDENT, stats::resident::read()),
                (&names::MAPPED, stats::mapped::read()),
                (&names::RETAINED, stats::retained::read()),
            ];
            for (metric, bytes) in bytes {
                if let Ok(bytes) = bytes {
                    out.value(metric, bytes);
                }
            }
        }
        let metrics = self.runtime.metrics();
        let workers = metrics.num_workers();
        let busy: f64 = (0..workers)
            .map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64())
            .sum();
        let parks: u64 = (0..workers)
            .map(|worker| metrics.worker_park_count(worker))
            .sum();
        out.value(&names::RUNTIME_WORKERS, workers);
        out.value(&names::RUNTIME_TASKS, metrics.num_alive_tasks());
        out.value(&names::RUNTIME_QUEUE, metrics.global_queue_depth());
        out.value(&names::RUNTIME_BUSY, busy);
        out.value(&names::RUNTIME_PARKS, parks);
    }
}
