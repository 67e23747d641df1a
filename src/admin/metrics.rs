//! Counts of requests as Prometheus text.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::api::{BOUNDS_US, CLASSES, RequestMetrics};
use crate::metric_names as names;

/// Every route that was asked for.
pub fn render(requests: &RequestMetrics) -> String {
    let all = requests.all();
    let mut out = String::new();
    let head = |out: &mut String, metric: &names::Metric, kind: &str| {
        let _ = writeln!(out, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(out, "# TYPE {} {kind}", metric.name);
    };
    head(&mut out, &names::HTTP_REQUESTS, "counter");
    for ((method, route), counts) in &all {
        for (class, count) in CLASSES.iter().zip(&counts.classes) {
            let _ = writeln!(
                out,
                "{}{{method=\"{method}\",route=\"{route}\",status=\"{class}\"}} {}",
                names::HTTP_REQUESTS.name,
                count.load(Ordering::Relaxed)
            );
        }
    }
    head(&mut out, &names::HTTP_REQUESTS_AT_WORK, "gauge");
    for ((method, route), counts) in &all {
        let _ = writeln!(
            out,
            "{}{{method=\"{method}\",route=\"{route}\"}} {}",
            names::HTTP_REQUESTS_AT_WORK.name,
            counts.at_work.load(Ordering::Relaxed)
        );
    }
    head(&mut out, &names::HTTP_REQUEST_TIME, "histogram");
    let name = names::HTTP_REQUEST_TIME.name;
    for ((method, route), counts) in &all {
        let labels = format!("method=\"{method}\",route=\"{route}\"");
        let mut total = 0;
        for (at, times) in counts.times.iter().enumerate() {
            total += times.load(Ordering::Relaxed);
            let bound = match BOUNDS_US.get(at) {
                Some(us) => (*us as f64 / 1e6).to_string(),
                None => "+Inf".into(),
            };
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
        }
        let sum = counts.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(out, "{name}_count{{{labels}}} {total}");
    }
    out
}
