//! Writing messages: pure functions into a byte vector.

use super::{BEGIN_STRING, SOH};
use crate::types::{ClientOrderId, Decimal8, UtcNanos};

/// The standard header of an outbound message.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// MsgType(35).
    pub message_type: &'a [u8],
    /// SenderCompID(49).
    pub sender: &'a [u8],
    /// TargetCompID(56).
    pub target: &'a [u8],
    /// MsgSeqNum(34).
    pub seq: u64,
    /// SendingTime(52).
    pub sending_time: UtcNanos,
    /// A second sending: PossDupFlag(43)=Y and OrigSendingTime(122).
    pub original_time: Option<UtcNanos>,
    /// Routing fields to be mirrored, as whole fields with separators; usually empty.
    pub routing: &'a [u8],
}

/// Writes one message; [`MessageWriter::finish`] makes it whole.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    body: usize,
}

/// `8=FIX.4.4|9=000|`: the length is rewritten at the end.
const LENGTH_DIGITS: usize = 3;

impl<'a> MessageWriter<'a> {
    /// Begins a message behind what is in `out`.
    pub fn begin(out: &'a mut Vec<u8>, header: &Header<'_>) -> Self {
        let start = out.len();
        out.extend_from_slice(b"8=");
        out.extend_from_slice(BEGIN_STRING);
        out.extend_from_slice(b"\x019=000\x01");
        let body = out.len();
        let mut writer = Self { out, start, body };
        writer.text(35, header.message_type);
        writer.number(34, header.seq);
        if header.original_time.is_some() {
            writer.text(43, b"Y");
        }
        writer.text(49, header.sender);
        writer.timestamp(52, header.sending_time);
        writer.text(56, header.target);
        if let Some(original) = header.original_time {
            writer.timestamp(122, original);
        }
        writer.out.extend_from_slice(header.routing);
        writer
    }

    /// Bytes of `out` so far.
    pub fn length(&self) -> usize {
        self.out.len()
    }

    /// Whole fields, as they are.
    pub fn raw(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    #[inline]
    fn tag(&mut self, tag: u32) {
        self.digits(u64::from(tag));
        self.out.push(b'=');
    }

    #[inline]
    fn digits(&mut self, value: u64) {
        let mut text = [0u8; 20];
        let length = crate::types::write_u64(value, &mut text);
        self.out.extend_from_slice(&text[..length]);
    }

    /// A field with text; separators inside become spaces, so a message cannot be broken.
    #[inline]
    pub fn text(&mut self, tag: u32, value: &[u8]) {
        self.tag(tag);
        let from = self.out.len();
        self.out.extend_from_slice(value);
        for byte in &mut self.out[from..] {
            if *byte == SOH {
                *byte = b' ';
            }
        }
        self.out.push(SOH);
    }

    /// A field with one character.
    #[inline]
    pub fn character(&mut self, tag: u32, value: u8) {
        self.text(tag, &[value]);
    }

    /// A number field.
    #[inline]
    pub fn number(&mut self, tag: u32, value: u64) {
        self.tag(tag);
        self.digits(value);
        self.out.push(SOH);
    }

    /// A price or quantity field.
    #[inline]
    pub fn decimal(&mut self, tag: u32, value: Decimal8) {
        self.tag(tag);
        let mut text = [0u8; Decimal8::TEXT_LENGTH_MAX];
        let length = value.write(&mut text);
        self.out.extend_from_slice(&text[..length]);
        self.out.push(SOH);
    }

    /// A client order id field, if there is one.
    #[inline]
    pub fn client_order_id(&mut self, tag: u32, id: &ClientOrderId) {
        match (id.as_text(), id.as_u64()) {
            (Some(text), _) => self.text(tag, text),
            (None, Some(number)) if number != 0 => self.number(tag, number),
            _ => {}
        }
    }

    /// A UTCTimestamp field with milliseconds.
    #[inline]
    pub fn timestamp(&mut self, tag: u32, time: UtcNanos) {
        self.tag(tag);
        let mut text = [0u8; 21];
        write_timestamp(time, &mut text);
        self.out.extend_from_slice(&text);
        self.out.push(SOH);
    }

    /// Sets BodyLength(9) and appends CheckSum(10).
    pub fn finish(self) {
        let length = self.out.len() - self.body;
        let mut digits = [0u8; 20];
        let count = crate::types::write_u64(length as u64, &mut digits);
        let place = self.body - 1 - LENGTH_DIGITS;
        self.out.splice(
            place..place + LENGTH_DIGITS,
            digits[..count].iter().copied(),
        );
        let sum = self.out[self.start..]
            .iter()
            .fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        self.out.extend_from_slice(&[
            b'1',
            b'0',
            b'=',
            b'0' + sum / 100,
            b'0' + sum / 10 % 10,
            b'0' + sum % 10,
            SOH,
        ]);
    }
}

/// `YYYYMMDD-HH:MM:SS.sss`.
pub fn write_timestamp(time: UtcNanos, out: &mut [u8; 21]) {
    let (year, month, day) = time.date();
    let millis = time.0 / 1_000_000 % 86_400_000;
    let seconds = millis / 1_000;
    let mut put = |at: usize, width: usize, mut value: u64| {
        for place in (at..at + width).rev() {
            out[place] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    };
    put(0, 4, u64::from(year));
    put(4, 2, u64::from(month));
    put(6, 2, u64::from(day));
    put(9, 2, seconds / 3600);
    put(12, 2, seconds / 60 % 60);
    put(15, 2, seconds % 60);
    put(18, 3, millis % 1_000);
    out[8] = b'-';
    out[11] = b':';
    out[14] = b':';
    out[17] = b'.';
}
