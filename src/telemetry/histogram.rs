//! Durations by bucket: what stages, syncs and requests are measured with.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metric_names::Buckets;

/// Smallest bound, and what all others are multiples of.
const UNIT_NS: u64 = 250;
/// Four to each doubling.
const BUCKETS: usize = 96;
/// Which buckets a coarse view has: the last of each doubling, from 0.5 ms on.
const COARSE_FROM: usize = 39;

/// Durations. Recording allocates nothing and waits for nobody; any thread reads.
#[derive(Debug)]
pub struct Histogram {
    /// The last one is beyond all bounds.
    counts: [AtomicU64; BUCKETS + 1],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        }
    }
}

/// The bucket whose bound is the first that is not below `ns`.
#[inline]
fn bucket(ns: u64) -> usize {
    let below = ns.div_ceil(UNIT_NS).saturating_sub(1);
    if below < 4 {
        return below as usize;
    }
    let octave = u64::BITS - 1 - below.leading_zeros();
    let quarter = (below >> (octave - 2)) & 3;
    ((octave as usize - 1) * 4 + quarter as usize).min(BUCKETS)
}

/// Upper bound of a bucket.
fn bound_ns(bucket: usize) -> u64 {
    let units = if bucket < 4 {
        bucket as u64 + 1
    } else {
        (bucket as u64 % 4 + 5) << (bucket / 4 - 1)
    };
    units * UNIT_NS
}

impl Histogram {
    /// Records one duration, where only one thread ever records.
    #[inline]
    pub fn record(&self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Records the same duration so many times, where only one thread ever records.
    #[inline]
    pub fn record_many(&self, ns: u64, times: u32) {
        let times = u64::from(times);
        let add = |to: &AtomicU64, more: u64| {
            to.store(
                to.load(Ordering::Relaxed).wrapping_add(more),
                Ordering::Relaxed,
            );
        };
        add(&self.counts[bucket(ns)], times);
        add(&self.sum_ns, ns.wrapping_mul(times));
    }

    /// Records one duration, whoever else does.
    #[inline]
    pub fn record_shared(&self, ns: u64) {
        self.counts[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was recorded so far.
    pub fn counts(&self) -> Counts {
        Counts {
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .collect(),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

/// What a [`Histogram`] had recorded at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    counts: Vec<u64>,
    sum_ns: u64,
}

impl Counts {
    /// Adds what another one recorded.
    pub fn add(&mut self, other: &Self) {
        self.counts.resize(BUCKETS + 1, 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
    }

    /// What came since an earlier look at the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        Self {
            counts: self
                .counts
                .iter()
                .zip(before)
                .map(|(count, before)| count.saturating_sub(*before))
                .collect(),
            sum_ns: self.sum_ns.wrapping_sub(earlier.sum_ns),
        }
    }

    /// Durations recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// A bound in seconds that the part `quantile` (0 to 1) is not above; `None` without durations.
    /// What is beyond all bounds counts as the last.
    pub fn quantile_seconds(&self, quantile: f64) -> Option<f64> {
        Some(self.quantile_ns(quantile)? as f64 / 1e9)
    }

    /// The same in nanoseconds.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * quantile).ceil().max(1.0);
        let mut total = 0;
        let at = self.counts.iter().position(|count| {
            total += count;
            total as f64 >= wanted
        })?;
        Some(bound_ns(at.min(BUCKETS - 1)))
    }

    /// Bounds in seconds, and how many durations are not above each.
    pub fn buckets(&self, view: Buckets) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        let counts = self.counts.iter().copied().chain(std::iter::repeat(0));
        counts
            .take(BUCKETS)
            .enumerate()
            .filter_map(move |(at, count)| {
                total += count;
                let shown = match view {
                    Buckets::Fine => true,
                    Buckets::Coarse => at % 4 == 3 && at >= COARSE_FROM,
                };
                shown.then(|| (bound_ns(at) as f64 / 1e9, total))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lands_in_the_bucket_that_bounds_it() {
        for at in 0..BUCKETS {
            let bound = bound_ns(at);
            assert_eq!(bucket(bound), at);
            assert_eq!(bucket(bound + 1), at + 1);
            if at > 3 {
                let width = (bound - bound_ns(at - 1)) as f64;
                assert!(width / bound as f64 <= 0.2, "{bound} is too wide");
            }
        }
        assert_eq!((bucket(0), bound_ns(0)), (0, 250));
        assert_eq!(bucket(u64::MAX), BUCKETS);
        assert_eq!(bound_ns(BUCKETS - 1), UNIT_NS << 25);
    }

    #[test]
    fn views_and_quantiles_agree_with_what_was_recorded() {
        let histogram = Histogram::default();
        for us in 1..=1_000 {
            histogram.record(us * 1_000);
        }
        histogram.record_many(u64::MAX, 2);
        let counts = histogram.counts();
        assert_eq!(counts.count(), 1_002);
        let fine: Vec<_> = counts.buckets(Buckets::Fine).collect();
        let coarse: Vec<_> = counts.buckets(Buckets::Coarse).collect();
        assert_eq!((fine.len(), coarse.len()), (96, 15));
        assert_eq!(coarse[0], (0.000_512, 512));
        assert!(coarse.iter().all(|bucket| fine.contains(bucket)));
        let median = counts.quantile_seconds(0.5).unwrap();
        assert!((0.000_5..0.000_62).contains(&median), "{median}");
        assert_eq!(Counts::default().quantile_seconds(0.5), None);
        histogram.record(7);
        let since = histogram.counts().since(&counts);
        assert_eq!((since.count(), since.sum_ns), (1, 7));
        let mut both = Counts::default();
        both.add(&counts);
        both.add(&since);
        assert_eq!(both.count(), 1_003);
    }
}
