//! Journals of older builds: what was written then is read now, and comes to the same.

use std::sync::Arc;

use trading_engine::journal::disk::{Disk, OsDisk};
use trading_engine::journal::inspect::{self, Replay};
use trading_engine::limits::EngineLimits;

/// Layout version 1 of the commands: a demo world, logons over both doors, orders and a trade.
const VERSION_1: &[u8] = include_bytes!("fixtures/journal-v1.log");
/// Segments are full of zeros behind their records, which the fixture leaves out.
const SEGMENT_BYTES: usize = 1 << 20;

#[test]
fn a_journal_of_version_1_comes_to_what_it_came_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut segment = VERSION_1.to_vec();
    segment.resize(SEGMENT_BYTES, 0);
    std::fs::write(folder.path().join("journal-00000001.log"), segment).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(folder.path()).unwrap());
    let limits = EngineLimits {
        orders: 1 << 10,
        client_order_ids: 1 << 12,
        ..EngineLimits::default()
    };
    assert_eq!(
        inspect::replay(&disk, limits).unwrap(),
        Replay {
            commands: 81,
            events: 94,
            // Of the bytes that clients and stores are sent: a build that only keeps its state in
            // another way leaves it as it is.
            events_hash: 12_562_941_858_667_365_857,
            state_hash: 6_751_132_868_274_119_653,
            snapshots: 0,
        }
    );
}
