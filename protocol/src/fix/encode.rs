//! Writing messages: pure functions into a byte vector.

use super::{BEGIN_STRING, SOH};
use crate::types::{ClientOrderId, Decimal8, NUMBER_ROOM, UtcNanos, eight, put_eight, write_u64};

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
    /// The day last written; a message's times are mostly of one.
    day: Day,
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
            day: Day::of(header.sending_time),
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
            day: Day::of(UtcNanos(0)),
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
        self.at += write_u64(value, &mut self.out[self.at..]);
    }

    // The writers below are split in two: the tag, a constant where they are called, and the value,
    // one function for all callers. The first half makes sure of the room.

    /// A field with text; separators inside become spaces, so a message cannot be broken.
    #[inline(always)]
    pub fn text(&mut self, tag: u32, value: &[u8]) {
        self.reserve(value.len());
        self.tag(tag);
        self.text_value(value);
    }

    fn text_value(&mut self, value: &[u8]) {
        let room = &mut self.out[self.at..=self.at + value.len()];
        if let Some((end, room)) = room.split_last_mut() {
            copy_text(value, room);
            *end = SOH;
        }
        self.at += value.len() + 1;
    }

    /// A field with a text in parts, as [`MessageWriter::text`].
    pub fn parts(&mut self, tag: u32, parts: &[&[u8]]) {
        self.reserve(parts.iter().map(|part| part.len()).sum());
        self.tag(tag);
        for part in parts {
            copy_text(part, &mut self.out[self.at..self.at + part.len()]);
            self.at += part.len();
        }
        self.push(SOH);
    }

    /// A number field that may be negative.
    pub fn signed(&mut self, tag: u32, value: i64) {
        let digits = Digits::of(value.unsigned_abs());
        let sign: &[u8] = if value < 0 { b"-" } else { b"" };
        self.parts(tag, &[sign, digits.as_bytes()]);
    }

    /// A field with one character.
    #[inline(always)]
    pub fn character(&mut self, tag: u32, value: u8) {
        self.reserve(1);
        self.tag(tag);
        self.put(&[if value == SOH { b' ' } else { value }, SOH]);
    }

    /// A number field.
    #[inline(always)]
    pub fn number(&mut self, tag: u32, value: u64) {
        self.reserve(NUMBER_ROOM);
        self.tag(tag);
        self.number_value(value);
    }

    fn number_value(&mut self, value: u64) {
        self.digits(value);
        self.push(SOH);
    }

    /// A price or quantity field.
    #[inline(always)]
    pub fn decimal(&mut self, tag: u32, value: Decimal8) {
        self.reserve(Decimal8::TEXT_LENGTH_MAX);
        self.tag(tag);
        self.decimal_value(value);
    }

    fn decimal_value(&mut self, value: Decimal8) {
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
    #[inline(always)]
    pub fn timestamp(&mut self, tag: u32, time: UtcNanos) {
        self.reserve(TIMESTAMP_LENGTH);
        self.tag(tag);
        self.timestamp_value(time);
    }

    fn timestamp_value(&mut self, time: UtcNanos) {
        if !self.day.has(time) {
            self.day = Day::of(time);
        }
        if let Some(text) = self.out[self.at..].first_chunk_mut() {
            write_time(&self.day, time, text);
        }
        self.at += TIMESTAMP_LENGTH;
        self.push(SOH);
    }

    /// Sets BodyLength(9) and appends CheckSum(10).
    #[allow(clippy::cast_possible_truncation, reason = "one digit each")]
    pub fn finish(mut self) {
        self.reserve(8);
        let length = self.at - self.start - PREFIX;
        if (100..1_000).contains(&length) {
            let digit = |scale: usize| (length / scale % 10) as u8 + b'0';
            let prefix = &mut self.out[self.start..self.start + PREFIX];
            prefix[..12].copy_from_slice(b"8=FIX.4.4\x019=");
            prefix[12..].copy_from_slice(&[digit(100), digit(10), digit(1), SOH]);
        } else {
            self.odd_prefix(length);
        }
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

    /// `8=` and `9=` of a length that has not three digits: the body moves.
    #[cold]
    fn odd_prefix(&mut self, length: usize) {
        let body = self.start + PREFIX;
        let prefix = [b"8=", BEGIN_STRING, b"\x019="].concat();
        let mut digits = [0u8; NUMBER_ROOM];
        let count = write_u64(length as u64, &mut digits);
        let prefix = [&prefix, &digits[..count], &[SOH]].concat();
        self.reserve(prefix.len());
        let start = self.start + prefix.len();
        self.out.copy_within(body..self.at, start);
        self.at = start + length;
        self.out[self.start..start].copy_from_slice(&prefix);
    }
}

/// A number as text.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    text: [u8; NUMBER_ROOM],
    length: usize,
}

impl Digits {
    /// Of a number.
    pub fn of(value: u64) -> Self {
        let mut text = [0; NUMBER_ROOM];
        let length = write_u64(value, &mut text);
        Self { text, length }
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// Copies text of one length, separators as spaces.
#[inline(always)]
fn copy_text(from: &[u8], to: &mut [u8]) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const _: () = assert!(SOH == 1, "the ones are the separator, eight times");
    let mut separators = 0;
    let mut has_separator = |word: u64| {
        let zero_at = word ^ ONES;
        separators |= zero_at.wrapping_sub(ONES) & !zero_at & HIGHS;
    };
    if let (Some(last), Some(last_to)) = (from.last_chunk::<8>(), to.last_chunk_mut::<8>()) {
        has_separator(u64::from_le_bytes(*last));
        *last_to = *last;
        for (from, to) in from
            .as_chunks::<8>()
            .0
            .iter()
            .zip(to.as_chunks_mut::<8>().0)
        {
            has_separator(u64::from_le_bytes(*from));
            *to = *from;
        }
    } else if let (Some(first), Some(last)) = (from.first_chunk::<4>(), from.last_chunk::<4>()) {
        let (a, b) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        has_separator(u64::from(a) | u64::from(b) << 32);
        if let Some(to) = to.first_chunk_mut() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = *last;
        }
    } else {
        for (from, to) in from.iter().zip(&mut *to) {
            *to = if *from == SOH { b' ' } else { *from };
        }
    }
    if separators != 0 {
        to.iter_mut()
            .filter(|byte| **byte == SOH)
            .for_each(|byte| *byte = b' ');
    }
}

const TIMESTAMP_LENGTH: usize = 21;

/// A day, as text.
#[derive(Clone, Copy, Debug)]
struct Day {
    /// Days since 1970.
    number: u64,
    /// `YYYYMMDD`, as [`eight`] gives it.
    text: u64,
}

impl Day {
    #[inline]
    fn of(time: UtcNanos) -> Self {
        Self {
            number: time.0 / UtcNanos::DAY,
            text: eight(time.date_number()),
        }
    }

    #[inline(always)]
    fn has(&self, time: UtcNanos) -> bool {
        time.0.wrapping_sub(self.number * UtcNanos::DAY) < UtcNanos::DAY
    }
}

/// `YYYYMMDD-HH:MM:SS.sss`.
#[inline]
pub fn write_timestamp(time: UtcNanos, out: &mut [u8; TIMESTAMP_LENGTH]) {
    write_time(&Day::of(time), time, out);
}

/// [`write_timestamp`] of a time in `day`.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "milliseconds of a day, and digits"
)]
fn write_time(day: &Day, time: UtcNanos, out: &mut [u8; TIMESTAMP_LENGTH]) {
    let millis = ((time.0 - day.number * UtcNanos::DAY) / 1_000_000) as u32;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let [h1, h2, m1, m2, s1, s2, ..] =
        eight((hours * 10_000 + minutes * 100 + seconds) * 100).to_le_bytes();
    put_eight(out, day.text);
    let digit = |scale: u32| b'0' + (millis / scale % 10) as u8;
    out[8..].copy_from_slice(&[
        b'-',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
        b'.',
        digit(100),
        digit(10),
        digit(1),
    ]);
}
