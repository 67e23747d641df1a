//! Bytes from a FIX client, before and after the Logon: the machine takes all of them without a
//! panic, never consumes more than there is, and comes to an end.
//!
//! Fuzzers do not guess checksums and times, so input is also made into whole messages: `~`
//! separates them, `|` separates fields, a first `^` stands for a header in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trading_engine_protocol::fix::{Acceptor, AcceptorSettings, Action, Message, decode};
use trading_engine_protocol::types::UtcNanos;

/// 2026-01-02 12:00:00 UTC.
const NOW: UtcNanos = UtcNanos(UtcNanos::from_date(2026, 1, 2).0 + 43_200 * UtcNanos::SECOND);
const HEADER: &str = "49=C\x0152=20260102-12:00:00.000\x0156=V\x01";

fn whole(body: &[u8]) -> Vec<u8> {
    let mut message = format!("8=FIX.4.4\x019={}\x01", body.len()).into_bytes();
    message.extend_from_slice(body);
    let sum = message.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    message.extend_from_slice(format!("10={sum:03}\x01").as_bytes());
    message
}

/// Feeds a stream; `false`: the session ended.
fn feed(acceptor: &mut Acceptor, now: &mut u64, stream: &[u8]) -> bool {
    let mut at = 0;
    while at < stream.len() {
        *now += 50_000_000;
        let (consumed, action) = acceptor.receive(*now, NOW, &stream[at..]);
        assert!(consumed <= stream.len() - at);
        at += consumed;
        match action {
            Action::Logon(request) => acceptor.logon_accepted(*now, request.seq, 1, request.next_expected != 0),
            Action::Close(_) => return false,
            Action::NeedMore if consumed == 0 => return true,
            _ => {}
        }
        let mut follow_ups = 0;
        while acceptor.follow_up(NOW).is_some() {
            follow_ups += 1;
            assert!(follow_ups < 10_000, "follow-ups end");
        }
        let _ = acceptor.handle_timeout(*now);
    }
    true
}

fuzz_target!(|data: &[u8]| {
    let _ = decode(data, &mut Message::default());
    let settings = || AcceptorSettings {
        comp_id: b"V".to_vec(),
        ..AcceptorSettings::default()
    };
    let mut now = 0;
    feed(&mut Acceptor::new(settings(), 0), &mut now, data);

    let mut acceptor = Acceptor::new(settings(), 0);
    let logon = format!("35=A\x0134=1\x01{HEADER}98=0\x01108=30\x01");
    assert!(feed(&mut acceptor, &mut now, &whole(logon.as_bytes())));
    for (at, text) in data.split(|&byte| byte == b'~').enumerate() {
        let mut body = Vec::new();
        let text = match text {
            [b'^', kind, rest @ ..] => {
                let kind = char::from(*kind);
                body.extend_from_slice(format!("35={kind}\x0134={}\x01{HEADER}", at + 2).as_bytes());
                rest
            }
            other => other,
        };
        body.extend(text.iter().map(|&byte| if byte == b'|' { 1 } else { byte }));
        if !feed(&mut acceptor, &mut now, &whole(&body)) {
            return;
        }
    }
});
