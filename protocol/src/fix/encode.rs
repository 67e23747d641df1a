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
///
/// What is written lies behind the vector's old end, in room that grows in large steps, so that a
/// field is a few stores; `finish` cuts the room off.
#[derive(Debug)]
#[must_use = "a message is whole when it is finished"]
pub struct MessageWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// Where the next byte goes.
    at: usize,
}

/// Room for `8=FIX.4.4|9=ddd|` before the body; a length of other than three digits moves the body.
const PREFIX: usize = 16;
/// Room taken at a time.
const ROOM: usize = 768;

impl<'a> MessageWriter<'a> {
    /// Begins a message behind what is in `out`.
    #[inline]
    pub fn begin(out: &'a mut Vec<u8>, header: &Header<'_>) -> Self {
        let start = out.len();
        out.resize(start + ROOM, 0);
        let mut writer = Self {
            out,
            start,
            at: start + PREFIX,
        };
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
        writer.raw(header.routing);
        writer
    }

    /// Fields without a header and a trailer.
    pub fn body(write: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
        let mut out = vec![0; ROOM];
        let mut writer = MessageWriter {
            out: &mut out,
            start: 0,
            at: 0,
        };
        write(&mut writer);
        let end = writer.at;
        out.truncate(end);
        out
    }

    /// Makes sure of room for `bytes` more, a field's tag and separators included.
    #[inline(always)]
    fn reserve(&mut self, bytes: usize) {
        if self.at + bytes + 16 > self.out.len() {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        self.out.resize(self.at + bytes + ROOM, 0);
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.out[self.at] = byte;
        self.at += 1;
    }

    /// Whole fields, as they are.
    pub fn raw(&mut self, fields: &[u8]) {
        self.reserve(fields.len());
        self.put(fields);
    }

    /// `tag=`; the caller reserved. With a constant tag this is a constant.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "one digit each")]
    fn tag(&mut self, tag: u32) {
        let digit = |scale: u32| b'0' + (tag / scale % 10) as u8;
        match tag {
            0..10 => self.put(&[digit(1), b'=']),
            10..100 => self.put(&[digit(10), digit(1), b'=']),
            100..1_000 => self.put(&[digit(100), digit(10), digit(1), b'=']),
            _ => self.long_tag(tag),
        }
    }

    #[cold]
    fn long_tag(&mut self, tag: u32) {
        self.digits(u64::from(tag));
        self.push(b'=');
    }

    #[inline(always)]
    fn digits(&mut self, value: u64) {
        self.at += crate::types::write_u64(value, &mut self.out[self.at..]);
    }

    /// A field with text; separators inside become spaces, so a message cannot be broken.
    #[inline]
    pub fn text(&mut self, tag: u32, value: &[u8]) {
        self.reserve(value.len());
        self.tag(tag);
        let from = self.at;
        self.put(value);
        for byte in &mut self.out[from..self.at] {
            if *byte == SOH {
                *byte = b' ';
            }
        }
        self.push(SOH);
    }

    /// A field with one character.
    #[inline]
    pub fn character(&mut self, tag: u32, value: u8) {
        self.reserve(1);
        self.tag(tag);
        self.push(if value == SOH { b' ' } else { value });
        self.push(SOH);
    }

    /// A number field.
    #[inline]
    pub fn number(&mut self, tag: u32, value: u64) {
        self.reserve(20);
        self.tag(tag);
        self.digits(value);
        self.push(SOH);
    }

    /// A price or quantity field.
    #[inline]
    pub fn decimal(&mut self, tag: u32, value: Decimal8) {
        self.reserve(Decimal8::TEXT_LENGTH_MAX);
        self.tag(tag);
        self.at += value.write(&mut self.out[self.at..]);
        self.push(SOH);
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
        self.reserve(TIMESTAMP_LENGTH);
        self.tag(tag);
        if let Some(text) = self.out[self.at..].first_chunk_mut() {
            write_timestamp(time, text);
        }
        self.at += TIMESTAMP_LENGTH;
        self.push(SOH);
    }

    /// Sets BodyLength(9) and appends CheckSum(10).
    pub fn finish(mut self) {
        self.reserve(8);
        let body = self.start + PREFIX;
        let mut prefix = [0u8; PREFIX + 20];
        prefix[..2].copy_from_slice(b"8=");
        prefix[2..9].copy_from_slice(BEGIN_STRING);
        prefix[9..12].copy_from_slice(b"\x019=");
        let mut length = 12;
        length += crate::types::write_u64((self.at - body) as u64, &mut prefix[length..]);
        prefix[length] = SOH;
        length += 1;
        if length != PREFIX {
            if length > PREFIX {
                self.reserve(length - PREFIX);
            }
            self.out.copy_within(body..self.at, self.start + length);
            self.at = self.at + length - PREFIX;
        }
        self.out[self.start..self.start + length].copy_from_slice(&prefix[..length]);
        let sum = self.out[self.start..self.at]
            .iter()
            .fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        self.put(&[
            b'1',
            b'0',
            b'=',
            b'0' + sum / 100,
            b'0' + sum / 10 % 10,
            b'0' + sum % 10,
            SOH,
        ]);
        let end = self.at;
        self.out.truncate(end);
        self.at = self.start;
    }
}

const TIMESTAMP_LENGTH: usize = 21;

/// `YYYYMMDD-HH:MM:SS.sss`.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "two digits each")]
pub fn write_timestamp(time: UtcNanos, out: &mut [u8; TIMESTAMP_LENGTH]) {
    let (year, month, day) = time.date();
    let millis = (time.0 / 1_000_000 % 86_400_000) as u32;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let mut pair = |at: usize, value: u32| {
        out[at] = b'0' + (value / 10) as u8;
        out[at + 1] = b'0' + (value % 10) as u8;
    };
    pair(0, year / 100);
    pair(2, year % 100);
    pair(4, month);
    pair(6, day);
    pair(9, seconds / 3_600);
    pair(12, seconds / 60 % 60);
    pair(15, seconds % 60);
    pair(18, millis / 10);
    out[20] = b'0' + (millis % 10) as u8;
    out[8] = b'-';
    out[11] = b':';
    out[14] = b':';
    out[17] = b'.';
}
