//! Logs and metrics. Hot threads own plain counters and histograms with one writer each; the
//! scrape reads them and writes Prometheus text.

mod log_writer;

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metric_names::Metric;
pub use log_writer::{LogGuard, log_lines_lost};

/// Starts logging to standard error, in colour for people: not into files, and not where `NO_COLOR`
/// is set. No line waits for whoever reads it; the log ends with the guard.
pub fn start_logging(level: tracing::Level, json: bool) -> LogGuard {
    let (writer, guard) = log_writer::standard_error();
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false);
    // A second start in one process (tests) keeps the first.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    guard
}

/// Buckets: upper bounds in ns, doubling from 1 us to 8.6 s.
const BUCKETS: usize = 24;
const FIRST_BOUND_NS: u64 = 1_000;

/// Latencies of one stage. One thread records, any thread reads.
#[derive(Debug)]
pub struct StageHistogram {
    counts: [AtomicU64; BUCKETS + 1],
    sum_ns: AtomicU64,
}

impl Default for StageHistogram {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        }
    }
}

impl StageHistogram {
    /// Records one latency; only the owning thread calls this.
    #[inline]
    pub fn record(&self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Records the same latency so many times.
    #[inline]
    pub fn record_many(&self, ns: u64, times: u32) {
        let times = u64::from(times);
        let above = ns.div_ceil(FIRST_BOUND_NS).max(1) - 1;
        let bucket = (u64::BITS - above.leading_zeros()) as usize;
        let count = &self.counts[bucket.min(BUCKETS)];
        count.store(count.load(Ordering::Relaxed) + times, Ordering::Relaxed);
        self.sum_ns.store(
            self.sum_ns
                .load(Ordering::Relaxed)
                .wrapping_add(ns.wrapping_mul(times)),
            Ordering::Relaxed,
        );
    }

    /// Adds what another one recorded.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count.get_mut() += more.load(Ordering::Relaxed);
        }
        let sum = self.sum_ns.get_mut();
        *sum = sum.wrapping_add(other.sum_ns.load(Ordering::Relaxed));
    }

    /// What was recorded since an earlier look.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let more = |now: &AtomicU64, before: &AtomicU64| {
            let (now, before) = (now.load(Ordering::Relaxed), before.load(Ordering::Relaxed));
            AtomicU64::new(now.saturating_sub(before))
        };
        Self {
            counts: std::array::from_fn(|at| more(&self.counts[at], &before.counts[at])),
            sum_ns: more(&self.sum_ns, &before.sum_ns),
        }
    }

    /// Upper bound, ns, of the bucket that `share` (of 1,000) of what was recorded is in or below; 0 =
    /// nothing was, `u64::MAX` = beyond all bounds.
    pub fn bound_of(&self, share: u64) -> u64 {
        let wanted = self.count().saturating_mul(share).div_ceil(1_000);
        let (mut total, mut bound) = (0, FIRST_BOUND_NS);
        if wanted == 0 {
            return 0;
        }
        for count in &self.counts[..BUCKETS] {
            total += count.load(Ordering::Relaxed);
            if total >= wanted {
                return bound;
            }
            bound *= 2;
        }
        u64::MAX
    }

    /// Latencies recorded.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    fn render(&self, out: &mut String, name: &str, label: &str) {
        let mut total = 0;
        let mut bound = FIRST_BOUND_NS;
        for count in &self.counts[..BUCKETS] {
            total += count.load(Ordering::Relaxed);
            let seconds = bound as f64 / 1e9;
            let _ = writeln!(
                out,
                "{name}_bucket{{stage=\"{label}\",le=\"{seconds}\"}} {total}"
            );
            bound *= 2;
        }
        total += self.counts[BUCKETS].load(Ordering::Relaxed);
        let sum = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        let _ = writeln!(
            out,
            "{name}_bucket{{stage=\"{label}\",le=\"+Inf\"}} {total}"
        );
        let _ = writeln!(out, "{name}_sum{{stage=\"{label}\"}} {sum}");
        let _ = writeln!(out, "{name}_count{{stage=\"{label}\"}} {total}");
    }
}

/// Stages of a report's life, in order.
pub const STAGES: [&str; 4] = [
    "received_to_sequenced",
    "sequenced_to_applied",
    "applied_to_durable",
    "durable_to_sent",
];

/// Writes Prometheus text.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    fn head(&mut self, metric: &Metric, kind: &str) {
        let _ = writeln!(self.text, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(self.text, "# TYPE {} {kind}", metric.name);
    }

    /// A counter without labels.
    pub fn counter(&mut self, metric: &Metric, value: u64) {
        self.head(metric, "counter");
        let _ = writeln!(self.text, "{} {value}", metric.name);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, metric: &Metric, value: f64) {
        self.head(metric, "gauge");
        let _ = writeln!(self.text, "{} {value}", metric.name);
    }

    /// A gauge with one label.
    pub fn gauges(&mut self, metric: &Metric, label: &str, values: &[(&str, u64)]) {
        self.head(metric, "gauge");
        for (value, amount) in values {
            let _ = writeln!(self.text, "{}{{{label}=\"{value}\"}} {amount}", metric.name);
        }
    }

    /// A counter with one label; values of zero are left out.
    pub fn counters<'a>(
        &mut self,
        metric: &Metric,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.head(metric, "counter");
        for (value, count) in values {
            if count > 0 {
                let _ = writeln!(self.text, "{}{{{label}=\"{value}\"}} {count}", metric.name);
            }
        }
    }

    /// The stage histograms.
    pub fn stages(&mut self, metric: &Metric, stages: &[StageHistogram; 4]) {
        self.head(metric, "histogram");
        for (stage, histogram) in STAGES.iter().zip(stages) {
            histogram.render(&mut self.text, metric.name, stage);
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_lands_in_the_bucket_that_bounds_it() {
        let histogram = StageHistogram::default();
        for ns in [0, 1_000, 1_001, 2_000, 2_001, u64::MAX] {
            histogram.record(ns);
        }
        let mut text = String::new();
        histogram.render(&mut text, "x", "s");
        assert!(text.contains("le=\"0.000001\"} 2\n"), "{text}");
        assert!(text.contains("le=\"0.000002\"} 4\n"), "{text}");
        assert!(text.contains("le=\"0.000004\"} 5\n"), "{text}");
        assert!(text.contains("le=\"+Inf\"} 6\n"), "{text}");
        assert_eq!(histogram.count(), 6);
        let mut both = StageHistogram::default();
        both.record(4_000);
        both.add(&histogram);
        assert_eq!(both.count(), 7);
    }
}
