//! A journal folder with anything in it: recovery gives commands, or refuses with a place.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use trading_engine::engine::{command, event};
use trading_engine::journal::Policy;
use trading_engine::journal::disk::Disk;
use trading_engine::journal::event_log::{self, EventLog};
use trading_engine::journal::sim_disk::SimDisk;
use trading_engine::journal::writer::{self, SEGMENT_BYTES_MIN};
use trading_engine::journal::recovery;

const FIRST: &str = "journal-00000001.log";

/// A journal of a few commands, once.
fn sound() -> Vec<u8> {
    use std::sync::OnceLock;
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    SOUND
        .get_or_init(|| {
            let disk = SimDisk::default();
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let (position, _) =
                recovery::open_or_create(&shared, 1, SEGMENT_BYTES_MIN, |_| {}).unwrap();
            let (mut appender, mut syncer, _) =
                writer::start(shared, position, SEGMENT_BYTES_MIN, Policy::Group);
            for sequence in 1..=8 {
                appender.append(sequence, &[3; 120]);
                appender.flush();
                syncer.sync();
            }
            disk.content(FIRST).unwrap()
        })
        .clone()
}

fuzz_target!(|data: &[u8]| {
    let words = data.as_chunks::<8>().0;
    let aligned: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let bytes = zerocopy::IntoBytes::as_bytes(&aligned[..]);
    let _ = command::read(bytes);
    let _ = event::read(bytes);
    let _ = event_log::events(bytes).count();

    // Patches of a sound journal: position, length, bytes; and the raw data as a whole file.
    let mut file = sound();
    let mut rest = data;
    while let Some(([a, b, c, length], tail)) = rest.split_first_chunk::<4>() {
        let at = u32::from_le_bytes([*a, *b, *c, 0]) as usize % 8_192;
        let length = usize::from(*length % 32).min(tail.len()).min(file.len() - at);
        file[at..at + length].copy_from_slice(&tail[..length]);
        rest = &tail[length..];
    }
    for content in [file, data.to_vec()] {
        let disk = SimDisk::default();
        disk.put(FIRST, content);
        let shared: Arc<dyn Disk> = Arc::new(disk);
        let _ = recovery::open_or_create(&shared, 1, SEGMENT_BYTES_MIN, |_| {});
    }
    let disk = SimDisk::default();
    disk.put("events-00000001.log", data.to_vec());
    let shared: Arc<dyn Disk> = Arc::new(disk);
    if let Ok(mut log) = EventLog::open(shared, 1, 100, 1 << 16) {
        use trading_engine_protocol::types::{Epoch, SessionId};
        let _ = log.read(SessionId(1), Epoch(1), 1, 100, 1 << 16);
    }
});
