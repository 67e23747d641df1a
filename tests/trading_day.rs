//! The bytes of a trading day: a FIX and a binary client trade with each other through the real
//! doors, and every report is held against `trading_day/answers.txt`, byte for byte but for times.
//! `BLESS=1` writes the answers anew, for a reader to check.

mod support;

use std::fmt::Write as _;

use support::server::Server;
use support::talk::{BinaryTalk, FixTalk, now};
use trading_engine::client::Received;
use trading_engine_protocol::binary::NULL_PRICE;
use trading_engine_protocol::binary::message::{
    ALL, CancelAfter, CancelOrder, FIELDS, Heartbeat, MassCancel, NewOrder, ReplaceOrder,
    TestRequest,
};
use trading_engine_protocol::fix::encode::write_timestamp;
use trading_engine_protocol::types::Decimal8;
use zerocopy::{FromZeros, IntoBytes};

const SCRIPT: &str = include_str!("trading_day/script.txt");

/// One message as text, with what differs from day to day made equal.
fn fix_text(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let fields = text.split_terminator('\x01').map(|field| {
        let (tag, value) = field.split_once('=').unwrap();
        match tag {
            "52" | "60" => {
                assert_eq!(value.len(), "YYYYMMDD-HH:MM:SS.sss".len(), "{text:?}");
                format!("{tag}=TIME|")
            }
            // Right, or the message would not have been decoded.
            "10" => "10=SUM|".into(),
            _ => format!("{field}|"),
        }
    });
    fields.collect()
}

/// One frame as its fields.
fn binary_text(frame: &Received) -> String {
    let template = frame.header.template_id;
    let at = ALL.iter().position(|(_, known, _)| *known == template);
    let (name, fields) = FIELDS[at.expect("a known template")];
    let header = frame.header.as_bytes();
    let mut text = format!("{name} {}", hex(header));
    for (field, offset, size) in fields {
        let bytes = &frame.body[*offset..offset + size];
        if field.ends_with("_time") {
            assert!(bytes.iter().any(|byte| *byte != 0), "{name}.{field}");
            write!(text, " {field}=TIME").unwrap();
        } else {
            write!(text, " {field}={}", hex(bytes)).unwrap();
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decimal(text: &str) -> i64 {
    text.parse::<Decimal8>().unwrap().0
}

struct Day {
    fix: FixTalk,
    binary: BinaryTalk,
    transcript: String,
    /// Heartbeats asked for so far.
    asked: u64,
}

impl Day {
    /// Everything both clients were told: a test request is answered behind all of it.
    fn answers(&mut self) {
        self.asked += 1;
        let id = format!("T{}", self.asked);
        self.fix.send("1", &[(112, &id)]);
        loop {
            let (bytes, message) = self.fix.next_with_bytes().expect("an answer");
            if message.kind() == "0" {
                assert_eq!(message.get(112), Some(id.as_str()));
                break;
            }
            writeln!(self.transcript, "  fix < {}", fix_text(&bytes)).unwrap();
        }
        let test = TestRequest {
            test_id: self.asked,
        };
        self.binary.write(&test, 0);
        loop {
            let frame = self.binary.next_frame().expect("an answer");
            if let Some(heartbeat) = frame.read::<Heartbeat>() {
                assert_eq!(heartbeat.test_id, self.asked);
                break;
            }
            writeln!(self.transcript, "  bin < {}", binary_text(&frame)).unwrap();
        }
    }

    fn fix_step(&mut self, text: &str) {
        let (kind, rest) = text.split_once('|').unwrap();
        let mut fields: Vec<(u32, &str)> = rest
            .split('|')
            .map(|field| field.split_once('=').unwrap())
            .map(|(tag, value)| (tag.parse().unwrap(), value))
            .collect();
        let mut time = [0; 21];
        write_timestamp(now(), &mut time);
        let time = std::str::from_utf8(&time).unwrap();
        if matches!(kind, "D" | "F" | "G" | "q") {
            if kind != "q" && !fields.iter().any(|(tag, _)| *tag == 55) {
                fields.push((55, "TEST-A"));
            }
            fields.push((60, time));
        }
        self.fix.send(kind, &fields);
    }

    fn binary_step(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let instrument_id = self.binary.instruments["TEST-A"];
        match words[0] {
            "enter" => {
                let market = words.contains(&"mkt");
                let order = NewOrder {
                    cl_ord_id: number(1),
                    side: words[2].parse().unwrap(),
                    qty: decimal(words[3]),
                    price: if market {
                        NULL_PRICE
                    } else {
                        decimal(words[4])
                    },
                    stop_price: NULL_PRICE,
                    ord_type: if market { 1 } else { 2 },
                    tif: match words.last() {
                        Some(&"ioc") => 3,
                        Some(&"fok") => 4,
                        _ => 0,
                    },
                    instrument_id,
                    ..NewOrder::new_zeroed()
                };
                self.binary.send(&order);
            }
            "replace" => {
                let replace = ReplaceOrder {
                    cl_ord_id: number(1),
                    orig_cl_ord_id: number(2),
                    qty: decimal(words[3]),
                    price: decimal(words[4]),
                    instrument_id,
                    ..ReplaceOrder::new_zeroed()
                };
                self.binary.send(&replace);
            }
            "cancel" => {
                let cancel = CancelOrder {
                    cl_ord_id: number(1),
                    orig_cl_ord_id: number(2),
                    ..CancelOrder::new_zeroed()
                };
                self.binary.send(&cancel);
            }
            "mass" => {
                let request = MassCancel {
                    cl_ord_id: number(1),
                    scope: 1,
                    ..MassCancel::new_zeroed()
                };
                self.binary.send(&request);
            }
            "after" => {
                let request = CancelAfter {
                    after_ms: words[1].parse().unwrap(),
                    reserved: 0,
                };
                self.binary.send(&request);
            }
            other => panic!("{other:?} is no step"),
        }
    }
}

#[test]
fn every_report_of_a_trading_day_has_its_bytes() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let mut day = Day {
        fix: FixTalk::logged_on(server.fix, &credentials.fix[0], 30),
        binary: BinaryTalk::logged_on(server.binary, &credentials.binary[1], 30_000),
        transcript: String::new(),
        asked: 0,
    };
    for line in SCRIPT.lines().filter(|line| !line.starts_with('#')) {
        writeln!(day.transcript, "{line}").unwrap();
        if let Some(step) = line.strip_prefix("fix ") {
            day.fix_step(step);
        } else if let Some(step) = line.strip_prefix("bin ") {
            day.binary_step(step);
        } else {
            continue;
        }
        day.answers();
    }

    let path = format!(
        "{}/tests/trading_day/answers.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &day.transcript).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (at, (found, golden)) in day.transcript.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, golden, "line {} of {path}", at + 1);
    }
    assert_eq!(day.transcript.lines().count(), golden.lines().count());
    assert_eq!(server.terminate(), Some(0));
}
