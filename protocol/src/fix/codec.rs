//! Framing and field splitting, in place: a message is a list of (tag, range) over the input.
//!
//! A message is *garbled* when its first three fields are not 8, 9, 35, its BodyLength(9) does not
//! lead to CheckSum(10), the checksum is wrong, or a field is no `tag=value`. Garbled bytes are
//! skipped up to the next `8=`; nobody is told, and no number is consumed.

use super::{FIELDS_MAX, MESSAGE_LENGTH_MAX, SOH};
use crate::types::{MISSING, UtcNanos, read_eight};

/// One field: `tag=value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Tag number; 0 when the digits were fine but out of any dictionary's range.
    pub tag: u32,
    start: u16,
    length: u16,
}

/// Tags whose first field is found without a search; the others are searched for.
const INDEXED_TAGS: usize = 1024;

/// Fields that there is room for at first: mass quotes have more, and few connections send them.
const FIELDS_FIRST: usize = 256;

/// The fields of one message; reused from message to message. Its memory is allocated by the first
/// [`decode`].
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Room for those of any message but a mass quote, later for all; the first `count` are the
    /// message's.
    fields: Vec<Field>,
    count: usize,
    /// By tag: position of the first field plus one, 0 = absent.
    first: Vec<u16>,
}

/// What the front of a byte stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// More bytes are needed.
    Incomplete,
    /// So many bytes are no message.
    Garbled(usize),
    /// A message of so many bytes; its fields are in the [`Message`].
    Complete(usize),
}

impl Message {
    /// All fields in order, 8, 9 and 10 included.
    pub fn fields(&self) -> &[Field] {
        &self.fields[..self.count]
    }

    /// Whether the field at a position repeats the tag of one before it.
    #[inline(always)]
    pub(super) fn repeats(&self, at: usize) -> bool {
        let tag = self.fields[at].tag;
        match self.first.get(tag as usize) {
            Some(&first) => usize::from(first) != at + 1,
            None => self.fields[..at].iter().any(|field| field.tag == tag),
        }
    }

    /// Value of a field of `bytes`, which the message was decoded from.
    #[inline]
    pub fn value<'a>(&self, bytes: &'a [u8], field: &Field) -> &'a [u8] {
        let start = usize::from(field.start);
        bytes
            .get(start..start + usize::from(field.length))
            .unwrap_or_default()
    }

    /// Value of the first field with this tag.
    #[inline]
    pub fn get<'a>(&self, bytes: &'a [u8], tag: u32) -> Option<&'a [u8]> {
        let field = match self.first.get(tag as usize) {
            Some(0) => return None,
            Some(&at) => &self.fields[usize::from(at) - 1],
            None => self.fields().iter().find(|field| field.tag == tag)?,
        };
        Some(self.value(bytes, field))
    }

    /// MsgType(35).
    #[inline]
    pub fn message_type<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.fields()
            .get(2)
            .map_or(&[], |field| self.value(bytes, field))
    }

    /// Value of a number field; `None` when absent or no number.
    #[inline]
    pub fn number(&self, bytes: &[u8], tag: u32) -> Option<u64> {
        number(self.get(bytes, tag)?)
    }

    /// Forgets the last message's fields.
    #[inline]
    fn clear(&mut self) {
        if self.first.is_empty() {
            self.first = vec![0; INDEXED_TAGS];
            self.fields = vec![Field::default(); FIELDS_FIRST];
        }
        for field in &self.fields[..self.count] {
            if let Some(first) = self.first.get_mut(field.tag as usize) {
                *first = 0;
            }
        }
        self.count = 0;
    }

    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a message is at most 32 KiB"
    )]
    fn push(&mut self, tag: u32, start: usize, end: usize) -> bool {
        if self.count == self.fields.len() && !self.grow() {
            return false;
        }
        let Some(field) = self.fields.get_mut(self.count) else {
            return false;
        };
        *field = Field {
            tag,
            start: start as u16,
            length: (end - start) as u16,
        };
        self.count += 1;
        if let Some(first) = self.first.get_mut(tag as usize)
            && *first == 0
        {
            *first = self.count as u16;
        }
        true
    }

    /// Makes room for the longest message, once. `false`: it is there.
    #[cold]
    fn grow(&mut self) -> bool {
        let grows = self.fields.len() < FIELDS_MAX;
        self.fields.resize(FIELDS_MAX, Field::default());
        grows
    }
}

/// A FIX int without sign, at most 18 digits.
#[inline]
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u64::from(byte - b'0'))
    })
}

/// Last year whose nanoseconds fit 64 bits as a whole.
const YEAR_MAX: u32 = 2553;

/// A UTCTimestamp: `YYYYMMDD-HH:MM:SS` with no or up to nine decimals. A leap second counts as the
/// one before it.
#[inline]
pub fn timestamp(text: &[u8]) -> Option<UtcNanos> {
    let moment = moment(text)?;
    let midnight = UtcNanos::from_date(moment.year, moment.month, moment.day);
    Some(UtcNanos(midnight.0 + moment.since_midnight_ns))
}

/// Whether [`timestamp`] can read it.
#[inline]
pub(super) fn is_timestamp(text: &[u8]) -> bool {
    moment(text).is_some()
}

struct Moment {
    year: u32,
    month: u32,
    day: u32,
    since_midnight_ns: u64,
}

#[inline(always)]
fn moment(text: &[u8]) -> Option<Moment> {
    let (date, rest) = text.split_first_chunk::<8>()?;
    let ([b'-', h1, h2, b':', m1, m2, b':', s1, s2], fraction) = rest.split_first_chunk::<9>()?
    else {
        return None;
    };
    let date = read_eight(*date)?;
    let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
    let clock = read_eight([b'0', b'0', *h1, *h2, *m1, *m2, *s1, *s2])?;
    let (hour, minute, second) = (clock / 10_000, clock / 100 % 100, clock % 100);
    let in_range = (1970..=YEAR_MAX).contains(&year)
        && (1..=12).contains(&month)
        && (1..=UtcNanos::days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(digits)? * u64::from(MISSING[digits.len() - 1])
        }
        _ => return None,
    };
    let seconds = u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second.min(59));
    Some(Moment {
        year,
        month,
        day,
        since_midnight_ns: seconds * UtcNanos::SECOND + nanos,
    })
}

/// The field that may contain the separator, by the field that says its length.
#[inline]
fn data_of(length_tag: u32) -> Option<u32> {
    match length_tag {
        0..90 => None,
        90 => Some(91),
        93 => Some(89),
        95 => Some(96),
        212 => Some(213),
        348 => Some(349),
        354 => Some(355),
        _ => None,
    }
}

/// Reads the front of `input` into `message`.
pub fn decode(input: &[u8], message: &mut Message) -> Decoded {
    message.clear();
    if input.len() < 2 {
        return if input.is_empty() || input == b"8" {
            Decoded::Incomplete
        } else {
            Decoded::Garbled(1)
        };
    }
    if !input.starts_with(b"8=") {
        return skip(input);
    }
    let Some(begin_end) = find(input, 2, 32) else {
        return incomplete_or_garbled(input, 34);
    };
    let length_start = begin_end + 1;
    let Some(head) = input.get(length_start..length_start + 2) else {
        return Decoded::Incomplete;
    };
    if head != b"9=" {
        return skip(input);
    }
    let Some(length_end) = find(input, length_start + 2, 8) else {
        return incomplete_or_garbled(input, length_start + 10);
    };
    let Some(body_length) = number(&input[length_start + 2..length_end]) else {
        return skip(input);
    };
    let body = length_end + 1;
    if body_length > MESSAGE_LENGTH_MAX as u64 {
        return skip(input);
    }
    let trailer = body + usize::try_from(body_length).unwrap_or(usize::MAX);
    let end = trailer + 7;
    let Some(tail) = input.get(trailer..end) else {
        return Decoded::Incomplete;
    };
    let sum = match tail {
        [
            b'1',
            b'0',
            b'=',
            a @ b'0'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            SOH,
        ] => u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0'),
        _ => return skip(input),
    };
    let actual = input[..trailer]
        .iter()
        .fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    let framed = u32::from(actual) == sum
        && (trailer == body || input[trailer - 1] == SOH)
        && message.push(8, 2, begin_end)
        && message.push(9, length_start + 2, length_end)
        && split(&input[..end], body, trailer, message)
        && message.push(10, trailer + 3, trailer + 6);
    if !framed || message.count < 4 || message.fields[2].tag != 35 {
        // A whole message whose content is garbled: skip exactly it.
        return if u32::from(actual) == sum {
            Decoded::Garbled(end)
        } else {
            skip(input)
        };
    }
    Decoded::Complete(end)
}

/// Digits of a tag that surely fit 32 bits; a longer one is in no dictionary.
const TAG_DIGITS_MAX: usize = 9;

/// Position of the next separator; there is one, and the trailer behind it. Looks at eight bytes
/// at a time.
#[inline(always)]
fn separator(input: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const _: () = assert!(SOH == 1, "the ones are the separator, eight times");
    while let Some(word) = input[at..].first_chunk::<8>() {
        // The lowest high bit set below belongs to the first byte that is zero after the xor.
        let zero_at = u64::from_le_bytes(*word) ^ ONES;
        let found = zero_at.wrapping_sub(ONES) & !zero_at & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    input.len()
}

/// Tag of the field at `at`, 0 when no dictionary has it, and where the value begins.
#[inline(always)]
fn tag(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let digit = |byte: u8| u32::from(byte.wrapping_sub(b'0'));
    // A tag of one to three digits, as almost all are.
    if let Some(&[a, b, c, d]) = input[at..].first_chunk::<4>() {
        let (a, b, c) = (digit(a), digit(b), digit(c));
        const EQUALS: u32 = (b'=' - b'0') as u32;
        if a <= 9 {
            if b <= 9 {
                if c <= 9 && d == b'=' {
                    return Some((a * 100 + b * 10 + c, at + 4));
                }
                if c == EQUALS {
                    return Some((a * 10 + b, at + 3));
                }
            } else if b == EQUALS {
                return Some((a, at + 2));
            }
        }
    }
    odd_tag(input, at)
}

/// [`tag`] of any form. A minus sign makes a tag that no dictionary knows, but still a field.
#[cold]
fn odd_tag(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let rest = &input[at..];
    let negative = rest.first() == Some(&b'-');
    let digits = &rest[usize::from(negative)..];
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if count == 0 || digits.get(count) != Some(&b'=') {
        return None;
    }
    let known = !negative && count <= TAG_DIGITS_MAX;
    let tag = if known { number(&digits[..count])? } else { 0 };
    let value = at + usize::from(negative) + count + 1;
    Some((u32::try_from(tag).ok()?, value))
}

/// Splits the body, which ends with a separator; `input` is the body and seven bytes of trailer.
/// `false`: something in it is no field.
#[inline]
fn split(input: &[u8], mut at: usize, end: usize, message: &mut Message) -> bool {
    let mut data: Option<(u32, usize)> = None;
    while at < end {
        let Some((tag, value)) = tag(input, at) else {
            return false;
        };
        let stop = match data.take() {
            Some((data_tag, length)) if data_tag == tag => {
                let stop = value.saturating_add(length);
                if stop >= end || input[stop] != SOH {
                    return false;
                }
                stop
            }
            _ => separator(input, value),
        };
        if stop >= end || !message.push(tag, value, stop) {
            return false;
        }
        if let Some(data_tag) = data_of(tag) {
            data = number(&input[value..stop])
                .and_then(|length| usize::try_from(length).ok())
                .map(|length| (data_tag, length));
        }
        at = stop + 1;
    }
    true
}

fn find(input: &[u8], from: usize, within: usize) -> Option<usize> {
    let window = input.get(from..)?;
    let window = &window[..window.len().min(within)];
    window
        .iter()
        .position(|&byte| byte == SOH)
        .map(|at| from + at)
}

fn incomplete_or_garbled(input: &[u8], enough: usize) -> Decoded {
    if input.len() < enough {
        Decoded::Incomplete
    } else {
        skip(input)
    }
}

/// The bytes up to where the next message may begin.
fn skip(input: &[u8]) -> Decoded {
    let next = input
        .windows(3)
        .position(|window| window == [SOH, b'8', b'=']);
    match next {
        Some(at) => Decoded::Garbled(at + 1),
        // The separator and the `8` of a next message may be here already.
        None if input.ends_with(&[SOH]) => Decoded::Garbled(input.len()),
        None if input.ends_with(&[SOH, b'8']) => Decoded::Garbled(input.len() - 1),
        None if input.len() > MESSAGE_LENGTH_MAX => Decoded::Garbled(input.len()),
        None => Decoded::Incomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_to_the_nanosecond_or_refused() {
        let noon = UtcNanos::from_date(2026, 11, 23).0 + 43_200 * UtcNanos::SECOND;
        assert_eq!(timestamp(b"20261123-12:00:00"), Some(UtcNanos(noon)));
        assert_eq!(
            timestamp(b"20261123-12:00:00.123"),
            Some(UtcNanos(noon + 123_000_000))
        );
        assert_eq!(
            timestamp(b"20261123-12:00:00.123456789"),
            Some(UtcNanos(noon + 123_456_789))
        );
        for bad in [
            "20261123-12:00",
            "20261323-12:00:00",
            "20260230-12:00:00",
            "20261123-24:00:00",
            "20261123-12:00:00.",
            "20261123 12:00:00",
            "20261123-12:00:00.1234567890",
            "99991231-23:59:59",
            "25540101-00:00:00",
            "",
        ] {
            assert_eq!(timestamp(bad.as_bytes()), None, "{bad}");
        }
    }
}
