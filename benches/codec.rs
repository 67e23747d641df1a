//! What reading and writing messages costs: a FIX NewOrderSingle of 15 fields, an ExecutionReport
//! of 24, and their binary counterparts.
//!
//! * `FIX decode`: framing, checksum and the list of fields.
//! * `FIX decode, validate`: and held against the dictionary.
//! * `FIX receive`: [`Acceptor::receive`]: decoded, held against the dictionary
//!   and the session's numbers, read into an order request.
//! * `FIX encode`: a Fill's ExecutionReport with decimals, times, length and checksum.
//! * `binary`: frame and block checked and read, or written.
//!
//! The floor copies the bytes of the FIX order.
//!
//! `cargo bench --bench codec [-- --instructions] [FILTER]`

mod support;

use std::hint::black_box;
use std::sync::OnceLock;

use support::Case;
use trading_engine_protocol::binary::frame::{Frame, block, decode_frame, write_message};
use trading_engine_protocol::binary::message::{Fill, NewOrder};
use trading_engine_protocol::fix::{
    Acceptor, AcceptorSettings, Action, Decoded, Header, Message, MessageWriter, decode, validate,
};
use trading_engine_protocol::types::{ClientOrderId, Decimal8, UtcNanos};

/// Messages made ahead and gone round: as many as a cache keeps, like those of a socket.
const MESSAGES: u64 = 1 << 11;
const NOW: UtcNanos = UtcNanos(1_790_000_000_123_456_789);

fn header<'a>(message_type: &'a [u8], [sender, target]: [&'a [u8]; 2], seq: u64) -> Header<'a> {
    Header {
        message_type,
        sender,
        target,
        seq,
        sending_time: NOW,
        original_time: None,
        routing: b"",
    }
}

fn order(out: &mut Vec<u8>, seq: u64) {
    let mut writer = MessageWriter::begin(out, &header(b"D", [b"ALPHA-FIX", b"VENUE"], seq));
    writer.number(11, 1_000_000 + seq);
    writer.text(55, b"DEMO-A");
    writer.character(54, b'1');
    writer.timestamp(60, NOW);
    writer.decimal(38, Decimal8(2_500_000_000));
    writer.character(40, b'2');
    writer.decimal(44, Decimal8(10_012_000_000));
    writer.character(59, b'0');
    writer.finish();
}

fn report(out: &mut Vec<u8>, seq: u64) {
    let mut writer = MessageWriter::begin(out, &header(b"8", [b"VENUE", b"ALPHA-FIX"], seq));
    writer.number(37, 281_474_976_710_656 + seq);
    writer.number(17, 1_000_000 + seq);
    writer.character(150, b'F');
    writer.character(39, b'1');
    writer.client_order_id(
        11,
        &ClientOrderId::from_text(b"ORDER-1000001").expect("an id"),
    );
    writer.text(55, b"DEMO-A");
    writer.character(54, b'1');
    writer.decimal(38, Decimal8(2_500_000_000));
    writer.character(40, b'2');
    writer.decimal(44, Decimal8(10_012_000_000));
    writer.character(59, b'0');
    writer.decimal(151, Decimal8(1_300_000_000));
    writer.decimal(14, Decimal8(1_200_000_000));
    writer.decimal(6, Decimal8(10_012_000_000));
    writer.decimal(31, Decimal8(10_012_000_000));
    writer.decimal(32, Decimal8(1_200_000_000));
    writer.number(851, 2);
    writer.number(880, 77_000 + seq);
    writer.timestamp(60, NOW);
    writer.finish();
}

/// Orders numbered from 2, and where each ends.
fn orders() -> &'static (Vec<u8>, Vec<usize>) {
    static ORDERS: OnceLock<(Vec<u8>, Vec<usize>)> = OnceLock::new();
    ORDERS.get_or_init(|| {
        let mut bytes = Vec::new();
        let ends = (2..MESSAGES + 2)
            .map(|seq| {
                order(&mut bytes, seq);
                bytes.len()
            })
            .collect();
        (bytes, ends)
    })
}

fn each_order(count: u64, mut each: impl FnMut(&'static [u8])) {
    let (bytes, ends) = orders();
    for round in 0..count.div_ceil(MESSAGES) {
        let mut start = 0;
        let left = usize::try_from(count - round * MESSAGES).expect("a count");
        for &end in ends.iter().take(left) {
            each(&bytes[start..end]);
            start = end;
        }
    }
}

fn copy(count: u64) {
    let mut room = [0u8; 512];
    each_order(count, |bytes| {
        room[..bytes.len()].copy_from_slice(bytes);
        black_box(&mut room);
    });
}

fn fix_decode(count: u64) {
    let mut message = Message::default();
    each_order(count, |bytes| {
        assert_eq!(
            decode(black_box(bytes), &mut message),
            Decoded::Complete(bytes.len())
        );
    });
}

fn fix_validate(count: u64) {
    let mut message = Message::default();
    each_order(count, |bytes| {
        assert_eq!(
            decode(black_box(bytes), &mut message),
            Decoded::Complete(bytes.len())
        );
        assert_eq!(validate(&message, bytes), Ok(()));
    });
}

fn logged_on() -> Acceptor {
    let settings = AcceptorSettings {
        comp_id: b"VENUE".to_vec(),
        ..AcceptorSettings::default()
    };
    let mut acceptor = Acceptor::new(settings, 0);
    let mut logon = Vec::new();
    let mut writer = MessageWriter::begin(&mut logon, &header(b"A", [b"ALPHA-FIX", b"VENUE"], 1));
    writer.number(98, 0);
    writer.number(108, 30);
    writer.text(553, b"alpha");
    writer.text(554, b"secret");
    writer.finish();
    let (_, action) = acceptor.receive(0, NOW, &logon);
    assert!(matches!(action, Action::Logon(_)), "{action:?}");
    acceptor.logon_accepted(0, 1, 2, false);
    acceptor
}

fn fix_receive(count: u64) {
    let mut acceptor = logged_on();
    let mut received = 0;
    each_order(count, |bytes| {
        // The numbers begin again with each round of the messages.
        if received == MESSAGES {
            acceptor = logged_on();
            received = 0;
        }
        received += 1;
        let (taken, action) = acceptor.receive(1, NOW, black_box(bytes));
        assert!(
            taken == bytes.len() && matches!(action, Action::Request { .. }),
            "{action:?}"
        );
        black_box(&action);
    });
}

fn fix_encode(count: u64) {
    let mut out = Vec::with_capacity(1 << 12);
    for seq in 0..count {
        out.clear();
        report(black_box(&mut out), black_box(seq));
    }
}

fn binary_orders() -> &'static [u64] {
    static FRAMES: OnceLock<Vec<u64>> = OnceLock::new();
    FRAMES.get_or_init(|| {
        let mut bytes = Vec::new();
        for seq in 1..=MESSAGES {
            let order = NewOrder {
                cl_ord_id: seq,
                price: 10_012_000_000,
                qty: 2_500_000_000,
                instrument_id: 1,
                side: 1,
                ord_type: 2,
                ..NewOrder::default()
            };
            write_message(&mut bytes, &order, seq);
        }
        let words = bytes.as_chunks::<8>().0;
        words.iter().map(|word| u64::from_le_bytes(*word)).collect()
    })
}

fn binary_decode(count: u64) {
    let frames = zerocopy::IntoBytes::as_bytes(binary_orders());
    let mut rest = frames;
    for _ in 0..count {
        if rest.is_empty() {
            rest = frames;
        }
        let Ok(Frame::Complete { header, body }) = decode_frame(black_box(rest)) else {
            panic!("a frame");
        };
        let order: NewOrder = block(&header, body).expect("a NewOrder");
        black_box(&order);
        rest = &rest[usize::from(header.length)..];
    }
}

fn binary_encode(count: u64) {
    let mut out = Vec::with_capacity(1 << 12);
    for seq in 0..count {
        out.clear();
        let fill = Fill {
            client_seq: seq,
            order_id: black_box(seq),
            last_price: 10_012_000_000,
            last_qty: 1_200_000_000,
            ..Fill::default()
        };
        write_message(black_box(&mut out), &fill, seq);
    }
}

fn main() {
    support::main(
        "one message, read or written",
        "copy of a FIX order",
        &[
            Case::new("copy of a FIX order", copy, 1 << 14),
            Case::new("FIX decode", fix_decode, 1 << 14),
            Case::new("FIX decode, validate", fix_validate, 1 << 14),
            Case::new("FIX receive", fix_receive, 1 << 14),
            Case::new("FIX encode", fix_encode, 1 << 14),
            Case::new("binary decode", binary_decode, 1 << 14),
            Case::new("binary encode", binary_encode, 1 << 14),
        ],
    );
}
