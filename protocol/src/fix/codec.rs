//! Framing and field splitting, in place: a message is a list of (tag, range) over the input.
//!
//! A message is *garbled* when its first three fields are not 8, 9, 35, its BodyLength(9) does not
//! lead to CheckSum(10), the checksum is wrong, or a field is no `tag=value`. Garbled bytes are
//! skipped up to the next `8=`; nobody is told, and no number is consumed.

use super::{FIELDS_MAX, MESSAGE_LENGTH_MAX, SOH};
use crate::types::UtcNanos;

/// One field: `tag=value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Tag number; 0 when the digits were fine but out of any dictionary's range.
    pub tag: u32,
    start: u16,
    length: u16,
}

/// The fields of one message; reused from message to message.
#[derive(Clone, Debug)]
pub struct Message {
    fields: Box<[Field; FIELDS_MAX]>,
    count: usize,
    length: usize,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            fields: Box::new([Field::default(); FIELDS_MAX]),
            count: 0,
            length: 0,
        }
    }
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
        let field = self.fields().iter().find(|field| field.tag == tag)?;
        Some(self.value(bytes, field))
    }

    /// MsgType(35).
    #[inline]
    pub fn message_type<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.value(bytes, &self.fields[2])
    }

    /// Value of a number field; `None` when absent or no number.
    #[inline]
    pub fn number(&self, bytes: &[u8], tag: u32) -> Option<u64> {
        number(self.get(bytes, tag)?)
    }

    #[inline]
    fn push(&mut self, tag: u32, start: usize, end: usize) -> bool {
        if self.count == FIELDS_MAX {
            return false;
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a message is at most 8 KiB"
        )]
        {
            self.fields[self.count] = Field {
                tag,
                start: start as u16,
                length: (end - start) as u16,
            };
        }
        self.count += 1;
        true
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

/// A UTCTimestamp: `YYYYMMDD-HH:MM:SS` with no or up to nine decimals. A leap second counts as the
/// one before it.
pub fn timestamp(text: &[u8]) -> Option<UtcNanos> {
    let (whole, fraction) = text.split_at_checked(17)?;
    if whole[8] != b'-' || whole[11] != b':' || whole[14] != b':' {
        return None;
    }
    let part = |range: core::ops::Range<usize>| {
        number(&whole[range]).and_then(|value| u32::try_from(value).ok())
    };
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(9..11)?, part(12..14)?, part(15..17)?);
    let in_range = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    let midnight = UtcNanos::from_date(year, month, day);
    if midnight.date() != (year, month, day) {
        return None;
    }
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let missing = u32::try_from(9 - digits.len()).ok()?;
            number(digits)? * 10u64.pow(missing)
        }
        _ => return None,
    };
    let seconds = u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second.min(59));
    Some(UtcNanos(midnight.0 + seconds * UtcNanos::SECOND + nanos))
}

/// Length tag and data tag of fields that may contain the separator.
const DATA: &[(u32, u32)] = &[
    (95, 96),
    (90, 91),
    (93, 89),
    (212, 213),
    (348, 349),
    (354, 355),
];

/// Reads the front of `input` into `message`.
pub fn decode(input: &[u8], message: &mut Message) -> Decoded {
    message.count = 0;
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
        && split(input, body, trailer, message)
        && message.push(10, trailer + 3, trailer + 6);
    if !framed || message.count < 4 || message.fields[2].tag != 35 {
        // A whole message whose content is garbled: skip exactly it.
        return if u32::from(actual) == sum {
            Decoded::Garbled(end)
        } else {
            skip(input)
        };
    }
    message.length = end;
    Decoded::Complete(end)
}

/// Splits the body. `false`: something in it is no field.
#[inline]
fn split(input: &[u8], mut at: usize, end: usize, message: &mut Message) -> bool {
    let mut data: Option<(u32, usize)> = None;
    while at < end {
        let mut tag = 0u32;
        let mut digits = 0;
        while at < end && input[at].is_ascii_digit() {
            tag = tag
                .saturating_mul(10)
                .saturating_add(u32::from(input[at] - b'0'));
            digits += 1;
            at += 1;
        }
        // A minus sign makes a tag that no dictionary knows, but still a field.
        if digits == 0 && at < end && input[at] == b'-' {
            at += 1;
            while at < end && input[at].is_ascii_digit() {
                digits += 1;
                at += 1;
            }
            tag = 0;
        }
        if digits == 0 || at >= end || input[at] != b'=' {
            return false;
        }
        at += 1;
        let stop = match data.take() {
            Some((data_tag, length)) if data_tag == tag => {
                let stop = at.saturating_add(length);
                if stop >= end || input[stop] != SOH {
                    return false;
                }
                stop
            }
            _ => {
                let mut stop = at;
                while stop < end && input[stop] != SOH {
                    stop += 1;
                }
                stop
            }
        };
        if stop >= end || !message.push(tag, at, stop) {
            return false;
        }
        if let Some((_, data_tag)) = DATA.iter().find(|(length, _)| *length == tag) {
            data = number(&input[at..stop])
                .and_then(|length| usize::try_from(length).ok())
                .map(|length| (*data_tag, length));
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
            "",
        ] {
            assert_eq!(timestamp(bad.as_bytes()), None, "{bad}");
        }
    }
}
