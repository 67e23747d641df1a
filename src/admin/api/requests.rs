//! Requests by route: how many, how they were answered, how long that took. Counted around every handler,
//! shown by `admin::metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::telemetry::Histogram;

/// Classes of statuses; the last is of requests whose clients left before the answer.
pub const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "499"];
/// The place of that one.
const LEFT: usize = CLASSES.len() - 1;

/// Counts of one route.
#[derive(Debug, Default)]
pub struct RouteCounts {
    /// Requests by class.
    pub classes: [AtomicU64; CLASSES.len()],
    /// Times to answer.
    pub times: Histogram,
    /// Being answered now.
    pub at_work: AtomicU64,
}

impl RouteCounts {
    /// A request.
    pub fn begin(self: Arc<Self>) -> Request {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        Request {
            counts: self,
            begun: Instant::now(),
            status: None,
        }
    }
}

/// A request being answered: counted at its end, also when nobody waits for the answer any more.
#[derive(Debug)]
pub struct Request {
    counts: Arc<RouteCounts>,
    begun: Instant,
    status: Option<u16>,
}

impl Request {
    /// It is answered.
    pub fn answered(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let counts = &self.counts;
        counts.at_work.fetch_sub(1, Ordering::Relaxed);
        let class = match self.status {
            Some(status) => {
                let took = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                counts.times.record_shared(took);
                usize::from(status / 100).clamp(2, 5) - 2
            }
            None => LEFT,
        };
        counts.classes[class].fetch_add(1, Ordering::Relaxed);
    }
}

/// Method and template of a route.
pub type Route = (String, String);

/// Counts of every route that was asked for. Templates are the program's own, so there are few.
#[derive(Clone, Debug, Default)]
pub struct RequestMetrics {
    routes: Arc<Mutex<BTreeMap<Route, Arc<RouteCounts>>>>,
    /// Answers that said that there were too many.
    pub rate_limited: Arc<AtomicU64>,
}

impl RequestMetrics {
    /// The counts of a route.
    pub fn of(&self, method: &str, template: &str) -> Arc<RouteCounts> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = (method.to_owned(), template.to_owned());
        Arc::clone(routes.entry(route).or_default())
    }

    /// Every route with its counts, in order.
    pub fn all(&self) -> Vec<(Route, Arc<RouteCounts>)> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let all = routes.iter();
        all.map(|(route, counts)| (route.clone(), Arc::clone(counts)))
            .collect()
    }
}
