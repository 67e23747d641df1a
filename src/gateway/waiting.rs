//! Where connections come from, and a queue in which every place waits its own turn.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

/// What counts as one place: an IPv4 address, or the half of an IPv6 address that names a network,
/// because whoever has one of its addresses usually has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(IpAddr);

impl Source {
    /// The place of an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

/// Items in line: sources take turns, and each source's items keep their order. So an item waits
/// for one item of each other source at most for each of its own source before it.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    by_source: BTreeMap<Source, VecDeque<T>>,
    /// Sources with something waiting, the next one first.
    turns: VecDeque<Source>,
    count: usize,
}

impl<T> Waiting<T> {
    /// Items of one source at once.
    pub const PER_SOURCE_MAX: usize = 64;
    /// Items at once.
    pub const IN_ALL_MAX: usize = 4096;

    pub const fn new() -> Self {
        Self {
            by_source: BTreeMap::new(),
            turns: VecDeque::new(),
            count: 0,
        }
    }

    /// Puts an item in line. `false`: a bound is reached.
    pub fn push(&mut self, source: Source, item: T) -> bool {
        let from_there = self.by_source.get(&source).map_or(0, VecDeque::len);
        if self.count == Self::IN_ALL_MAX || from_there == Self::PER_SOURCE_MAX {
            return false;
        }
        if from_there == 0 {
            self.turns.push_back(source);
        }
        self.by_source.entry(source).or_default().push_back(item);
        self.count += 1;
        true
    }

    /// The next item.
    pub fn pop(&mut self) -> Option<T> {
        let source = self.turns.pop_front()?;
        let line = self.by_source.get_mut(&source)?;
        let item = line.pop_front();
        if line.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        self.count -= usize::from(item.is_some());
        item
    }

    /// Takes everything of one source out.
    pub fn remove(&mut self, source: Source) -> VecDeque<T> {
        self.turns.retain(|turn| *turn != source);
        let line = self.by_source.remove(&source).unwrap_or_default();
        self.count -= line.len();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn one_item_of_a_quiet_source_waits_for_one_of_a_flood() {
        let mut waiting = Waiting::new();
        let taken = (0..1000).filter(|_| waiting.push(source(1), 1)).count();
        assert_eq!(taken, Waiting::<u8>::PER_SOURCE_MAX);
        assert!(waiting.push(source(2), 2));
        assert!(waiting.push(source(3), 3));
        let order: Vec<u8> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(order[..4], [1, 2, 3, 1]);
        assert_eq!(order.len(), taken + 2);
        assert!(waiting.pop().is_none());
    }

    #[test]
    fn what_is_taken_out_leaves_room_and_the_others_in_line() {
        let mut waiting = Waiting::new();
        for item in 0..10 {
            assert!(waiting.push(source(item % 2), item));
        }
        assert_eq!(waiting.remove(source(1)), [1, 3, 5, 7, 9]);
        assert!(waiting.remove(source(7)).is_empty());
        let order: Vec<u8> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(order, [0, 2, 4, 6, 8]);
        let sources = Waiting::<u8>::IN_ALL_MAX / Waiting::<u8>::PER_SOURCE_MAX;
        for each in 0..sources {
            for item in 0..Waiting::<u8>::PER_SOURCE_MAX {
                assert!(
                    waiting.push(source(u8::try_from(each).unwrap()), 0),
                    "{item}"
                );
            }
        }
        assert!(!waiting.push(source(255), 0), "all places are taken");
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
