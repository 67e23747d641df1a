//! Bytes from a FIX client, in pieces, before and after the Logon: the machine takes all of them
//! without a panic, never consumes more than there is, and comes to an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trading_engine_protocol::fix::{Acceptor, AcceptorSettings, Action, Message, decode};
use trading_engine_protocol::types::UtcNanos;

const NOW: UtcNanos = UtcNanos(1_790_000_000_000_000_000);

fuzz_target!(|data: &[u8]| {
    let _ = decode(data, &mut Message::default());
    let settings = AcceptorSettings {
        comp_id: b"V".to_vec(),
        ..AcceptorSettings::default()
    };
    let mut acceptor = Acceptor::new(settings, 0);
    // Fuzzers do not guess checksums: messages are separated by `~` and are made whole here.
    let mut stream = Vec::new();
    for body in data.split(|&byte| byte == b'~') {
        let text: Vec<u8> = body.iter().map(|&b| if b == b'|' { 1 } else { b }).collect();
        let mut message = format!("8=FIX.4.4\x019={}\x01", text.len()).into_bytes();
        message.extend_from_slice(&text);
        let sum = message.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        message.extend_from_slice(format!("10={sum:03}\x01").as_bytes());
        stream.extend_from_slice(&message);
    }
    stream.extend_from_slice(data);
    let mut at = 0;
    let mut now = 0;
    while at < stream.len() {
        now += 100_000_000;
        let (consumed, action) = acceptor.receive(now, NOW, &stream[at..]);
        assert!(consumed <= stream.len() - at);
        at += consumed;
        match action {
            Action::Logon(request) => acceptor.logon_accepted(now, request.seq, 1),
            Action::Close(_) => return,
            Action::NeedMore if consumed == 0 => break,
            _ => {}
        }
        let mut follow_ups = 0;
        while acceptor.follow_up(NOW).is_some() {
            follow_ups += 1;
            assert!(follow_ups < 10_000, "follow-ups end");
        }
        let _ = acceptor.handle_timeout(now);
    }
});
