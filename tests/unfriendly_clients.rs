//! Clients that a venue meets and nobody wants: silent, slow, half gone, greedy, or speaking
//! something else. None of them disturbs a good one, and none loses what the venue owes it.

mod support;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::server::Server;
use support::talk::{BinaryTalk, FixTalk, Line, PATIENCE};
use trading_engine_protocol::binary::message::{
    Heartbeat, Logon, LogonAccepted, LogonRejected, Logout, MassCancel, MassCancelDone,
    OrderAccepted, OrderCanceled, Reject,
};
use trading_engine_protocol::binary::write_message;
use trading_engine_protocol::types::Reason;
use zerocopy::FromZeros;

/// One order in and its acknowledgement out: the venue lives.
fn trades(client: &mut BinaryTalk, id: u64) {
    client.send(&client.order(id, 1, 1, 50));
    let accepted: OrderAccepted = client.expect_a();
    assert_eq!(accepted.cl_ord_id, id);
}

#[test]
fn a_thousand_silent_connections_are_closed_while_others_trade() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("LOGON_TIMEOUT_MS", "1000")]);
    let credentials = server.credentials();
    let mut good = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let mut silent: Vec<Line> = (0..1_000)
        .map(|n| {
            Line::connect(if n % 2 == 0 {
                server.binary
            } else {
                server.fix
            })
        })
        .collect();
    for id in 1..=100 {
        trades(&mut good, id);
    }
    for line in &mut silent {
        // The binary door greeted them and says why it closes; nobody got more than that.
        assert!(line.rest().len() <= 64 + 48);
    }
    trades(&mut good, 101);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn connections_beyond_the_limit_are_closed_and_room_comes_back() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("MAX_CONNECTIONS", "4")]);
    let credentials = server.credentials();
    let mut good = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let others: Vec<Line> = (0..3).map(|_| Line::connect(server.fix)).collect();
    let mut refused = Line::connect(server.fix);
    assert_eq!(refused.rest(), b"", "the fifth is closed without a word");
    trades(&mut good, 1);
    drop(others);
    let until = Instant::now() + PATIENCE;
    // The venue notices in its own time that the others are gone.
    loop {
        let mut again = FixTalk::connect(server.fix, &credentials.fix[0].comp_id);
        let sent = again.message("A", 1, &logon_fields(&credentials.fix[0]));
        if again.line.socket.write_all(&sent).is_ok() && again.next_message().is_some() {
            break;
        }
        assert!(Instant::now() < until, "room never came back");
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn connections_that_found_no_descriptor_are_taken_when_there_are_some_again() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("LOGON_TIMEOUT_MS", "60000")]);
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    // Three numbers are free below the limit.
    const ROOM: usize = 3;
    let open = server.descriptors();
    let free = (0..).filter(|number| !open.contains(number));
    let limit = free.take(ROOM).last().unwrap() + 1;
    let low = Rlimit {
        current: Some(limit as u64),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    prlimit(pid, Resource::Nofile, low).unwrap();
    let is_full = || {
        let open = server.descriptors();
        open.iter().filter(|number| **number < limit).count() == limit
    };
    let connect = |_| Line::connect(server.binary);
    let first: Vec<Line> = (0..ROOM).map(connect).collect();
    let until = Instant::now() + PATIENCE;
    while !is_full() {
        assert!(Instant::now() < until, "the first were not taken");
    }
    let later: Vec<Line> = (0..ROOM).map(connect).collect();
    assert!(is_full(), "no room for the others");
    // Nobody connects from here on: those who wait are greeted all the same.
    drop(first);
    for mut line in later {
        assert!(line.read(), "a ServerHello");
    }
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_flood_of_wrong_passwords_from_one_address_does_not_hold_up_the_others() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let (first, second) = (&credentials.fix[0], &credentials.fix[1]);
    let began = Instant::now();
    FixTalk::logged_on(server.fix, first, 30);
    let alone = began.elapsed();

    let hostile = Ipv4Addr::new(127, 0, 0, 2);
    let mut flood: Vec<FixTalk> = (0..250)
        .map(|_| {
            let line = Line::connect_from(hostile, server.fix);
            let mut talk = FixTalk::over(line, &first.comp_id);
            let username = first.username.as_str();
            let fields = [(98, "0"), (108, "30"), (553, username), (554, "guess")];
            talk.send("A", &fields);
            talk
        })
        .collect();
    let began = Instant::now();
    BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    FixTalk::logged_on(server.fix, second, 30);
    let taken = began.elapsed();
    assert!(
        taken < 4 * alone + Duration::from_secs(3),
        "{taken:?} beside the flood, {alone:?} alone"
    );
    for talk in &mut flood {
        assert!(talk.next_message().is_none(), "closed without a word");
    }

    // Where the flood came from, keys are not looked at for a while. Each wrong one that still was
    // doubles the while.
    let answer = |right: bool| {
        let mut talk = BinaryTalk::over(Line::connect_from(hostile, server.binary));
        let mut entry = credentials.binary[0].clone();
        if !right {
            entry.key_id = "nobody".into();
        }
        talk.logon(&entry, 30_000, 0);
        let answer = talk.expect();
        let rejected = answer.read::<LogonRejected>();
        assert!(rejected.is_some() || answer.read::<LogonAccepted>().is_some());
        rejected.map(|rejected| rejected.reason)
    };
    let until = Instant::now() + 2 * PATIENCE;
    while answer(false) != Some(Reason::TooManyConnections.code()) {
        assert!(Instant::now() < until, "nothing was refused unchecked");
    }
    // A right one is heard in the end, and all is forgotten.
    while let Some(reason) = answer(true) {
        assert_eq!(reason, Reason::TooManyConnections.code());
        assert!(Instant::now() < until, "it was never heard again");
    }
    assert_eq!(answer(false), Some(Reason::NotAuthorized.code()));
    assert_eq!(answer(true), None);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn logons_refused_for_their_form_are_counted_like_those_with_wrong_credentials() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("LOGON_TIMEOUT_MS", "60000")]);
    let credentials = server.credentials();
    let entry = &credentials.fix[0];
    let silent = Line::connect(server.fix);
    let mut elsewhere = FixTalk::connect(server.fix, &entry.comp_id);
    elsewhere.venue = "SOMEWHERE".into();
    elsewhere.send("A", &logon_fields(entry));
    assert!(elsewhere.next_message().is_none());
    let mut early = FixTalk::connect(server.fix, &entry.comp_id);
    early.send("0", &[]);
    assert!(early.next_message().is_none());
    let mut wrong = FixTalk::connect(server.fix, &entry.comp_id);
    let username = entry.username.as_str();
    wrong.send("A", &[(98, "0"), (108, "30"), (553, username), (554, "no")]);
    assert!(wrong.next_message().is_none());
    rejected(server.binary, |_| ());
    // Neither a session that ends nor one that never asked is a refused logon.
    let mut good = FixTalk::logged_on(server.fix, entry, 30);
    good.send("5", &[]);
    while good.next_message().is_some() {}
    drop(silent);
    let (_, metrics) = support::server::get(server.metrics, "/metrics");
    let expected = "\ntrading_engine_logons_refused_total 4\n";
    assert!(metrics.contains(expected), "{metrics}");
    assert_eq!(server.terminate(), Some(0));
}

fn logon_fields(entry: &trading_engine::client::credentials::FixCredentials) -> Vec<(u32, &str)> {
    vec![
        (98, "0"),
        (108, "30"),
        (141, "Y"),
        (553, &entry.username),
        (554, &entry.password),
    ]
}

#[test]
fn messages_that_come_a_byte_at_a_time_are_messages() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    let mut fix = FixTalk::connect(server.fix, &credentials.fix[0].comp_id);
    let logon = fix.message("A", 1, &logon_fields(&credentials.fix[0]));
    for byte in logon {
        fix.line.write(&[byte]);
    }
    assert_eq!(fix.expect().kind(), "A");
    fix.next = 2;
    fix.order("SLOW-1", "1", "1", "50");
    assert_eq!(fix.expect().get(150), Some("0"));

    let mut binary = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let mut bytes = Vec::new();
    write_message(&mut bytes, &binary.order(1, 1, 1, 50), 1);
    write_message(&mut bytes, &binary.order(2, 1, 1, 50), 2);
    for byte in bytes {
        binary.line.write(&[byte]);
    }
    assert_eq!(binary.expect_a::<OrderAccepted>().cl_ord_id, 1);
    assert_eq!(binary.expect_a::<OrderAccepted>().cl_ord_id, 2);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_writer_of_one_byte_a_second_runs_out_of_time_and_bothers_nobody() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("LOGON_TIMEOUT_MS", "3000")]);
    let credentials = server.credentials();
    let mut good = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let mut fix = FixTalk::connect(server.fix, &credentials.fix[0].comp_id);
    let logon = fix.message("A", 1, &logon_fields(&credentials.fix[0]));
    // A session that is up may take its time within a message as long as it is heard of.
    let mut slow = BinaryTalk::logged_on(server.binary, &credentials.binary[1], 2_000);
    let mut order = Vec::new();
    write_message(&mut order, &slow.order(1, 1, 1, 50), 1);
    let started = Instant::now();
    let mut id = 0;
    let mut written = 0;
    while fix.line.socket.write_all(&logon[written..=written]).is_ok() && written < 8 {
        let _ = slow.line.socket.write_all(&order[written..=written]);
        written += 1;
        let second = started + Duration::from_secs(written as u64);
        while Instant::now() < second {
            id += 1;
            trades(&mut good, id);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    assert_eq!(fix.line.rest(), b"", "no logon in time, no word");
    // Bytes that make no message are no sign of life: two intervals, and it is over.
    let mut last = None;
    while let Some(frame) = slow.next_frame() {
        last = frame.read::<Logout>().map(|logout| logout.reason).or(last);
    }
    assert_eq!(last, Some(Reason::HeartbeatTimeout.code()));
    trades(&mut good, id + 1);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn who_does_not_read_is_disconnected_and_gets_everything_when_it_comes_back() {
    const ORDERS: u64 = 60_000;
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("OUTPUT_BYTES_MAX", "65536")]);
    let credentials = server.credentials();
    let mut good = BinaryTalk::logged_on(server.binary, &credentials.binary[1], 30_000);
    let mut deaf = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let bytes = deaf.unmatched_orders(ORDERS);
    // It writes as much as the venue takes, and reads nothing; the system keeps little for it, but
    // more than one of the loopback's packets: those would be dropped, and come again minutes later.
    rustix::net::sockopt::set_socket_recv_buffer_size(&deaf.line.socket, 256 << 10).unwrap();
    deaf.line.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let written = deaf.line.socket.write_all(&bytes);
    trades(&mut good, 1);
    let until = Instant::now() + PATIENCE;
    while !support::server::get(server.metrics, "/metrics")
        .1
        .contains("\ntrading_engine_slow_consumers_total 1\n")
    {
        assert!(Instant::now() < until, "nobody was disconnected");
    }
    // The end of the stream is the end of the connection; a read that waits in vain fails.
    drop(written);
    while deaf.next_frame().is_some() {}

    // Everything the venue did for it is still owed, once, in order, under its numbers.
    let mut back = BinaryTalk::connect(server.binary);
    back.logon(&credentials.binary[0], 30_000, 1);
    let replayed = back.until_active();
    let applied = back.accepted.unwrap().last_client_seq;
    assert!(applied > 0 && applied <= ORDERS);
    for (at, frame) in replayed.iter().enumerate() {
        assert_eq!(frame.header.seq, at as u64 + 1, "no gap, nothing twice");
    }
    let accepted = replayed
        .iter()
        .filter(|f| f.read::<OrderAccepted>().is_some())
        .count();
    let canceled = replayed
        .iter()
        .filter(|f| f.read::<OrderCanceled>().is_some())
        .count();
    assert_eq!((accepted as u64, canceled as u64), (applied, applied));
    trades(&mut back, ORDERS + 1);
    trades(&mut good, 2);
    assert_eq!(server.terminate(), Some(0));
}

/// More than the event ring holds, whoever reads it: a mass cancel once stopped the venue for good.
#[test]
fn a_mass_cancel_of_seventy_thousand_orders_ends_and_others_trade_on() {
    const ORDERS: u64 = 70_000;
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("MAX_ORDERS", "131072")]);
    let credentials = server.credentials();
    let mut good = BinaryTalk::logged_on(server.binary, &credentials.binary[1], 30_000);
    let mut maker = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    for first in (1..=ORDERS).step_by(1_000) {
        let ids = first..first + 1_000;
        let mut bytes = Vec::new();
        for id in ids.clone() {
            write_message(&mut bytes, &maker.order(id, 1, 1, 50), id);
        }
        maker.line.write(&bytes);
        for id in ids {
            assert_eq!(maker.expect_a::<OrderAccepted>().cl_ord_id, id);
        }
    }
    let request = MassCancel {
        cl_ord_id: ORDERS + 1,
        scope: 1,
        ..MassCancel::new_zeroed()
    };
    maker.write(&request, ORDERS + 1);
    for _ in 0..ORDERS {
        maker.expect_a::<OrderCanceled>();
    }
    assert_eq!(
        u64::from(maker.expect_a::<MassCancelDone>().canceled_count),
        ORDERS
    );
    trades(&mut good, 1);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_half_open_connection_is_noticed_by_its_silence() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let credentials = server.credentials();
    // Says nothing after its logon: from the venue it looks like a cut cable.
    let started = Instant::now();
    let mut gone = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 200);
    let mut heartbeats = 0;
    let mut reason = None;
    while let Some(frame) = gone.next_frame() {
        heartbeats += usize::from(frame.read::<Heartbeat>().is_some());
        reason = frame
            .read::<Logout>()
            .map(|logout| logout.reason)
            .or(reason);
    }
    assert!(heartbeats >= 1, "the venue kept its side alive");
    assert_eq!(reason, Some(Reason::HeartbeatTimeout.code()));
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "two intervals"
    );

    let mut gone = FixTalk::logged_on(server.fix, &credentials.fix[0], 1);
    let mut kinds = Vec::new();
    while let Some(message) = gone.next_message() {
        kinds.push(message.kind().to_owned());
    }
    assert!(kinds.contains(&"1".to_owned()), "asked first: {kinds:?}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_new_logon_takes_the_session_from_a_dead_connection() {
    takes_over(&[]);
}

/// Both connections come to the session's home, which is not where they were accepted.
#[test]
fn a_new_logon_takes_the_session_over_on_another_gateway_thread() {
    for threads in ["2", "3", "5"] {
        takes_over(&[("TOPOLOGY", "dedicated"), ("GATEWAY_THREADS", threads)]);
    }
}

fn takes_over(settings: &[(&str, &str)]) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), settings);
    let credentials = server.credentials();
    let mut old = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 60_000);
    trades(&mut old, 1);
    let mut new = BinaryTalk::connect(server.binary);
    new.logon(&credentials.binary[0], 60_000, 1);
    assert_eq!(
        new.until_active().len(),
        1,
        "the report of the old one's order"
    );
    assert_eq!(old.expect_a::<Logout>().reason, Reason::Superseded.code());
    assert!(old.next_frame().is_none());
    trades(&mut new, 2);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn nonsense_is_answered_by_a_clean_end_and_the_venue_lives() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[("LOGON_TIMEOUT_MS", "500")]);
    let credentials = server.credentials();
    let mut good = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 30_000);
    let nonsense: [&[u8]; 9] = [
        b"GET / HTTP/1.1\r\nHost: venue\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"8=FIX.4.4\x019=70\x0135=A\x01",
        b"8=FIX.4.4\x019=99999999999999999999\x0135=A\x01",
        b"8=FIX.9.9\x019=5\x0135=0\x0110=161\x01",
        &[0xFF; 4096],
        &[0x00; 4096],
        &[
            0x10, 0x00, 0x40, 0x00, 0x64, 0x00, 0x01, 0x01, 1, 0, 0, 0, 0, 0, 0, 0,
        ],
    ];
    for bytes in nonsense {
        for address in [server.binary, server.fix] {
            let mut line = Line::connect(address);
            let _ = line.socket.write_all(bytes);
            line.rest();
        }
    }
    trades(&mut good, 1);
    assert_eq!(server.terminate(), Some(0));
}

fn rejected(address: SocketAddr, change: impl FnOnce(&mut Logon)) -> LogonRejected {
    let mut talk = BinaryTalk::connect(address);
    talk.expect();
    let mut logon = Logon {
        heartbeat_ms: 1_000,
        auth_type: 2,
        ..Logon::new_zeroed()
    };
    change(&mut logon);
    talk.write(&logon, 0);
    let rejected = talk.expect_a();
    assert!(talk.next_frame().is_none(), "and the connection ends");
    rejected
}

#[test]
fn an_unknown_key_and_a_wrong_signature_look_the_same() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let entry = server.credentials().binary[0].clone();
    let unknown = rejected(server.binary, |logon| {
        logon.key_id[..4].copy_from_slice(b"none");
        logon.session_id = entry.session;
    });
    let forged = rejected(server.binary, |logon| {
        logon.key_id = support::talk::key_id(&entry);
        logon.session_id = entry.session;
        logon.signature = [7; 64];
    });
    assert_eq!(unknown.reason, forged.reason);
    assert_eq!(
        (unknown.next_seq, unknown.current_epoch),
        (0, 0),
        "and tell nothing"
    );
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn what_the_binary_door_does_not_take_is_refused_by_name_and_the_session_lives() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let entry = server.credentials().binary[0].clone();
    let mut client = BinaryTalk::logged_on(server.binary, &entry, 30_000);
    let good = client.order(1, 1, 1, 50);
    // Refused at the door: number 0, a number used before, no client id, an unknown template.
    client.send(&good);
    client.expect_a::<OrderAccepted>();
    client.write(&client.order(2, 1, 1, 50), 1);
    let reject: Reject = client.expect_a();
    assert_eq!(
        (reject.reason, reject.ref_seq, reject.ref_cl_ord_id),
        (Reason::DuplicateSequence.code(), 1, 2)
    );
    client.write(&client.order(0, 1, 1, 50), 5);
    let reject: Reject = client.expect_a();
    assert_eq!(
        (reject.reason, reject.ref_field_id),
        (Reason::InvalidField.code(), 11)
    );
    let mut unknown = Vec::new();
    write_message(&mut unknown, &good, 6);
    unknown[4..6].copy_from_slice(&999u16.to_le_bytes());
    client.line.write(&unknown);
    let reject: Reject = client.expect_a();
    assert_eq!(
        (reject.reason, reject.ref_template_id),
        (Reason::UnsupportedMessage.code(), 999)
    );
    client.seq = 6;
    trades(&mut client, 3);
    // A block shorter than its message ends the session, with a reason.
    let mut short = Vec::new();
    write_message(&mut short, &client.order(9, 1, 1, 50), 20);
    short[2..4].copy_from_slice(&8u16.to_le_bytes());
    client.line.write(&short);
    assert_eq!(
        client.expect_a::<Reject>().reason,
        Reason::ProtocolError.code()
    );
    assert_eq!(
        client.expect_a::<Logout>().reason,
        Reason::ProtocolError.code()
    );
    assert!(client.next_frame().is_none());
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_connection_reset_in_the_middle_of_a_message_leaves_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let entry = server.credentials().binary[0].clone();
    for round in 0..20u64 {
        let mut client = BinaryTalk::logged_on(server.binary, &entry, 30_000);
        let whole = client.order(100 + round, 1, 1, 50);
        let mut bytes = Vec::new();
        write_message(&mut bytes, &whole, client.seq + 1);
        write_message(
            &mut bytes,
            &client.order(900 + round, 1, 1, 50),
            client.seq + 2,
        );
        // Behind the first, in the second.
        let one = bytes.len() / 2;
        let cut = one + (round as usize * 7) % (one - 1);
        client.line.write(&bytes[..cut]);
        client.expect_a::<OrderAccepted>();
        rustix::net::sockopt::set_socket_linger(&client.line.socket, Some(Duration::from_secs(0)))
            .unwrap();
        drop::<TcpStream>(client.line.socket);
    }
    let mut client = BinaryTalk::connect(server.binary);
    client.logon(&entry, 30_000, 1);
    let replayed = client.until_active();
    assert_eq!(replayed.len(), 20, "each whole order, and no half one");
    assert_eq!(server.terminate(), Some(0));
}

/// Needs `strace`: what a drain does while it waits is seen in its system calls alone.
#[test]
fn a_drain_shuts_each_connection_of_clients_that_stay_down_once() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("trace");
    let mut strace = std::process::Command::new("strace");
    strace
        .args(["-D", "-f", "-yy", "-e", "trace=shutdown", "-o"])
        .arg(&file);
    let server = Server::start_traced(strace, &data.path().join("venue"), &[]);
    let credentials = server.credentials();
    let _binary = BinaryTalk::logged_on(server.binary, &credentials.binary[0], 60_000);
    let _fix = FixTalk::logged_on(server.fix, &credentials.fix[0], 30);
    let doors = [server.binary.port(), server.fix.port()];
    // Nobody answers its Logout, and nobody closes.
    assert_eq!(server.terminate(), Some(0));
    let until = Instant::now() + PATIENCE;
    let trace = loop {
        let trace = std::fs::read_to_string(&file).unwrap();
        if trace.contains("+++ exited with 0 +++\n") && trace.ends_with("+++\n") {
            break trace;
        }
        assert!(Instant::now() < until, "the trace has no end");
        std::thread::sleep(Duration::from_millis(20));
    };
    for port in doors {
        let of_door = format!("127.0.0.1:{port}->");
        let calls = trace
            .lines()
            .filter(|line| line.contains("shutdown(") && line.contains(&of_door));
        assert_eq!(
            calls.count(),
            1,
            "port {port} of\n{}",
            &trace[..trace.len().min(2000)]
        );
    }
}
