//! Requests by route: how many, how they were answered, how long that took. Counted around every handler,
//! shown by `admin::metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::telemetry::Histogram;

/// Classes of statuses: 2xx, 3xx, 4xx, 5xx.
pub const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Counts of one route.
#[derive(Debug, Default)]
pub struct RouteCounts {
    /// Answers by class.
    pub classes: [AtomicU64; CLASSES.len()],
    /// Times to answer.
    pub times: Histogram,
    /// Being answered now.
    pub at_work: AtomicU64,
}

impl RouteCounts {
    /// An answer.
    pub fn record(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.times.record_shared(ns);
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
