//! Mass quotes of the most entries through both doors of a running venue, live and from its event
//! log, and the command-line trader's words for quotes and what is asked about them.

mod support;

use std::process::Command;

use support::server::Server;
use support::talk::{BinaryTalk, FixTalk};
use trading_engine::client::Received;
use trading_engine::engine::command::{self, CommandBody};
use trading_engine::journal::disk::OsDisk;
use trading_engine::journal::recovery;
use trading_engine::limits::RESTART_GRACE_MS;
use trading_engine_protocol::binary::MASS_QUOTE_FULL_ACK;
use trading_engine_protocol::binary::message::{
    Fill, MassQuote, MassQuoteAck, NewOrder, OrderAccepted, OrderRestated, QuoteCanceled,
    QuoteEntry,
};
use trading_engine_protocol::types::{Decimal8, Reason};
use zerocopy::FromZeros;

const ENTRIES: usize = 100;

/// A field's tag and value.
type Field = (u32, String);

/// A quote of TEST-A in each of the first layers, with ids of full length.
fn fix_quote() -> Vec<Field> {
    let number = |value: usize| value.to_string();
    let mut fields = vec![
        (117, "Q".repeat(36)),
        (301, "2".into()),
        (296, number(ENTRIES)),
    ];
    for layer in 0..ENTRIES {
        fields.extend([
            (302, number(layer + 1)),
            (304, "1".into()),
            (295, "1".into()),
            (299, format!("{layer:036}")),
            (55, "TEST-A".into()),
            (132, format!("{}.25", 40 - layer / 10)),
            (134, number(layer + 1)),
            (133, format!("{}.75", 60 + layer / 10)),
            (135, number(layer + 1)),
        ]);
    }
    fields
}

#[test]
fn a_mass_quote_of_the_most_entries_is_answered_and_resent_over_fix() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("JOURNAL_POLICY", "os")]);
    let credentials = server.credentials();
    let mut talk = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    let quote = fix_quote();
    let fields: Vec<(u32, &str)> = quote.iter().map(|(tag, v)| (*tag, v.as_str())).collect();
    talk.send("i", &fields);
    let answer = talk.expect();
    assert_eq!((answer.kind(), answer.get(297)), ("b", Some("0")));
    let body = |message: &support::talk::Fields| -> Vec<Field> {
        let fields = message.0.iter();
        let header = [8, 9, 10, 34, 43, 52, 122];
        fields
            .filter(|(tag, _)| !header.contains(tag))
            .cloned()
            .collect()
    };
    let said = body(&answer);
    let accepted = said.iter().filter(|field| **field == (1167, "0".into()));
    assert_eq!(accepted.count(), ENTRIES);

    talk.send("2", &[(7, "2"), (16, "2")]);
    let again = talk.expect();
    assert_eq!(again.get(43), Some("Y"));
    assert_eq!(body(&again), said);

    // Each side is a report of its own, the last of them marked.
    talk.send("AF", &[(584, "ALL"), (585, "7")]);
    for at in 1..=2 * ENTRIES {
        let report = talk.expect();
        assert_eq!(report.get(911), Some("200"));
        let last = if at == 2 * ENTRIES { "Y" } else { "N" };
        assert_eq!(report.get(912), Some(last), "report {at}");
    }
    assert_eq!(server.terminate(), Some(0));
}

fn binary_quote(talk: &mut BinaryTalk) {
    let quote = MassQuote {
        quote_id: 9,
        flags: MASS_QUOTE_FULL_ACK,
        ..MassQuote::new_zeroed()
    };
    let instrument_id = talk.instruments["TEST-A"];
    let entries = (0..ENTRIES as u16).map(|layer| QuoteEntry {
        instrument_id,
        layer,
        bid_price: (40 - i64::from(layer / 10)) * Decimal8::ONE,
        bid_qty: Decimal8::ONE,
        ask_price: (60 + i64::from(layer / 10)) * Decimal8::ONE,
        ask_qty: Decimal8::ONE,
        ..QuoteEntry::new_zeroed()
    });
    talk.send_group(&quote, entries);
}

#[test]
fn a_mass_quote_of_the_most_entries_is_answered_and_replayed_over_binary() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("JOURNAL_POLICY", "os")]);
    let credentials = server.credentials();
    let maker = &credentials.binary[0];
    let mut talk = BinaryTalk::logged_on(server.binary, maker, 30_000);
    let first = talk.accepted.unwrap().next_seq;
    binary_quote(&mut talk);
    let answer = talk.expect();
    let (ack, results) = answer.read_group::<MassQuoteAck>().unwrap();
    assert_eq!((ack.accepted_sides, ack.rejected_sides), (200, 0));
    assert_eq!(results.len(), 2 * ENTRIES);
    assert!(
        results
            .iter()
            .all(|side| side.status == 1 && side.order_id != 0)
    );
    let last = results.last().unwrap();
    assert_eq!((last.entry_index, last.side), (99, 2));

    let mut taker = BinaryTalk::logged_on(server.binary, &credentials.binary[1], 30_000);
    taker.send(&taker.order(1, 2, 1, 40));
    let _: OrderAccepted = taker.expect_a();
    let filled = talk.expect();
    let fill: Fill = filled.read().unwrap();
    assert_eq!((fill.cl_ord_id, fill.quote_layer), (9, 1));
    assert_eq!(fill.order_id, results[0].order_id);
    drop(talk);

    let mut talk = BinaryTalk::connect(server.binary);
    talk.logon(maker, 30_000, first);
    let replayed = talk.until_active();
    let same = |a: &Received, b: &Received| a.header == b.header && a.body == b.body;
    assert!(same(&replayed[0], &answer) && same(&replayed[1], &filled));
    let ends: Vec<QuoteCanceled> = replayed[2..]
        .iter()
        .map(|message| message.read().unwrap())
        .collect();
    assert_eq!(ends.len(), 2 * ENTRIES - 1, "all but the filled one");
    assert!(ends.iter().all(|end| end.quote_id == 9 && end.reason == 13));
    assert_eq!(ends.iter().filter(|end| end.quote_layer == 1).count(), 1);
    assert_eq!(server.terminate(), Some(0));
}

/// Each life of the venue gives the maker whose quotes are there its time to come back, not the first alone.
#[test]
fn a_venue_that_is_killed_again_waits_again_for_the_maker() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("JOURNAL_POLICY", "os")];
    let server = Server::start(data.path(), &settings);
    let maker = &server.credentials().binary[0];
    let mut talk = BinaryTalk::logged_on(server.binary, maker, 30_000);
    binary_quote(&mut talk);
    talk.expect().read_group::<MassQuoteAck>().unwrap();
    server.kill();
    for _ in 0..2 {
        let server = Server::start(data.path(), &settings);
        // What comes first is in the journal before this is answered.
        BinaryTalk::logged_on(server.binary, &server.credentials().binary[1], 30_000);
        server.kill();
    }
    let disk = OsDisk::new(&data.path().join("journal")).unwrap();
    let mut waits = Vec::new();
    recovery::inspect(&disk, |command| {
        if let Ok((header, CommandBody::SessionDisconnected(gone))) = command::read(command) {
            let wait = (gone.after_restart, gone.grace_ms);
            waits.push((header.session.0, wait));
        }
    })
    .unwrap();
    let of_maker = |(session, wait): &(u32, _)| (*session == maker.session).then_some(*wait);
    let waits: Vec<_> = waits.iter().filter_map(of_maker).collect();
    // It was connected when the venue was killed first, waited for when it was again.
    assert_eq!(waits, [(0, RESTART_GRACE_MS), (1, RESTART_GRACE_MS)]);
}

#[test]
fn a_quote_that_self_trade_prevention_shrinks_has_its_layer_over_binary_an_order_none() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let maker = &server.credentials().binary[0];
    let mut talk = BinaryTalk::logged_on(server.binary, maker, 30_000);
    let quote = MassQuote {
        quote_id: 9,
        ..MassQuote::new_zeroed()
    };
    let entry = QuoteEntry {
        instrument_id: talk.instruments["TEST-A"],
        layer: 4,
        bid_price: 40 * Decimal8::ONE,
        bid_qty: 5 * Decimal8::ONE,
        ask_price: 60 * Decimal8::ONE,
        ask_qty: Decimal8::ONE,
        ..QuoteEntry::new_zeroed()
    };
    talk.send_group(&quote, std::iter::once(entry));
    let sells = |talk: &BinaryTalk, id, lots| NewOrder {
        stp_mode: 4,
        ..talk.order(id, 2, lots, 40)
    };
    talk.send(&sells(&talk, 1, 2));
    let of_quote: OrderRestated = talk.expect_a();
    assert_eq!((of_quote.cl_ord_id, of_quote.quote_layer), (9, 5));
    assert_eq!(of_quote.leaves_qty, 3 * Decimal8::ONE);
    talk.send(&sells(&talk, 2, 4));
    let of_order: OrderRestated = talk.expect_a();
    assert_eq!((of_order.cl_ord_id, of_order.quote_layer), (2, 0));
    assert_eq!(of_order.leaves_qty, Decimal8::ONE);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn the_layer_that_no_report_can_name_is_refused_over_binary_and_no_other_entry() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let maker = &server.credentials().binary[0];
    let mut talk = BinaryTalk::logged_on(server.binary, maker, 30_000);
    let quote = MassQuote {
        quote_id: 9,
        flags: MASS_QUOTE_FULL_ACK,
        ..MassQuote::new_zeroed()
    };
    let instrument_id = talk.instruments["TEST-A"];
    let entries = [u16::MAX - 1, u16::MAX].map(|layer| QuoteEntry {
        instrument_id,
        layer,
        bid_price: 40 * Decimal8::ONE,
        bid_qty: Decimal8::ONE,
        ask_price: 60 * Decimal8::ONE,
        ask_qty: Decimal8::ONE,
        ..QuoteEntry::new_zeroed()
    });
    talk.send_group(&quote, entries.into_iter());
    let answer = talk.expect();
    let (ack, results) = answer.read_group::<MassQuoteAck>().unwrap();
    assert_eq!((ack.accepted_sides, ack.rejected_sides), (2, 2));
    let reasons: Vec<u16> = results.iter().map(|side| side.reason).collect();
    let invalid = Reason::InvalidField.code();
    assert_eq!(reasons, [0, 0, invalid, invalid]);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn the_command_line_trader_has_words_for_quotes_and_for_asking() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = data.path().join("demo/credentials.toml");
    let key = server.credentials().binary[0].key_id.clone();
    let lines = [
        ("protect 4 window 1000 lots 50 freeze 500", "protection"),
        (
            "quote TEST-A 5 40 6 60 group 4 , TEST-A 0 - layer 1 group 4",
            "quoted",
        ),
        ("mass-status", "status"),
        ("buy TEST-A 5 39 gtc display 2 group 4", "accepted"),
        ("status 4", "status"),
        ("sell TEST-A 1 61 at-close", "accepted"),
        ("sell TEST-A 2 stop 30", "accepted"),
        ("buy TEST-A 2 59 post-only stp newest firm keep", "accepted"),
        ("sell TEST-A 3 market-to-limit ioc", "accepted"),
        ("sell TEST-A 3 58 ioc min 3", "accepted"),
        ("quote-cancel TEST-A layer 0 group 4", "quotes-canceled"),
        ("protect 4 reset", "protection"),
        ("cancel-all orders", "mass-canceled"),
        ("cancel-after 60000", "cancel-after"),
        ("mass-status TEST-A buy", "status"),
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_trading-engine"))
        .args(["client", "--json", "--key", &key])
        .args(["--address", &server.binary.to_string()])
        .arg("--credentials")
        .arg(&credentials)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let said: Vec<&str> = lines.iter().map(|(line, _)| *line).collect();
    {
        use std::io::Write as _;
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{}\nquit", said.join("\n")).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut rest = events.iter();
    for (line, event) in lines {
        assert!(rest.any(|said| said["event"] == event), "{line}: {text}");
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(server.terminate(), Some(0));
}
