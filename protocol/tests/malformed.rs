//! Messages that are wrong, and exactly what the venue's side of the protocol makes of each: the
//! answers are written down in `malformed/`. `BLESS=1` writes them anew, for a reader to check.

use std::fmt::Write as _;

use trading_engine_protocol::binary::message::{
    CancelOrder, Heartbeat, KillSwitch, Logon, LogonAccepted, Logout, MassCancel, MassQuote,
    Message, NewOrder, OrderStatusRequest, ProtectionConfig, ProtectionReset, QuoteCancel,
    QuoteEntry, Reject, ReplaceOrder, TestRequest,
};
use trading_engine_protocol::binary::{
    self, NULL_PRICE, decode_frame, frame, write_group_message, write_message,
};
use trading_engine_protocol::fix;
use trading_engine_protocol::types::{Reason, UtcNanos};
use zerocopy::{FromZeros, IntoBytes};

/// 2026-01-02 12:00:00 UTC.
const NOW: UtcNanos = UtcNanos(UtcNanos::from_date(2026, 1, 2).0 + 43_200 * UtcNanos::SECOND);
const TIME: &str = "20260102-12:00:00.000";

fn held_against(name: &str, found: &str) {
    let path = format!("{}/tests/malformed/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (at, (found, golden)) in found.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, golden, "line {} of {path}", at + 1);
    }
    assert_eq!(found.lines().count(), golden.lines().count(), "{path}");
}

// ---- FIX

/// Makes a message of a body: length and checksum are right unless the body says otherwise.
fn fix_message(text: &str) -> Vec<u8> {
    let (mut begin, mut length, mut sum, mut body) = ("FIX.4.4", None, None, String::new());
    for field in text.split('|').filter(|field| !field.is_empty()) {
        match field.split_once('=') {
            Some(("8", value)) => begin = value,
            Some(("9", value)) => length = Some(value.to_owned()),
            Some(("10", value)) => sum = Some(value.to_owned()),
            _ => {
                body.push_str(field);
                body.push('\x01');
            }
        }
    }
    let length = length.unwrap_or_else(|| body.len().to_string());
    let message = format!("8={begin}\x019={length}\x01{body}");
    let bytes = message.bytes().fold(0u8, u8::wrapping_add);
    let sum = sum.unwrap_or_else(|| format!("{bytes:03}"));
    format!("{message}10={sum}\x01").into_bytes()
}

fn fix_answer(acceptor: &fix::Acceptor, action: &fix::Action) -> String {
    use fix::{Action, Content};
    let content = |content: &Option<Content>| match content {
        None => "nothing".to_owned(),
        Some(Content::Reject {
            seq,
            tag,
            message_type,
            reason,
            text,
            routing,
        }) => {
            let kind = String::from_utf8_lossy(message_type);
            let routing = String::from_utf8_lossy(routing).replace('\x01', "|");
            format!("Reject 45={seq} 371={tag} 372={kind} 373={reason} 58={text} {routing}")
                .trim_end()
                .to_owned()
        }
        Some(Content::Logout(text)) => format!("Logout 58={text}"),
        Some(other) => format!("{other:?}"),
    };
    match action {
        Action::NeedMore => "waits for more".into(),
        Action::Handled => "ignored, no number used".into(),
        Action::Request { seq, request } => {
            use fix::Request;
            let refusal = match request {
                Request::New(order) | Request::Replace(order) => order.refusal,
                Request::MassQuote(_) => {
                    let entries = acceptor.quote_entries();
                    let refusals: Vec<_> = entries.iter().filter_map(|e| e.refusal).collect();
                    let count = entries.len();
                    return format!("to the core as {seq}, {count} entries, refusals {refusals:?}");
                }
                Request::QuoteCancel(cancel) => {
                    return format!("to the core as {seq}, {:?}", cancel.scope);
                }
                _ => None,
            };
            format!("to the core as {seq}, refusal {refusal:?}")
        }
        Action::Session {
            inbound,
            next_inbound,
            send,
            closes,
            ..
        } => {
            let next = if *next_inbound == 0 {
                String::new()
            } else {
                format!(", next {next_inbound}")
            };
            let closes = if *closes { ", then closes" } else { "" };
            format!("uses {inbound}{next}: {}{closes}", content(send))
        }
        Action::BusinessReject {
            seq,
            message_type,
            business_reason,
            reason,
        } => {
            let kind = String::from_utf8_lossy(message_type);
            let kind = kind.trim_end_matches('\0');
            format!("uses {seq}: BusinessReject 372={kind} 380={business_reason} {reason:?}")
        }
        Action::Resend { seq, begin, end } => format!("uses {seq}: resends {begin} to {end}"),
        Action::Logon(request) => {
            format!("Logon of {}", String::from_utf8_lossy(&request.comp_id))
        }
        Action::Close(reason) => format!("closes without a word ({reason:?})"),
    }
}

fn fix_acceptor() -> fix::Acceptor {
    let settings = fix::AcceptorSettings {
        comp_id: b"V".to_vec(),
        ..fix::AcceptorSettings::default()
    };
    fix::Acceptor::new(settings, 0)
}

/// What an open session that expects number 2 answers.
fn fix_answers(bytes: &[u8], active: bool) -> String {
    let mut acceptor = fix_acceptor();
    if active {
        let logon = format!("35=A|34=1|49=C|52={TIME}|56=V|98=0|108=30|553=u|554=p");
        let (_, action) = acceptor.receive(0, NOW, &fix_message(&logon));
        assert!(matches!(action, fix::Action::Logon(_)), "{action:?}");
        acceptor.logon_accepted(0, 1, 2, false);
    }
    let mut answers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (consumed, action) = acceptor.receive(1, NOW, &bytes[at..]);
        at += consumed;
        let stays = consumed == 0;
        answers.push(fix_answer(&acceptor, &action));
        while let Some(action) = acceptor.follow_up(NOW) {
            answers.push(fix_answer(&acceptor, &action));
        }
        if stays {
            break;
        }
    }
    answers.dedup();
    answers.join("; ")
}

fn fix_cases() -> Vec<(bool, String)> {
    let head = format!("34=2|49=C|52={TIME}|56=V");
    let order = format!("11=A1|55=T|54=1|60={TIME}|38=1|40=2|44=50");
    let mut cases = Vec::new();
    let mut add = |text: String| cases.push((true, text));
    // Framing.
    for wrong in [
        "10=256",
        "10=999",
        "10=abc",
        "10=1",
        "10=",
        "9=0",
        "9=1",
        "9=abc",
        "9=-5",
        "9=",
        "9=99999999",
        "9=9000",
        "9=33000",
        "8=FIX.4.1",
        "8=FIXT.1.1",
        "8=",
        "8=FIX.4.4 ",
    ] {
        add(format!("35=0|{head}|{wrong}"));
    }
    for wrong in ["X=1", "=1", "112", "11 2=x", "1a=x", "+112=x", "112:x"] {
        add(format!("35=0|{head}|{wrong}"));
    }
    for first in ["34=2|35=0", "49=C|35=0|34=2", "35=|34=2"] {
        add(format!("{first}|49=C|52={TIME}|56=V"));
    }
    // MsgType and MsgSeqNum.
    for kind in [
        "ZZ",
        "*",
        "00",
        "AAAAAAAAAAAA",
        "8",
        "9",
        "j",
        "q",
        "V",
        "E",
        "d",
        "é",
    ] {
        add(format!("35={kind}|{head}"));
    }
    for seq in [
        "34=0",
        "34=1",
        "34=-2",
        "34=abc",
        "34=",
        "34=2.0",
        "34=99999999999999999999",
        "34=9",
    ] {
        add(format!("35=0|{seq}|49=C|52={TIME}|56=V"));
    }
    add(format!("35=0|49=C|52={TIME}|56=V"));
    // Identity and time.
    for header in [
        "49=X|52=T|56=V",
        "49=C|52=T|56=X",
        "49=|52=T|56=V",
        "52=T|56=V",
        "49=C|52=T",
        "49=C|56=V",
    ] {
        add(format!(
            "35=0|34=2|{}",
            header.replace("52=T", &format!("52={TIME}"))
        ));
    }
    for time in [
        "20260102-11:57:59",
        "20260102-12:02:01.000",
        "20260102",
        "yesterday",
        "20260102-24:00:00",
        "20260230-12:00:00",
        "20260102 12:00:00",
        "20260102-12:00:00.",
        "20260102-12:00:00.1234567890",
        "20260102-12:00:61",
        "99991231-23:59:59",
        "",
    ] {
        add(format!("35=0|34=2|49=C|52={time}|56=V"));
    }
    // PossDup.
    for flags in [
        "43=Y",
        "43=Y|122=20260102-12:00:01.000",
        "43=Q|122=20260102-12:00:00",
        "43=Y|122=then",
    ] {
        add(format!("35=0|34=2|{flags}|49=C|52={TIME}|56=V"));
        add(format!("35=0|34=1|{flags}|49=C|52={TIME}|56=V"));
    }
    // Fields that no dictionary has, empty ones, ones of other messages, twice, out of place.
    for field in [
        "999=1",
        "5000=1",
        "0=1",
        "-1=1",
        "1024=1",
        "9999999999=1",
        "00112=1",
    ] {
        add(format!("35=0|{head}|{field}"));
    }
    for field in ["112=", "55=T", "38=1", "36=5", "141=Y"] {
        add(format!("35=0|{head}|{field}"));
    }
    for field in [
        "112=a|112=b",
        "112=a|50=D",
        "112=a|49=C",
        "93=1|89=a|112=x",
        "50=D|50=D",
    ] {
        add(format!("35=1|{head}|{field}"));
    }
    for missing in ["11", "54", "60", "40"] {
        let body: Vec<&str> = order
            .split('|')
            .filter(|field| !field.starts_with(&format!("{missing}=")))
            .collect();
        add(format!("35=D|{head}|{}", body.join("|")));
        add(format!("35=G|{head}|41=A0|{}", body.join("|")));
    }
    add(format!("35=F|{head}|11=A1|55=T|54=1|60={TIME}"));
    add(format!("35=F|{head}|41=A0|55=T|54=1|60={TIME}"));
    add(format!("35=G|{head}|{order}"));
    // Values of the wrong form, and values that are not allowed.
    for (tag, values) in [
        (
            38,
            &[
                "", "abc", "1e5", "+1", "1.2.3", "--1", ".", "-", "0x10", " 1", "1,5", "NaN",
            ][..],
        ),
        (
            44,
            &["", "abc", "5O", "50.", "1.123456789", "99999999999999"],
        ),
        (54, &["", "0", "Z", "12", "3"]),
        (40, &["", "0", "Z", "22", "3", "P"]),
        (59, &["", "9", "10", "1", "6"]),
        (60, &["", "now", "20260102"]),
        (
            11,
            &[
                "",
                "with space",
                "far-too-long-to-be-a-client-order-id-of-anyone",
                "café",
            ],
        ),
        (55, &["", "far-too-long-to-be-a-symbol-of-anything"]),
        (21, &["", "4", "11"]),
        (97, &["", "y", "1"]),
        (18, &["6"]),
        (99, &["51", "x"]),
        (110, &["1"]),
        (111, &["1"]),
        (1, &["ACC"]),
        (432, &["2026010", "20260102"]),
        (126, &["x", "20260103-12:00:00"]),
        (
            453,
            &[
                "1",
                "x",
                "-1",
                "1|448=A|447=D|452=1|448=B",
                "2|448=A",
                "1|447=D|448=A",
            ],
        ),
        (386, &["3|336=A|336=B", "0|336=A"]),
        (354, &["3|355=ab", "5|355=ab", "x|355=ab"]),
    ] {
        for value in values {
            let known = order
                .split('|')
                .any(|field| field.starts_with(&format!("{tag}=")));
            let body = if known {
                let fields = order.split('|').map(|field| {
                    if field.starts_with(&format!("{tag}=")) {
                        format!("{tag}={value}")
                    } else {
                        field.to_owned()
                    }
                });
                fields.collect::<Vec<_>>().join("|")
            } else {
                format!("{tag}={value}|{order}")
            };
            add(format!("35=D|{head}|{body}"));
        }
    }
    // Quotes: groups in groups.
    let sets = |entries: &str| format!("117=Q|296=1|302=1|304=1|295=1|{entries}");
    let quote = sets("299=E|55=T|132=49|134=1|133=51|135=2");
    for body in [
        quote.as_str(),
        "",
        "117=Q",
        "117=Q|296=0",
        "117=Q|296=1|302=1",
        "117=Q|296=1|302=1|295=0",
        "117=Q|296=2|302=1|295=1|299=E|55=T",
        "117=Q|296=1|302=1|295=2|299=E|55=T",
        "117=Q|296=1|295=1|299=E|55=T",
        "117=Q|296=1|302=1|295=1|55=T|299=E",
        "117=Q|296=1|302=1|299=E|55=T",
        "117=Q|295=1|299=E|55=T",
        "117=Q|296=1|302=0|295=1|299=E|55=T",
        "117=Q|296=1|302=65537|295=1|299=E|55=T",
        "117=Q|296=1|302=ONE|295=1|299=E|55=T",
        "117=Q|296=1|302=1|295=1|299=with space|55=T",
        "117=Q|296=1|302=1|295=1|299=E|299=F",
        "117=Q|296=1|302=1|295=1|299=E|55=T|55=T",
        "117=Q|296=1|302=1|295=1|299=E|295=1|299=F",
        "117=Q|296=1|302=1|295=1|299=E|55=",
        "117=Q|296=1|302=1|295=1|299=E|132=x",
        "117=Q|296=1|302=1|295=1|299=E|58=x",
        "117=with space|296=1|302=1|295=1|299=E",
        "296=1|302=1|295=1|299=E",
        "117=Q|301=3|296=1|302=1|295=1|299=E",
        "117=Q|9019=65536|296=1|302=1|295=1|299=E",
        "117=Q|9019=-1|296=1|302=1|295=1|299=E",
        "117=Q|1=ACC|296=1|302=1|295=1|299=E",
        "117=Q|18=1|296=1|302=1|295=1|299=E",
        "117=Q|296=x|302=1|295=1|299=E",
        "117=Q|55=T|296=1|302=1|295=1|299=E",
    ] {
        add(format!("35=i|{head}|{body}"));
    }
    for entry in [
        "299=E",
        "299=E|55=T|132=1.123456789|134=1",
        "299=E|55=T|132=99999999999999|134=1",
        "299=E|55=T|132=1|134=1.123456789",
        "299=E|55=T|133=1|135=99999999999999",
        "299=E|55=far-too-long-to-be-a-symbol-of-anything",
    ] {
        add(format!("35=i|{head}|{}", sets(entry)));
    }
    let many = |count: usize| {
        let entries = "|299=E|55=T|132=49|134=1|133=51|135=2".repeat(count);
        format!("117=Q|296=1|302=1|304={count}|295={count}{entries}")
    };
    add(format!("35=i|{head}|{}", many(100)));
    add(format!("35=i|{head}|{}", many(101)));
    for body in [
        "117=Q|298=4",
        "117=Q|298=4|9019=2",
        "117=Q|298=4|302=1",
        "117=Q|298=4|295=1|55=T",
        "117=Q|298=1",
        "117=Q|298=1|295=1|55=T",
        "117=Q|298=1|295=2|55=T|55=U",
        "117=Q|298=1|9019=2|295=1|55=T",
        "117=Q|298=1|9019=2|302=1|295=1|55=T",
        "117=Q|298=1|302=0|295=1|55=T",
        "117=Q|298=2|295=1|55=T",
        "117=Q",
        "298=4",
        "117=Q|298=1|55=T",
    ] {
        add(format!("35=Z|{head}|{body}"));
    }
    // Questions, kill switch, protection, mass cancels.
    for message in [
        "35=H",
        "35=H|11=A",
        "35=H|37=5|790=R",
        "35=H|37=five",
        "35=H|11=with space",
        "35=H|11=A|54=Z",
        "35=AF",
        "35=AF|584=R|585=7",
        "35=AF|584=R|585=7|55=T",
        "35=AF|584=R|585=1",
        "35=AF|584=R|585=1|55=T|54=1",
        "35=AF|584=R|585=2",
        "35=AF|585=7",
        "35=e",
        "35=e|55=T|263=1",
        "35=e|324=R|263=1",
        "35=e|324=R|55=T",
        "35=e|324=R|55=T|263=0",
        "35=e|324=R|55=T|263=3",
        "35=e|324=R|55=T|263=11",
        "35=e|324=R|55=|263=1",
        "35=e|324=with space|55=T|263=1",
        "35=e|324=R2345678901234567890123456789012345678|55=T|263=1",
        "35=e|324=R|55=T|263=1|336=1|625=3|15=USD|200=202612",
        "35=e|324=R|55=T|263=1|338=1",
        "35=f|55=T",
        "35=g",
        "35=g|335=R|263=1",
        "35=g|335=R|263=1|336=2",
        "35=g|335=R|263=1|338=1|339=3|625=3",
        "35=g|335=R|263=1|338=4",
        "35=g|335=R|336=1",
        "35=g|263=1",
        "35=g|335=R|263=x",
        "35=g|335=with space|263=1",
        "35=h|336=1|340=2",
        "35=U1",
        "35=U1|11=K|35012=1|35013=3",
        "35=U1|11=K|35012=6",
        "35=U1|11=K|35012=1|35013=4294967296",
        "35=U1|11=K|35012=1|35013=x",
        "35=U1|11=K|35012=1|35014=1",
        "35=U2|11=K",
        "35=U3|11=P|9019=1|35023=1000",
        "35=U3|11=P|9019=1",
        "35=U3|11=P|9019=1|35023=4294967296",
        "35=U3|11=P|9019=1|35023=1000|35020=-1",
        "35=U3|11=P|9019=65536|35023=1000",
        "35=U4|11=P|9019=1",
        "35=U4|11=P",
        "35=U4|11=P|9019=1|35023=1",
        "35=U5|11=P",
        "35=U6",
        "35=U6|35031=500",
        "35=U6|35031=-1",
        "35=U6|35031=4294967296",
        "35=U6|35031=500|11=C",
        "35=U7|45=1",
        "35=U8",
        "35=b",
        "35=AI",
        "35=q|11=M|530=7|35010=4",
        "35=q|11=M|530=7|35010=2|35011=3",
        "35=q|11=M|530=7|460=-1",
        "35=q|11=M|530=7|1=ACC",
        "35=q|11=M|530=3|460=2|9019=1|35010=3|35011=1|1=7",
    ] {
        let (kind, rest) = message.split_once('|').unwrap_or((message, ""));
        let time = if kind == "35=q" {
            format!("|60={TIME}")
        } else {
            String::new()
        };
        add(format!("{kind}|{head}|{rest}{time}"));
    }
    // What an order may not ask for.
    for field in [
        "9019=3",
        "9019=65536",
        "211=1",
        "388=0",
        "389=1",
        "583=L",
        "1385=1",
        "18=G",
        "18=R",
        "18=a",
        "18=H",
        "18=6 H",
        "18=6  H",
        "18=H Q",
        "1138=0",
        "210=1",
        "111=0",
    ] {
        add(format!("35=D|{head}|{field}|{order}"));
    }
    for value in ["2", "5", "7"] {
        add(format!("35=D|{head}|59={value}|{order}"));
    }
    // Session messages.
    for message in [
        "35=1",
        "35=2",
        "35=2|7=1",
        "35=2|16=0",
        "35=2|7=x|16=0",
        "35=2|7=5|16=3",
        "35=2|7=0|16=0",
        "35=4",
        "35=4|123=Y",
        "35=4|123=Y|36=2",
        "35=4|123=Y|36=1",
        "35=4|36=1",
        "35=4|36=x",
        "35=4|123=X|36=9",
        "35=3",
        "35=3|45=x",
        "35=5|354=2|355=a",
        "35=A|98=0|108=30",
        "35=A",
        "35=A|98=1|108=30",
    ] {
        let (kind, rest) = message.split_once('|').unwrap_or((message, ""));
        add(format!("{kind}|{head}|{rest}"));
    }
    // Before the Logon.
    let first = format!("34=1|49=C|52={TIME}|56=V");
    for message in [
        "35=0",
        "35=D|11=A",
        "35=5",
        "35=A",
        "35=A|98=0",
        "35=A|108=30",
        "35=A|98=1|108=30",
        "35=A|98=0|108=x",
        "35=A|98=0|108=-1",
        "35=A|98=0|108=0",
        "35=A|98=0|108=99999",
        "35=A|98=0|108=30|141=X",
        "35=A|98=0|108=30|999=1",
        "35=A|98=0|108=30|9=20",
        "35=A|98=0|108=30|10=000",
        "35=A|98=0|108=30|8=FIX.4.2",
    ] {
        let (kind, rest) = message.split_once('|').unwrap_or((message, ""));
        cases.push((false, format!("{kind}|{first}|{rest}")));
    }
    cases.push((false, format!("35=A|34=0|49=C|52={TIME}|56=V|98=0|108=30")));
    cases.push((false, format!("35=A|34=1|49=C|52={TIME}|56=X|98=0|108=30")));
    cases.push((
        false,
        "35=A|34=1|49=C|52=19990101-00:00:00|56=V|98=0|108=30".into(),
    ));
    cases
}

/// The same early number twice, the second time longer: what waits is counted as it is.
#[test]
fn an_early_message_that_comes_again_longer_is_counted_once() {
    let head = format!("49=C|52={TIME}|56=V");
    let early = |text: &str| fix_message(&format!("35=1|34=4|{head}|112={text}"));
    let mut stream = fix_message(&format!("35=0|34=3|{head}"));
    stream.extend(early("A"));
    stream.extend(early("A-MUCH-LONGER-ONE"));
    stream.extend(fix_message(&format!("35=0|34=2|{head}")));
    assert_eq!(
        fix_answers(&stream, true),
        "uses 0: ResendRequest(2); ignored, no number used; uses 2: nothing; uses 3: nothing; \
         uses 4: Heartbeat([65, 45, 77, 85, 67, 72, 45, 76, 79, 78, 71, 69, 82, 45, 79, 78, 69])"
    );
}

#[test]
fn every_malformed_fix_message_has_its_answer() {
    let mut found = String::new();
    let cases = fix_cases();
    assert!(cases.len() >= 100);
    for (active, text) in cases {
        let when = if active { "open " } else { "first" };
        let answer = fix_answers(&fix_message(&text), active);
        let _ = writeln!(
            found,
            "{when} {}\n      -> {answer}",
            text.replace(TIME, "@")
        );
    }
    held_against("fix.txt", &found);
}

// ---- binary

fn binary_answers(bytes: &[u8], state: &str) -> String {
    let mut out = Vec::new();
    let settings = binary::AcceptorSettings::default();
    let mut acceptor = binary::Acceptor::new(settings, [7; 32], 0, 0, &mut out);
    if state != "first" {
        let mut logon = Vec::new();
        let body = Logon {
            session_id: 1,
            auth_type: 2,
            heartbeat_ms: 1_000,
            ..Logon::new_zeroed()
        };
        write_message(&mut logon, &body, 0);
        acceptor.receive(0, &logon, &mut out);
        let accepted = LogonAccepted {
            last_client_seq: 5,
            next_seq: 1,
            ..LogonAccepted::new_zeroed()
        };
        acceptor.logon_accepted(0, accepted, &mut out);
        if state == "open" {
            acceptor.replay_complete(0, &mut out);
        }
    }
    out.clear();
    let mut answers = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let received = acceptor.receive(1, &bytes[at..], &mut out);
        at += received.consumed;
        use binary::Action;
        let what = match received.action {
            Action::NeedMore => "waits for more".to_owned(),
            Action::Handled => String::new(),
            Action::Logon(_) => "Logon to be checked".into(),
            Action::NewOrder {
                seq, unsupported, ..
            } => format!("to the core as {seq}, {unsupported:?}"),
            Action::ReplaceOrder { seq, .. }
            | Action::CancelOrder { seq, .. }
            | Action::MassCancel { seq, .. }
            | Action::CancelAfter { seq, .. }
            | Action::OrderStatus { seq, .. }
            | Action::QuoteCancel { seq, .. }
            | Action::ProtectionConfig { seq, .. }
            | Action::ProtectionReset { seq, .. }
            | Action::KillSwitch { seq, .. } => format!("to the core as {seq}"),
            Action::MassQuote { seq, entries, .. } => {
                format!("to the core as {seq}, {} entries", entries.len())
            }
            Action::Close(reason) => format!("closes ({reason:?})"),
        };
        answers.push(what);
        if received.consumed == 0 {
            break;
        }
    }
    let mut sent = Vec::new();
    let mut rest = &out[..];
    while let Ok(frame::Frame::Complete { header, body }) = decode_frame(rest) {
        let reason = |code: u16| Reason::try_from(code).unwrap_or(Reason::None);
        let text = match header.template_id {
            Reject::TEMPLATE => {
                let r: Reject = frame::block(&header, body).unwrap();
                format!(
                    "Reject ref_seq={} ref_cl_ord_id={} ref_template_id={} reason={:?} ref_field_id={}",
                    r.ref_seq,
                    r.ref_cl_ord_id,
                    r.ref_template_id,
                    reason(r.reason),
                    r.ref_field_id
                )
            }
            Logout::TEMPLATE => {
                let l: Logout = frame::block(&header, body).unwrap();
                format!("Logout reason={:?}", reason(l.reason))
            }
            Heartbeat::TEMPLATE => {
                let h: Heartbeat = frame::block(&header, body).unwrap();
                format!("Heartbeat test_id={}", h.test_id)
            }
            other => format!("template {other}"),
        };
        let bytes = &rest[..usize::from(header.length)];
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        sent.push(format!("{text} [{hex}]"));
        rest = &rest[usize::from(header.length)..];
    }
    answers.retain(|answer| !answer.is_empty());
    sent.extend(answers);
    if sent.is_empty() {
        "taken".into()
    } else {
        sent.join("; ")
    }
}

fn bytes_of<M: Message>(message: &M, seq: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_message(&mut out, message, seq);
    out
}

/// A mass quote of so many entries.
fn mass_quote(entries: usize) -> Vec<u8> {
    let quote = MassQuote {
        quote_id: 11,
        ..MassQuote::new_zeroed()
    };
    let entry = QuoteEntry {
        instrument_id: 1,
        bid_price: 5_000_000_000,
        bid_qty: 100_000_000,
        ..QuoteEntry::new_zeroed()
    };
    let mut out = Vec::new();
    write_group_message(&mut out, &quote, std::iter::repeat_n(entry, entries), 6);
    out
}

/// Sets 16 bits of a message.
fn poked(mut bytes: Vec<u8>, at: usize, value: u16) -> Vec<u8> {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// Cuts a message to a length, consistently said.
fn resized(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.resize(length, 0);
    poked(bytes, 0, length as u16)
}

/// What is wrong with quotes, status requests, protection and kill switch.
fn newer_binary_cases() -> Vec<(String, &'static str, Vec<u8>)> {
    let mut cases = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| cases.push((name.to_owned(), "open", bytes));
    // Positions in a mass quote's frame: block 16, group header 40, entries 48.
    let two = mass_quote(2);
    add("MassQuote", two.clone());
    add("MassQuote of none", mass_quote(0));
    let mut many = mass_quote(100);
    many.extend_from_within(many.len() - 40..);
    let many = resized(many.clone(), many.len());
    add("MassQuote of 101", poked(many, 42, 101));
    add("MassQuote quote_id=0", {
        let mut bytes = two.clone();
        bytes[16] = 0;
        bytes
    });
    add("MassQuote flags=8", poked(two.clone(), 30, 8));
    add("MassQuote all or none", poked(two.clone(), 30, 4));
    add("MassQuote reserved", poked(two.clone(), 33, 1));
    add("MassQuote entry_flags=4", poked(two.clone(), 92, 4));
    add("MassQuote entry length 39", poked(two.clone(), 40, 39));
    add("MassQuote entry length 0", poked(two.clone(), 40, 0));
    add("MassQuote of 3, says 2", poked(mass_quote(3), 42, 2));
    add("MassQuote of 2, says 3", poked(two.clone(), 42, 3));
    add(
        "MassQuote of 2, says 65535",
        poked(two.clone(), 42, u16::MAX),
    );
    add("MassQuote with groups in it", poked(two.clone(), 44, 1));
    add("MassQuote with texts in it", poked(two.clone(), 46, 1));
    add("MassQuote without a group", resized(two.clone(), 40));
    add(
        "MassQuote with half a group header",
        resized(two.clone(), 44),
    );
    add("MassQuote without its last byte", resized(two.clone(), 127));
    add("MassQuote with a byte behind", resized(two.clone(), 129));
    add("MassQuote block_length=16", poked(two.clone(), 2, 16));
    add("MassQuote block_length=112", poked(two, 2, 112));
    add("MassQuote with longer entries", {
        let mut bytes = poked(mass_quote(1), 40, 48);
        bytes.extend([1; 8]);
        resized(bytes.clone(), bytes.len())
    });

    let cancel = MassCancel {
        cl_ord_id: 12,
        scope: 1,
        ..MassCancel::new_zeroed()
    };
    type Change<M> = (&'static str, fn(&mut M));
    let cancels: [Change<MassCancel>; 9] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("scope=0", |m| m.scope = 0),
        ("scope=3", |m| m.scope = 3),
        ("scope=4", |m| m.scope = 4),
        ("side=3", |m| m.side = 3),
        ("flags=1", |m| m.flags = 1),
        ("quotes and orders only", |m| m.flags = 12),
        ("product and group", |m| {
            m.product_id = 1;
            m.mmp_group = 1;
        }),
        ("reserved", |m| m.reserved[6] = 1),
    ];
    for (name, change) in cancels {
        let mut message = cancel;
        change(&mut message);
        add(&format!("MassCancel {name}"), bytes_of(&message, 6));
    }
    let status = OrderStatusRequest {
        cl_ord_id: 13,
        ..OrderStatusRequest::new_zeroed()
    };
    let questions: [Change<OrderStatusRequest>; 4] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("side=2", |m| m.side = 2),
        ("side=3", |m| m.side = 3),
        ("reserved", |m| m.reserved[0] = 1),
    ];
    for (name, change) in questions {
        let mut message = status;
        change(&mut message);
        add(&format!("OrderStatusRequest {name}"), bytes_of(&message, 6));
    }
    let quotes = QuoteCancel {
        quote_id: 14,
        scope: 1,
        ..QuoteCancel::new_zeroed()
    };
    let ends: [Change<QuoteCancel>; 8] = [
        ("quote_id=0", |m| m.quote_id = 0),
        ("scope=0", |m| m.scope = 0),
        ("scope=5", |m| m.scope = 5),
        ("of all, instrument_id=1", |m| m.instrument_id = 1),
        ("of all, mmp_group=1", |m| m.mmp_group = 1),
        ("of an instrument, layer=1", |m| {
            m.scope = 2;
            m.instrument_id = 1;
            m.layer = 1;
        }),
        ("of one", |m| {
            m.scope = 4;
            m.instrument_id = 1;
            m.layer = 1;
        }),
        ("reserved", |m| m.reserved[0] = 1),
    ];
    for (name, change) in ends {
        let mut message = quotes;
        change(&mut message);
        add(&format!("QuoteCancel {name}"), bytes_of(&message, 6));
    }
    let config = ProtectionConfig {
        cl_ord_id: 15,
        mmp_group: 1,
        ..ProtectionConfig::new_zeroed()
    };
    let configs: [Change<ProtectionConfig>; 3] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("window_ms=4294967295", |m| m.window_ms = u32::MAX),
        ("reserved", |m| m.reserved = 1),
    ];
    for (name, change) in configs {
        let mut message = config;
        change(&mut message);
        add(&format!("ProtectionConfig {name}"), bytes_of(&message, 6));
    }
    let reset = ProtectionReset {
        cl_ord_id: 16,
        mmp_group: 1,
        ..ProtectionReset::new_zeroed()
    };
    let resets: [Change<ProtectionReset>; 2] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("reserved", |m| m.reserved[5] = 1),
    ];
    for (name, change) in resets {
        let mut message = reset;
        change(&mut message);
        add(&format!("ProtectionReset {name}"), bytes_of(&message, 6));
    }
    let kill = KillSwitch {
        cl_ord_id: 17,
        target: 1,
        scope: 1,
        ..KillSwitch::new_zeroed()
    };
    let kills: [Change<KillSwitch>; 8] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("scope=0", |m| m.scope = 0),
        ("scope=6", |m| m.scope = 6),
        ("target=0", |m| m.target = 0),
        ("of the venue, target=1", |m| m.scope = 5),
        ("release=1", |m| m.release = 1),
        ("release=2", |m| m.release = 2),
        ("reserved", |m| m.reserved = 1),
    ];
    for (name, change) in kills {
        let mut message = kill;
        change(&mut message);
        add(&format!("KillSwitch {name}"), bytes_of(&message, 6));
    }
    cases
}

/// Name, when, bytes.
fn binary_cases() -> Vec<(String, &'static str, Vec<u8>)> {
    let order = NewOrder {
        cl_ord_id: 7,
        price: 5_000_000_000,
        qty: 100_000_000,
        stop_price: NULL_PRICE,
        instrument_id: 1,
        side: 1,
        ord_type: 2,
        ..NewOrder::new_zeroed()
    };
    let replace = ReplaceOrder {
        cl_ord_id: 8,
        orig_cl_ord_id: 7,
        price: 5_000_000_000,
        qty: 100_000_000,
        instrument_id: 1,
        ..ReplaceOrder::new_zeroed()
    };
    let cancel = CancelOrder {
        cl_ord_id: 9,
        orig_cl_ord_id: 7,
        ..CancelOrder::new_zeroed()
    };
    let logon = Logon {
        session_id: 1,
        auth_type: 2,
        heartbeat_ms: 1_000,
        ..Logon::new_zeroed()
    };
    let mut cases = Vec::new();
    let mut add =
        |name: String, when: &'static str, bytes: Vec<u8>| cases.push((name, when, bytes));
    let valid: [(&str, Vec<u8>); 6] = [
        ("NewOrder", bytes_of(&order, 6)),
        ("ReplaceOrder", bytes_of(&replace, 6)),
        ("CancelOrder", bytes_of(&cancel, 6)),
        ("Heartbeat", bytes_of(&Heartbeat::new_zeroed(), 0)),
        ("TestRequest", bytes_of(&TestRequest { test_id: 3 }, 0)),
        ("Logout", bytes_of(&Logout::new_zeroed(), 0)),
    ];
    // The header of every message.
    for (name, bytes) in &valid {
        let with = |at: usize, value: u16| {
            let mut bytes = bytes.clone();
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            bytes
        };
        for length in [0, 15, 4097, 65535] {
            add(format!("{name} length={length}"), "open", with(0, length));
        }
        for block in [0, 1, u16::MAX] {
            add(
                format!("{name} block_length={block}"),
                "open",
                with(2, block),
            );
        }
        add(format!("{name} schema_id=9"), "open", with(6, 0x0109));
        for version in [0u8, 2, 255] {
            let mut bytes = bytes.clone();
            bytes[7] = version;
            add(format!("{name} version={version}"), "open", bytes);
        }
        add(
            format!("{name} cut"),
            "open",
            bytes[..bytes.len() - 1].to_vec(),
        );
        add(
            format!("{name} as the first message"),
            "first",
            bytes.clone(),
        );
        add(format!("{name} in the replay"), "replay", bytes.clone());
        // A block without its last eight bytes, consistently said.
        let mut short = bytes[..bytes.len() - 8].to_vec();
        let (length, block) = (short.len() as u16, short.len() as u16 - 16);
        short[0..2].copy_from_slice(&length.to_le_bytes());
        short[2..4].copy_from_slice(&block.to_le_bytes());
        add(format!("{name} block too short"), "open", short);
        // Bytes behind the block that no group explains.
        let mut long = bytes.clone();
        long.extend_from_slice(&[1; 8]);
        let length = long.len() as u16;
        long[0..2].copy_from_slice(&length.to_le_bytes());
        add(
            format!("{name} with bytes behind its block"),
            "open",
            long.clone(),
        );
        // A newer client's longer block is fine.
        let block = length - 16;
        long[2..4].copy_from_slice(&block.to_le_bytes());
        add(format!("{name} with a longer block"), "open", long);
    }
    for template in [
        0,
        3,
        4,
        5,
        9,
        99,
        103,
        104,
        199,
        200,
        205,
        300,
        999,
        u16::MAX,
    ] {
        let mut bytes = bytes_of(&order, 6);
        bytes[4..6].copy_from_slice(&template.to_le_bytes());
        add(format!("template {template}"), "open", bytes);
    }
    for seq in [0, 1, 5, u64::MAX] {
        add(format!("NewOrder seq={seq}"), "open", bytes_of(&order, seq));
        add(
            format!("CancelOrder seq={seq}"),
            "open",
            bytes_of(&cancel, seq),
        );
    }
    type Change<M> = (&'static str, fn(&mut M));
    let orders: [Change<NewOrder>; 20] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("side=0", |m| m.side = 0),
        ("side=3", |m| m.side = 3),
        ("side=255", |m| m.side = 255),
        ("ord_type=0", |m| m.ord_type = 0),
        ("ord_type=3", |m| m.ord_type = 3),
        ("tif=1", |m| m.tif = 1),
        ("tif=2", |m| m.tif = 2),
        ("tif=5", |m| m.tif = 5),
        ("tif=7", |m| m.tif = 7),
        ("hidden", |m| m.exec_inst = 8),
        ("tif=255", |m| m.tif = 255),
        ("stop_price", |m| m.stop_price = 1),
        ("display_qty", |m| m.display_qty = 1),
        ("expire_time", |m| m.expire_time = 1),
        ("exec_inst", |m| m.exec_inst = 1),
        ("mmp_group", |m| m.mmp_group = 1),
        ("stp_mode", |m| m.stp_mode = 1),
        ("account_id", |m| m.account_id = 1),
        ("instrument_id=0", |m| m.instrument_id = 0),
    ];
    for (name, change) in orders {
        let mut message = order;
        change(&mut message);
        add(format!("NewOrder {name}"), "open", bytes_of(&message, 6));
    }
    let replaces: [Change<ReplaceOrder>; 3] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("display_qty", |m| m.display_qty = 1),
        ("reserved", |m| m.reserved = 1),
    ];
    for (name, change) in replaces {
        let mut message = replace;
        change(&mut message);
        add(
            format!("ReplaceOrder {name}"),
            "open",
            bytes_of(&message, 6),
        );
    }
    let cancels: [Change<CancelOrder>; 2] = [
        ("cl_ord_id=0", |m| m.cl_ord_id = 0),
        ("reserved", |m| m.reserved = 1),
    ];
    for (name, change) in cancels {
        let mut message = cancel;
        change(&mut message);
        add(format!("CancelOrder {name}"), "open", bytes_of(&message, 6));
    }
    let logons: [Change<Logon>; 9] = [
        ("auth_type=0", |m| m.auth_type = 0),
        ("auth_type=9", |m| m.auth_type = 9),
        ("session_id=0", |m| m.session_id = 0),
        ("heartbeat_ms=0", |m| m.heartbeat_ms = 0),
        ("heartbeat_ms=4294967295", |m| m.heartbeat_ms = u32::MAX),
        ("cod_type=1", |m| m.cod_type = 1),
        ("flags=2", |m| m.flags = 2),
        ("flags=32769", |m| m.flags = 0x8001),
        ("cod_grace_ms=1", |m| m.cod_grace_ms = 1),
    ];
    for (name, change) in logons {
        let mut message = logon;
        change(&mut message);
        add(format!("Logon {name}"), "first", bytes_of(&message, 0));
    }
    add(
        "Logon in an open session".into(),
        "open",
        bytes_of(&logon, 0),
    );
    add("Logon with a number".into(), "first", bytes_of(&logon, 1));
    add(
        "TestRequest test_id=0".into(),
        "open",
        bytes_of(&TestRequest { test_id: 0 }, 0),
    );
    for (name, text) in [
        ("FIX", &b"8=FIX.4.4\x019=70\x0135=A\x0134=1\x0149=C\x01"[..]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: venue\r\n\r\n"),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00",
        ),
        ("zeros", &[0; 64]),
        ("ones", &[255; 64]),
    ] {
        add(format!("{name} bytes"), "first", text.to_vec());
        add(format!("{name} bytes"), "open", text.to_vec());
    }
    cases.extend(newer_binary_cases());
    cases
}

#[test]
fn every_malformed_binary_message_has_its_answer() {
    let mut found = String::new();
    let cases = binary_cases();
    assert!(cases.len() >= 100);
    for (name, when, bytes) in cases {
        let hex: String = bytes
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let answer = binary_answers(&bytes, when);
        let _ = writeln!(found, "{when:<6} {name}  {hex}\n       -> {answer}");
    }
    held_against("binary.txt", &found);
}
