//! Bytes from a venue that is none: our own clients do not fall over it either.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trading_engine_protocol::binary::{ClientAction, Initiator, LogonSettings};

fuzz_target!(|data: &[u8]| {
    let settings = LogonSettings {
        session_id: 1,
        key_id: [1; 16],
        auth_type: 2,
        heartbeat_ms: 1_000,
        epoch: 0,
        from_seq: 1,
        flags: 0,
    };
    let mut initiator = Initiator::new(settings, 0);
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let (consumed, action) = initiator.receive(0, &data[at..], &mut out);
        assert!(consumed <= data.len() - at);
        match action {
            ClientAction::NeedMore | ClientAction::Broken(_) | ClientAction::Logout(_) => break,
            ClientAction::Sign { .. } => initiator.logon(0, [0; 64], &mut out),
            _ => {}
        }
        if consumed == 0 {
            break;
        }
        at += consumed;
    }
});
