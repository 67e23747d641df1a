//! Decimal text at the wire: a 64-bit mantissa with eight fixed decimals.

use super::digits::{eight, put_eight, without_trailing_zeros, write_u64};

/// A price or quantity as the wires write it: `mantissa * 10^-8`.
///
/// Range ±92,233,720,368.54775807. The same number in binary frames (an `int64`) and, as text, in
/// FIX. The core never sees it: the gateway divides by the instrument's price unit or lot size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal8(pub i64);

/// What makes a whole of digits after the point when so many of eight (or, one less, of nine) are
/// there.
pub(crate) const MISSING: [u32; 9] = [
    100_000_000,
    10_000_000,
    1_000_000,
    100_000,
    10_000,
    1_000,
    100,
    10,
    1,
];

/// Why a text is no [`Decimal8`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// Not `-?digits[.digits]` (FIX float: no exponent, no plus sign, at least one digit).
    Malformed,
    /// More than eight significant decimals.
    TooPrecise,
    /// Outside the 64-bit range.
    OutOfRange,
}

impl Decimal8 {
    /// Mantissa of 1.
    pub const ONE: i64 = 100_000_000;
    /// Longest text [`Decimal8::write`] gives.
    pub const TEXT_LENGTH_MAX: usize = 21;

    /// Reads a FIX float: optional `-`, digits, optional `.` and digits; trailing zeros beyond
    /// eight decimals are fine.
    ///
    /// # Errors
    /// [`DecimalError`] tells malformed text from numbers that do not fit.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        // Mantissas of up to so many digits fit whatever the digits are.
        const SAFE: usize = 18;
        if digits.len() > SAFE {
            return Self::parse_long(negative, digits);
        }
        let mut mantissa = 0i64;
        let mut seen = 0;
        let mut after_point = None;
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                mantissa = mantissa * 10 + i64::from(digit);
                seen += 1;
            } else if byte == b'.' && after_point.is_none() {
                after_point = Some(seen);
            } else {
                return Err(DecimalError::Malformed);
            }
        }
        if seen == 0 {
            return Err(DecimalError::Malformed);
        }
        let decimals = seen - after_point.unwrap_or(seen);
        let Some(&missing) = MISSING.get(decimals) else {
            return Self::parse_long(negative, digits);
        };
        let mantissa = mantissa
            .checked_mul(i64::from(missing))
            .ok_or(DecimalError::OutOfRange)?;
        Ok(Self(if negative { -mantissa } else { mantissa }))
    }

    /// [`Decimal8::parse`] of any number of digits.
    fn parse_long(negative: bool, digits: &[u8]) -> Result<Self, DecimalError> {
        // Its sign is taken off already.
        if digits.starts_with(b"-") || !is_float(digits) {
            return Err(DecimalError::Malformed);
        }
        let mut mantissa = 0i64;
        let mut decimals = None;
        for &byte in digits {
            if byte == b'.' {
                decimals = Some(0);
                continue;
            }
            if let Some(decimals) = &mut decimals {
                if *decimals == 8 {
                    if byte != b'0' {
                        return Err(DecimalError::TooPrecise);
                    }
                    continue;
                }
                *decimals += 1;
            }
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(byte - b'0')))
                .ok_or(DecimalError::OutOfRange)?;
        }
        let mantissa = mantissa
            .checked_mul(i64::from(MISSING[decimals.unwrap_or(0)]))
            .ok_or(DecimalError::OutOfRange)?;
        Ok(Self(if negative { -mantissa } else { mantissa }))
    }

    /// Writes the shortest text (`221.5`, `-0.00000001`, `100`) and returns its length.
    ///
    /// `out` must hold [`Decimal8::TEXT_LENGTH_MAX`] bytes; what is behind the text may change.
    #[inline]
    pub fn write(self, out: &mut [u8]) -> usize {
        let mut position = 0;
        if self.0 < 0 {
            out[0] = b'-';
            position = 1;
        }
        let magnitude = self.0.unsigned_abs();
        position += write_u64(magnitude / Self::ONE.unsigned_abs(), &mut out[position..]);
        #[allow(clippy::cast_possible_truncation, reason = "below 10^8")]
        let fraction = (magnitude % Self::ONE.unsigned_abs()) as u32;
        if fraction == 0 {
            return position;
        }
        let decimals = eight(fraction);
        out[position] = b'.';
        put_eight(&mut out[position + 1..], decimals);
        position + 1 + without_trailing_zeros(decimals)
    }
}

/// Whether a text is a FIX float, whatever its value.
#[inline]
pub(crate) fn is_float(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let (mut seen, mut points) = (0usize, 0usize);
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0') <= 9;
        seen += usize::from(digit);
        points += usize::from(byte == b'.');
    }
    seen > 0 && points <= 1 && seen + points == digits.len()
}

impl core::fmt::Display for Decimal8 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = [0u8; Self::TEXT_LENGTH_MAX];
        let length = self.write(&mut text);
        f.write_str(core::str::from_utf8(&text[..length]).unwrap_or("?"))
    }
}

impl core::str::FromStr for Decimal8 {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Self::parse(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<i64, DecimalError>) {
        assert_eq!(
            Decimal8::parse(text.as_bytes()).map(|d| d.0),
            expect,
            "{text}"
        );
    }

    #[test]
    fn parses_fix_floats() {
        check("--2222.2022222202200", Err(DecimalError::Malformed));
        check("0", Ok(0));
        check("221.50", Ok(22_150_000_000));
        check("-0.00000001", Ok(-1));
        check("1.000000000000", Ok(100_000_000));
        check("23.", Ok(2_300_000_000));
        check(".5", Ok(50_000_000));
        check("92233720368.54775807", Ok(i64::MAX));
        check("92233720368.54775808", Err(DecimalError::OutOfRange));
        check("0.000000001", Err(DecimalError::TooPrecise));
        check("12345678901.123456789", Err(DecimalError::TooPrecise));
        check("12345678901.12345678000", Ok(1_234_567_890_112_345_678));
        check("99999999999999999", Err(DecimalError::OutOfRange));
        check("000000000000000000000001.5", Ok(150_000_000));
        check("0.000000001x", Err(DecimalError::Malformed));
        check("0.123456789012345678.0", Err(DecimalError::Malformed));
        for bad in ["", "-", ".", "+1", "1e5", "1.2.3", " 1", "--1", "nan"] {
            check(bad, Err(DecimalError::Malformed));
        }
    }

    #[test]
    fn writes_the_shortest_text() {
        for (value, text) in [
            (0, "0"),
            (22_150_000_000, "221.5"),
            (-1, "-0.00000001"),
            (i64::MAX, "92233720368.54775807"),
            (i64::MIN, "-92233720368.54775808"),
        ] {
            assert_eq!(Decimal8(value).to_string(), text);
        }
    }
}
