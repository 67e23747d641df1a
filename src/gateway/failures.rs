//! Logons that failed, by where they came from: who fails often has to wait.

use std::collections::BTreeMap;

use super::waiting::Source;

/// What failed lately. Asked and told the time; knows no clock.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_source: BTreeMap<Source, Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    /// Failures since the last success.
    count: u32,
    last_ns: u64,
    /// Logons from there are refused unchecked until then.
    until_ns: u64,
}

impl Failures {
    /// Failures that cost nothing: people mistype.
    pub const FREE: u32 = 8;
    /// Wait after the next one; each further one doubles it.
    pub const BACK_OFF_NS: u64 = 500_000_000;
    /// Longest wait.
    pub const BACK_OFF_NS_MAX: u64 = 16_000_000_000;
    /// Failures older than this are forgotten.
    const FORGOTTEN_NS: u64 = 300_000_000_000;
    /// Sources remembered; the one that was quiet longest makes room.
    const SOURCES_MAX: usize = 4096;

    /// Whether logons from there have to wait.
    pub fn must_wait(&self, source: Source, now_ns: u64) -> bool {
        self.by_source
            .get(&source)
            .is_some_and(|record| now_ns < record.until_ns)
    }

    /// A logon succeeded: what failed before is forgotten.
    pub fn succeeded(&mut self, source: Source) {
        self.by_source.remove(&source);
    }

    /// A logon failed. Returns whether the next ones have to wait.
    pub fn failed(&mut self, source: Source, now_ns: u64) -> bool {
        let before = self
            .by_source
            .get(&source)
            .filter(|record| now_ns.saturating_sub(record.last_ns) < Self::FORGOTTEN_NS)
            .map_or(0, |record| record.count);
        let count = before.saturating_add(1);
        let wait_ns = match count.checked_sub(Self::FREE + 1) {
            None => 0,
            // More doublings than this are at the bound anyway.
            Some(doublings) => (Self::BACK_OFF_NS << doublings.min(16)).min(Self::BACK_OFF_NS_MAX),
        };
        if self.by_source.len() == Self::SOURCES_MAX && !self.by_source.contains_key(&source) {
            self.forget_one();
        }
        let record = Record {
            count,
            last_ns: now_ns,
            until_ns: now_ns.saturating_add(wait_ns),
        };
        self.by_source.insert(source, record);
        wait_ns > 0
    }

    fn forget_one(&mut self) {
        let quiet = self.by_source.iter().min_by_key(|(_, of)| of.last_ns);
        if let Some(source) = quiet.map(|(source, _)| *source) {
            self.by_source.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> Source {
        Source::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait_up_to_a_bound() {
        let mut failures = Failures::default();
        let mut now = 1_000;
        for _ in 0..Failures::FREE {
            assert!(!failures.failed(source(1), now));
            assert!(!failures.must_wait(source(1), now));
        }
        for wait_ms in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000] {
            assert!(failures.failed(source(1), now));
            assert!(failures.must_wait(source(1), now + wait_ms * 1_000_000 - 1));
            now += wait_ms * 1_000_000;
            assert!(!failures.must_wait(source(1), now));
        }
        assert!(!failures.must_wait(source(2), 1_001), "others do not wait");
        failures.succeeded(source(1));
        assert!(!failures.failed(source(1), now), "and all is forgotten");
    }

    #[test]
    fn old_failures_are_forgotten_and_so_are_those_of_too_many_sources() {
        let mut failures = Failures::default();
        for _ in 0..=Failures::FREE {
            failures.failed(source(1), 0);
        }
        assert!(!failures.failed(source(1), Failures::FORGOTTEN_NS));
        for number in 0..2 * Failures::SOURCES_MAX {
            failures.failed(source(number as u32), number as u64);
        }
        assert_eq!(failures.by_source.len(), Failures::SOURCES_MAX);
        let newest = source(2 * Failures::SOURCES_MAX as u32 - 1);
        assert!(failures.by_source.contains_key(&newest));
    }
}
