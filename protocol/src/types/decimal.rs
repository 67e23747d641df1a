//! Decimal text at the wire: a 64-bit mantissa with eight fixed decimals.

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
        let mut mantissa: i64 = 0;
        let mut seen = 0usize;
        let mut decimals = 0usize;
        let mut point = false;
        for &byte in digits {
            match byte {
                b'0'..=b'9' => {
                    seen += 1;
                    if point {
                        decimals += 1;
                        if decimals > 8 {
                            if byte != b'0' {
                                return Err(DecimalError::TooPrecise);
                            }
                            continue;
                        }
                    }
                    mantissa = mantissa
                        .checked_mul(10)
                        .and_then(|m| m.checked_add(i64::from(byte - b'0')))
                        .ok_or(DecimalError::OutOfRange)?;
                }
                b'.' if !point => point = true,
                _ => return Err(DecimalError::Malformed),
            }
        }
        if seen == 0 {
            return Err(DecimalError::Malformed);
        }
        let mantissa = mantissa
            .checked_mul(i64::from(MISSING[decimals.min(8)]))
            .ok_or(DecimalError::OutOfRange)?;
        Ok(Self(if negative { -mantissa } else { mantissa }))
    }

    /// Writes the shortest text (`221.5`, `-0.00000001`, `100`) and returns its length.
    ///
    /// `out` must hold [`Decimal8::TEXT_LENGTH_MAX`] bytes.
    #[inline]
    pub fn write(self, out: &mut [u8]) -> usize {
        let mut position = 0;
        if self.0 < 0 {
            out[0] = b'-';
            position = 1;
        }
        let magnitude = self.0.unsigned_abs();
        position += write_u64(magnitude / 100_000_000, &mut out[position..]);
        #[allow(clippy::cast_possible_truncation, reason = "below 10^8")]
        let mut fraction = (magnitude % 100_000_000) as u32;
        if fraction == 0 {
            return position;
        }
        let mut decimals = [0u8; 8];
        for pair in decimals.as_chunks_mut::<2>().0.iter_mut().rev() {
            *pair = PAIRS[(fraction % 100) as usize];
            fraction /= 100;
        }
        let zeros = u64::from_be_bytes(decimals) ^ u64::from_be_bytes([b'0'; 8]);
        let length = 8 - zeros.trailing_zeros() as usize / 8;
        out[position] = b'.';
        out[position + 1..=position + length].copy_from_slice(&decimals[..length]);
        position + 1 + length
    }
}

/// "00" to "99".
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + value as u8 / 10, b'0' + value as u8 % 10];
        value += 1;
    }
    pairs
};

/// Writes `value` in decimal and returns the length (at most 20).
#[inline]
pub(crate) fn write_u64(mut value: u64, out: &mut [u8]) -> usize {
    let length = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    let out = &mut out[..length];
    let mut end = length;
    while value >= 100 {
        end -= 2;
        out[end..end + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    let last = PAIRS[value as usize];
    if end == 2 {
        out[..2].copy_from_slice(&last);
    } else {
        out[0] = last[1];
    }
    length
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
        check("0", Ok(0));
        check("221.50", Ok(22_150_000_000));
        check("-0.00000001", Ok(-1));
        check("1.000000000000", Ok(100_000_000));
        check("23.", Ok(2_300_000_000));
        check(".5", Ok(50_000_000));
        check("92233720368.54775807", Ok(i64::MAX));
        check("92233720368.54775808", Err(DecimalError::OutOfRange));
        check("0.000000001", Err(DecimalError::TooPrecise));
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
