//! A snapshot with anything in it: it is refused, or the engine made of it takes commands, and is
//! itself saved and restored. (The state hash at its end is not asked here: see `Engine::load`.)
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use trading_engine::engine::{Engine, Progress};
use zerocopy::IntoBytes;

#[path = "../../tests/support/busy.rs"]
#[allow(dead_code)]
mod busy;
#[path = "../../tests/support/venue.rs"]
#[allow(dead_code)]
mod venue;
#[path = "../../tests/support/workload.rs"]
#[allow(dead_code)]
mod workload;

use busy::{Busy, LIMITS};

fn run(engine: &mut Engine, busy: &mut Busy, commands: u64) {
    let mut events = Vec::new();
    for _ in 0..commands {
        let command = busy.next(engine);
        events.clear();
        let mut progress = engine.apply_bytes(command.as_bytes(), &mut events).unwrap();
        while progress == Progress::More {
            progress = engine.resume(&mut events);
        }
        busy.saw(&events);
    }
}

/// Sound snapshots, from nearly empty to busy.
fn sound() -> &'static [Vec<u8>] {
    static SOUND: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let (mut engine, mut busy) = (Engine::new(LIMITS), Busy::new(42));
        let mut save = |commands| {
            run(&mut engine, &mut busy, commands);
            engine.save().unwrap()
        };
        [20, 60, 150, 300, 900, 70, 70, 70].map(&mut save).into()
    })
}

fuzz_target!(|data: &[u8]| {
    let Some(([which, seed], patches)) = data.split_first_chunk::<2>() else {
        return;
    };
    let sound = sound();
    let mut bytes = sound[usize::from(*which) % sound.len()].clone();
    // Patches: position, length, bytes.
    let mut rest = patches;
    while let Some(([a, b, c, length], tail)) = rest.split_first_chunk::<4>() {
        let at = u32::from_le_bytes([*a, *b, *c, 0]) as usize % bytes.len();
        let length = usize::from(*length % 16)
            .min(tail.len())
            .min(bytes.len() - at);
        bytes[at..at + length].copy_from_slice(&tail[..length]);
        rest = &tail[length..];
    }
    let Ok(mut engine) = Engine::restore(LIMITS, &bytes) else {
        return;
    };
    run(&mut engine, &mut Busy::further(u64::from(*seed), 400), 60);
    let again = Engine::restore(LIMITS, &engine.save().unwrap()).unwrap();
    assert_eq!(again.state_hash(), engine.state_hash());
});
