//! Dialogues with the venue's FIX door, as scripts: `fix_session/dialogues.txt` says how to read
//! them. They cover the session tests that FIX engines are measured by.

mod support;

use support::server::Server;
use support::talk::{Fields, FixTalk, now};
use trading_engine::client::credentials::FixCredentials;
use trading_engine_protocol::fix::encode::write_timestamp;
use trading_engine_protocol::types::UtcNanos;

const DIALOGUES: &str = include_str!("fix_session/dialogues.txt");
const DESK: &str = include_str!("fix_session/desk.txt");
const QUOTES: &str = include_str!("fix_session/quotes.txt");

struct Dialogue {
    name: String,
    lines: Vec<String>,
}

fn dialogues(text: &str) -> Vec<Dialogue> {
    let mut all: Vec<Dialogue> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("== ") {
            all.push(Dialogue {
                name: name.into(),
                lines: Vec::new(),
            });
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some(last) = all.last_mut()
        {
            last.lines.push(line.into());
        }
    }
    all
}

/// What `@`, `@+9` and `@-9` stand for in a message that is written at `now`.
fn time(value: &str, now: UtcNanos) -> String {
    let offset: i64 = value[1..].parse().unwrap_or(0);
    let nanos = now.0.cast_signed() + offset * 1_000_000_000;
    let mut text = [0; 21];
    write_timestamp(UtcNanos(nanos.cast_unsigned()), &mut text);
    String::from_utf8(text.to_vec()).unwrap()
}

/// Turns a script's message into bytes; also says its number.
fn build(talk: &FixTalk, text: &str) -> (Vec<u8>, u64) {
    let (kind, rest) = text.split_once('|').unwrap_or((text, ""));
    // One time for the whole message: an OrigSendingTime of now must not be after its SendingTime.
    let now = now();
    let mut header = vec![
        ("8".to_owned(), "FIX.4.4".to_owned()),
        ("35".into(), kind.into()),
        ("34".into(), talk.next.to_string()),
        ("49".into(), talk.comp_id.clone()),
        ("52".into(), time("@", now)),
        ("56".into(), talk.venue.clone()),
    ];
    let (mut body, mut length, mut sum, mut first) = (String::new(), None, None, None);
    let mut raw = None;
    for field in rest.split('|').filter(|field| !field.is_empty()) {
        if raw.is_some() {
            body.push_str(&format!("{field}\x01"));
            continue;
        }
        let Some((tag, value)) = field.split_once('=') else {
            let left_out = field.strip_prefix('-').expect("tag=value or -tag");
            header.retain(|(tag, _)| tag != left_out);
            continue;
        };
        let value = if value.starts_with('@') {
            time(value, now)
        } else {
            value.into()
        };
        match tag {
            "9" => length = Some(value),
            "10" => sum = Some(value),
            "first" => first = Some(value),
            "raw" => raw = Some(value),
            "8" | "34" | "49" | "52" | "56" => {
                let known = header.iter_mut().find(|(known, _)| known == tag);
                known.expect("a header field").1 = value;
            }
            _ => body.push_str(&format!("{tag}={value}\x01")),
        }
    }
    let seq = header
        .iter()
        .find(|(tag, _)| tag == "34")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let begin = header.remove(0).1;
    if let Some(first) = first {
        let at = header.iter().position(|(tag, _)| *tag == first).unwrap();
        let field = header.remove(at);
        header.insert(0, field);
    }
    let header: String = header
        .iter()
        .map(|(tag, value)| format!("{tag}={value}\x01"))
        .collect();
    let body = header + &body;
    let length = length.unwrap_or_else(|| body.len().to_string());
    let message = format!("8={begin}\x019={length}\x01{body}");
    let bytes = message.bytes().fold(0u8, u8::wrapping_add);
    let sum = sum.unwrap_or_else(|| format!("{bytes:03}"));
    (format!("{message}10={sum}\x01").into_bytes(), seq)
}

fn agrees(message: &Fields, expected: &str) -> bool {
    let (kind, rest) = expected.split_once('|').unwrap_or((expected, ""));
    message.kind() == kind
        && rest
            .split('|')
            .filter(|field| !field.is_empty())
            .all(|field| {
                let Some((tag, value)) = field.split_once('=') else {
                    let absent = field.strip_prefix('-').expect("tag=value or -tag");
                    return message.get(absent.parse().unwrap()).is_none();
                };
                message.get(tag.parse().unwrap()).is_some_and(|actual| {
                    match value.strip_suffix('*') {
                        Some(prefix) => actual.starts_with(prefix),
                        None => actual == value,
                    }
                })
            })
}

struct Run<'a> {
    server: &'a Server,
    entry: &'a FixCredentials,
    talk: FixTalk,
    number: usize,
}

impl Run<'_> {
    fn fill_in(&self, text: &str) -> String {
        let FixCredentials {
            username, password, ..
        } = self.entry;
        let secret = format!("553={username}|554={password}");
        text.replace("LOGON", &format!("98=0|108=30|{secret}"))
            .replace("PASSWORD", &secret)
            .replace("ORDER", "55=TEST-A|54=1|60=@|38=1|40=2|44=50")
            .replace("{n}", &self.number.to_string())
    }

    fn send(&mut self, text: &str) {
        let text = self.fill_in(text);
        let (bytes, seq) = build(&self.talk, &text);
        // A message that is not understood leaves its number to the next.
        let lost = text.contains("raw=") || text.contains("|first=");
        if !lost {
            self.talk.next = self.talk.next.max(seq + 1);
        }
        if text.contains("141=Y") {
            self.talk.next = 2;
        }
        self.talk.line.write(&bytes);
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        let expected = self.fill_in(text);
        match self.talk.next_message() {
            Some(message) if agrees(&message, &expected) => Ok(()),
            Some(message) => Err(format!("came {:?}", message.0)),
            None => Err("the venue closed".into()),
        }
    }

    fn step(&mut self, line: &str) -> Result<(), String> {
        if let Some(text) = line.strip_prefix("> ") {
            self.send(text);
            return Ok(());
        }
        if let Some(text) = line.strip_prefix("< ") {
            return self.expect(text);
        }
        match line {
            "silent" => {
                self.send("1|112=STILL-THERE");
                self.expect("0|112=STILL-THERE")
            }
            "closed" => match self.talk.next_message() {
                None => Ok(()),
                Some(message) => Err(format!("came {:?}", message.0)),
            },
            "connect" => {
                let next = self.talk.next;
                self.talk = FixTalk::connect(self.server.fix, &self.entry.comp_id);
                self.talk.next = next;
                Ok(())
            }
            "second" => {
                let mut second = FixTalk::connect(self.server.fix, &self.entry.comp_id);
                second.logon(self.entry, 30, false);
                match second.next_message() {
                    None => Ok(()),
                    Some(message) => Err(format!("the second was told {:?}", message.0)),
                }
            }
            other => match other.strip_prefix("next ") {
                Some(number) => {
                    self.talk.next = number.parse().unwrap();
                    Ok(())
                }
                None => panic!("line {other:?}"),
            },
        }
    }
}

#[test]
fn the_session_answers_as_every_dialogue_says() {
    hold(DIALOGUES);
}

#[test]
fn the_desk_is_answered_as_every_dialogue_says() {
    hold(DESK);
}

#[test]
fn quotes_are_answered_as_every_dialogue_says() {
    hold(QUOTES);
}

/// Has every dialogue with a venue of their own.
fn hold(text: &str) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let only = std::env::var("ONLY").ok();
    let all = dialogues(text);
    let traders = credentials.fix.iter();
    let traders: Vec<_> = traders.filter(|entry| entry.roles.is_empty()).collect();
    let mut failures = Vec::new();
    for (number, dialogue) in all.iter().enumerate() {
        if only
            .as_ref()
            .is_some_and(|only| !dialogue.name.contains(only.as_str()))
        {
            continue;
        }
        // Sessions take turns, so that a dialogue never waits for the last one's connection.
        let entry = traders[number % traders.len()];
        let from_connect = dialogue.name.ends_with("(from connect)");
        let talk = if from_connect {
            FixTalk::connect(server.fix, &entry.comp_id)
        } else {
            FixTalk::logged_on(server.fix, entry, 30)
        };
        let mut run = Run {
            server: &server,
            entry,
            talk,
            number,
        };
        for line in &dialogue.lines {
            let step = std::panic::AssertUnwindSafe(|| run.step(line));
            // A wait in vain panics; the next dialogue still has its turn.
            let outcome =
                std::panic::catch_unwind(step).unwrap_or_else(|_| Err("nothing came".into()));
            if let Err(why) = outcome {
                failures.push(format!("{}\n    at {line}\n    {why}", dialogue.name));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(server.terminate(), Some(0));
}

/// Both in one segment: the answer of the event log to the first comes when the numbers have begun
/// again, and its reports once went out under the new ones.
#[test]
fn a_reset_right_behind_a_resend_request_begins_with_nothing_old() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("JOURNAL_POLICY", "os")]);
    let credentials = server.credentials();
    let mut talk = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    for round in 0..20 {
        for order in 0..60 {
            talk.order(&format!("R{round}-{order}"), "1", "1", "50");
        }
        for _ in 0..60 {
            assert_eq!(talk.expect().kind(), "8");
        }
        let mut both = talk.message("2", talk.next, &[(7, "2"), (16, "0")]);
        let logon = [(98, "0"), (108, "30"), (141, "Y")];
        both.extend(talk.message("A", 1, &logon));
        talk.line.write(&both);
        talk.next = 2;
        // Before the reset some of the resend may come; the Logon is the first of the new run.
        loop {
            let message = talk.expect();
            if message.kind() == "A" {
                assert_eq!(message.get(34), Some("1"), "{message:?}");
                break;
            }
            assert_eq!(message.get(43), Some("Y"), "{message:?}");
        }
        let id = format!("R{round}-new");
        talk.order(&id, "1", "1", "50");
        let report = talk.expect();
        assert_eq!(report.get(11), Some(id.as_str()), "{report:?}");
        assert_eq!(report.get(34), Some("2"), "{report:?}");
    }
    assert_eq!(server.terminate(), Some(0));
}

/// Once the venue has said Logout, nothing but the answer counts, and not for long.
#[test]
fn who_talks_on_after_the_logout_is_closed_all_the_same() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let mut talk = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    let low = talk.message("0", 1, &[]);
    talk.line.write(&low);
    assert_eq!(talk.expect().kind(), "5");
    let until = std::time::Instant::now() + support::talk::PATIENCE;
    // Talks as fast as the venue reads, until that fails.
    let heartbeat = talk.message("0", 2, &[]);
    while std::io::Write::write_all(&mut talk.line.socket, &heartbeat).is_ok() {
        assert!(std::time::Instant::now() < until, "still open");
        std::thread::yield_now();
    }
    assert_eq!(server.terminate(), Some(0));
}

/// A connection that is silent, and stays so when it is asked for a sign of life.
#[test]
fn who_loses_the_session_to_another_connection_is_told_by_a_logout() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let entry = &server.credentials().fix[0];
    let mut silent = FixTalk::logged_on(server.fix, entry, 4);
    // After an interval the venue says something, and the other one may ask for the session.
    silent.expect();
    let mut other = FixTalk::connect(server.fix, &entry.comp_id);
    other.next = silent.next;
    other.logon(entry, 30, false);
    let logout = loop {
        let message = silent.expect();
        if message.kind() == "5" {
            break message;
        }
        assert!(["0", "1"].contains(&message.kind()), "{message:?}");
    };
    assert_eq!(logout.get(58), Some("Superseded by a newer logon"));
    assert!(silent.next_message().is_none(), "it is closed");
    // Its number is the session's, behind which the other one goes on.
    let answer = other.expect();
    let number = |message: &Fields| message.get(34).unwrap().parse::<u64>().unwrap();
    assert_eq!((answer.kind(), number(&answer)), ("A", number(&logout) + 1));
    assert_eq!(server.terminate(), Some(0));
}

/// Roles and users come from the credentials file, which is read at every start.
#[test]
fn a_session_with_the_risk_role_stops_and_releases_its_firm() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("JOURNAL_POLICY", "os")];
    assert_eq!(Server::start(data.path(), &settings).terminate(), Some(0));
    let path = data.path().join("demo/credentials.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let with_roles = text.replacen("[[fix]]", "[[fix]]\nroles = [\"risk\"]\nuser = 7", 1);
    std::fs::write(&path, with_roles).unwrap();

    let server = Server::start(data.path(), &settings);
    let credentials: Vec<FixCredentials> = server.credentials().fix;
    let own = credentials[0].session.to_string();
    let mut talk = FixTalk::logged_on(server.fix, &credentials[0], 30);
    let say = |talk: &mut FixTalk, kind: &str, fields: &[(u32, &str)]| {
        let bytes = talk.message(kind, talk.next, fields);
        talk.next += 1;
        talk.line.write(&bytes);
        talk.expect()
    };
    let order = |id| {
        let rest = [(55, "TEST-A"), (54, "1"), (60, "20260102-12:00:00")];
        let terms = [(38, "1"), (40, "2"), (44, "50")];
        [&[(11, id)], &rest[..], &terms[..]].concat()
    };
    assert_eq!(say(&mut talk, "D", &order("A")).get(150), Some("0"));
    let killed = say(&mut talk, "U1", &[(11, "K"), (35012, "1"), (35013, &own)]);
    assert_eq!((killed.kind(), killed.get(150)), ("8", Some("4")));
    assert_eq!(killed.get(58), Some("Canceled by kill switch"));
    let done = talk.expect();
    assert_eq!((done.kind(), done.get(533)), ("U2", Some("1")));
    assert_eq!(
        (done.get(35013), done.get(35016)),
        (Some(&own[..]), Some("0"))
    );
    let refused = say(&mut talk, "D", &order("B"));
    assert_eq!(refused.get(150), Some("8"));
    assert!(
        refused
            .get(58)
            .unwrap()
            .starts_with("Blocked by kill switch")
    );
    let released = say(
        &mut talk,
        "U1",
        &[(11, "L"), (35012, "1"), (35013, &own), (35014, "Y")],
    );
    assert_eq!((released.kind(), released.get(35014)), ("U2", Some("Y")));
    assert_eq!(say(&mut talk, "D", &order("C")).get(150), Some("0"));
    let mine = say(
        &mut talk,
        "q",
        &[
            (11, "Q"),
            (530, "7"),
            (60, "20260102-12:00:00"),
            (35010, "3"),
        ],
    );
    assert_eq!((mine.kind(), mine.get(11)), ("8", Some("C")));
    let done = talk.expect();
    assert_eq!((done.kind(), done.get(35010)), ("r", Some("3")));
    assert_eq!(done.get(533), Some("1"));
    assert_eq!(server.terminate(), Some(0));
}
