//! Words that one thread writes and any thread reads, without either waiting for the other: a
//! reader that was overtaken reads again. No unsafe code: the words are atomics, which on the
//! machines this runs on are plain moves.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Words that a block has besides its content: version and length.
pub(super) const OVERHEAD: usize = 2;

/// Room for a block.
pub(super) fn cells(words: usize) -> Box<[AtomicU64]> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

/// Replaces a block's content; what does not fit is left out. `version` is even and another than
/// before. Only ever by one thread.
pub(super) fn store(cells: &[AtomicU64], version: u64, parts: &[&[u64]]) {
    let [versions, length, words @ ..] = cells else {
        return;
    };
    // Odd while the content is between two versions.
    versions.store(version - 1, Ordering::Relaxed);
    // Whoever sees one of the words below sees the odd version, too.
    fence(Ordering::Release);
    let mut count = 0;
    for (word, place) in parts.iter().copied().flatten().zip(words) {
        place.store(*word, Ordering::Relaxed);
        count += 1;
    }
    length.store(count, Ordering::Relaxed);
    versions.store(version, Ordering::Release);
}

/// Version of a block, 0 = it was never written.
#[inline]
pub(super) fn version(cells: &[AtomicU64]) -> u64 {
    cells
        .first()
        .map_or(0, |version| version.load(Ordering::Acquire))
}

/// A block's content as one store left it, and its version.
pub(super) fn load(cells: &[AtomicU64], into: &mut Vec<u64>) -> u64 {
    loop {
        for _ in 0..64 {
            if let Some(version) = try_load(cells, into) {
                return version;
            }
            std::hint::spin_loop();
        }
        // The writer lost its core in the middle of it; it has a bounded number of words to go.
        std::thread::yield_now();
    }
}

/// `None`: it is being written.
fn try_load(cells: &[AtomicU64], into: &mut Vec<u64>) -> Option<u64> {
    into.clear();
    let [version, length, words @ ..] = cells else {
        return Some(0);
    };
    let before = version.load(Ordering::Acquire);
    if !before.is_multiple_of(2) {
        return None;
    }
    let length = usize::try_from(length.load(Ordering::Relaxed)).unwrap_or(0);
    let words = words.iter().take(length);
    into.extend(words.map(|word| word.load(Ordering::Relaxed)));
    fence(Ordering::Acquire);
    (version.load(Ordering::Relaxed) == before).then_some(before)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_reader_never_sees_words_of_two_stores() {
        let block: Arc<[AtomicU64]> = cells(40).into();
        let stop = Arc::new(AtomicBool::new(false));
        let reader = {
            let (block, stop) = (Arc::clone(&block), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut words, mut seen, mut last) = (Vec::new(), 0_u64, 0);
                while !stop.load(Ordering::Relaxed) || seen == 0 {
                    let version = load(&block, &mut words);
                    assert!(version >= last, "versions grow");
                    seen += u64::from(version != last);
                    last = version;
                    let Some(&first) = words.first() else {
                        continue;
                    };
                    assert_eq!(words.len() as u64, 1 + first % 38);
                    assert!(words.iter().all(|&word| word == first), "{words:?}");
                }
                seen
            })
        };
        for number in 0..200_000_u64 {
            let words = vec![number; 1 + (number % 38) as usize];
            let (head, tail) = words.split_at(words.len() / 2);
            store(&block, 2 * (number + 1), &[head, tail]);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    }
}
