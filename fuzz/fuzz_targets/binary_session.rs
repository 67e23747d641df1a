//! Bytes from a binary client, before and after the Logon.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trading_engine_protocol::binary::message::{Logon, LogonAccepted};
use trading_engine_protocol::binary::{Acceptor, AcceptorSettings, Action, write_message};
use zerocopy::FromZeros;

fuzz_target!(|data: &[u8]| {
    for logged_on in [false, true] {
        let mut out = Vec::new();
        let mut acceptor = Acceptor::new(AcceptorSettings::default(), [7; 32], 0, 0, &mut out);
        let mut stream = Vec::new();
        if logged_on {
            let logon = Logon {
                session_id: 1,
                auth_type: 1,
                heartbeat_ms: 1_000,
                ..Logon::new_zeroed()
            };
            write_message(&mut stream, &logon, 0);
        }
        stream.extend_from_slice(data);
        let mut at = 0;
        let mut now = 0;
        while at < stream.len() {
            now += 10_000_000;
            let received = acceptor.receive(now, &stream[at..], &mut out);
            assert!(received.consumed <= stream.len() - at);
            at += received.consumed;
            match received.action {
                Action::Logon(_) => {
                    acceptor.logon_accepted(now, LogonAccepted::new_zeroed(), &mut out);
                    acceptor.replay_complete(now, &mut out);
                }
                Action::Close(_) => break,
                Action::NeedMore if received.consumed == 0 => break,
                _ => {}
            }
        }
    }
});
