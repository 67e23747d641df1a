//! Decimal digits eight at a time, in one 64-bit word: what the FIX codec spends its time on.
//!
//! The first digit is the word's lowest byte, so that the text's first byte is the first digit.

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The number that eight digits say; `None` when one of them is no digit.
#[inline(always)]
pub(crate) fn read_eight(text: [u8; 8]) -> Option<u32> {
    let digits = u64::from_le_bytes(text) ^ ZEROS;
    // Above 9, a byte reaches its high bit, or had it; what it carries then no longer matters.
    if (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    #[allow(clippy::cast_possible_truncation, reason = "below 10^8")]
    Some((fours & 0xFFFF) as u32 * 10_000 + (fours >> 32) as u32)
}

/// Eight digits of a number below 10^8, zeros in front.
#[inline(always)]
pub(crate) fn eight(value: u32) -> u64 {
    debug_assert!(value < 100_000_000, "Invariant: eight digits");
    let fours = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    // Below 10^4, n / 100 is n * 5243 >> 19; below 100, n / 10 is n * 103 >> 10.
    let hundreds = (fours * 5_243) >> 19 & 0x0000_007F_0000_007F;
    let pairs = hundreds | (fours - hundreds * 100) << 16;
    let tens = (pairs * 103) >> 10 & 0x000F_000F_000F_000F;
    (tens | (pairs - tens * 10) << 8) + ZEROS
}

/// How many zeros an [`eight`] begins with, at most 7.
#[inline(always)]
fn leading_zeros(digits: u64) -> usize {
    let rest = (digits ^ ZEROS) | 1 << 63;
    rest.trailing_zeros() as usize / 8
}

/// How many digits of an [`eight`] are there without the zeros it ends with.
#[inline(always)]
pub(crate) fn without_trailing_zeros(digits: u64) -> usize {
    8 - (digits ^ ZEROS).leading_zeros() as usize / 8
}

/// Writes eight bytes to the front of `out`.
#[inline(always)]
pub(crate) fn put_eight(out: &mut [u8], digits: u64) {
    out[..8].copy_from_slice(&digits.to_le_bytes());
}

/// Writes `value` in decimal and returns the length (at most 20). Some of the eight bytes behind
/// may be overwritten: `out` holds [`NUMBER_ROOM`].
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "below 10^8 each")]
pub(crate) fn write_u64(value: u64, out: &mut [u8]) -> usize {
    const EIGHT: u64 = 100_000_000;
    let front = |value: u32, out: &mut [u8]| {
        let digits = eight(value);
        let zeros = leading_zeros(digits);
        put_eight(out, digits >> (zeros * 8));
        8 - zeros
    };
    // Most quantities and small fields.
    if value < 100 {
        let tens = value as u8 / 10;
        let ones = value as u8 % 10 + b'0';
        let wide = tens != 0;
        out[..2].copy_from_slice(&[if wide { tens + b'0' } else { ones }, ones]);
        return 1 + usize::from(wide);
    }
    if value < EIGHT {
        return front(value as u32, out);
    }
    let (high, low) = (value / EIGHT, (value % EIGHT) as u32);
    let mut length = if high < EIGHT {
        front(high as u32, out)
    } else {
        let length = front((high / EIGHT) as u32, out);
        put_eight(&mut out[length..], eight((high % EIGHT) as u32));
        length + 8
    };
    put_eight(&mut out[length..], eight(low));
    length += 8;
    length
}

/// Room that [`write_u64`] needs.
pub(crate) const NUMBER_ROOM: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_go_both_ways() {
        let values = (0..10_000).chain((0..10_000).map(|n| n * 9_999 + 7));
        for value in values.chain([99_999_999, 12_345_678, 10_000_000]) {
            let text = eight(value).to_le_bytes();
            assert_eq!(text, format!("{value:08}").as_bytes());
            assert_eq!(read_eight(text), Some(value));
        }
        for at in 0..8 {
            for wrong in (0..=255u8).filter(|byte| !byte.is_ascii_digit()) {
                let mut text = *b"12345678";
                text[at] = wrong;
                assert_eq!(read_eight(text), None, "{text:?}");
                text[7 - at] = 0xFF;
                assert_eq!(read_eight(text), None, "{text:?}");
            }
        }
    }

    #[test]
    fn numbers_are_written_without_zeros_in_front() {
        let mut value = 1u64;
        let mut values = vec![0, u64::MAX, u64::MAX - 1, 100_000_000, 99_999_999];
        for _ in 0..64 {
            values.extend([value, value - 1, value.wrapping_add(1), value / 5 * 3]);
            value = value.wrapping_mul(2).max(1);
        }
        for power in 0..20 {
            let ten = 10u64.pow(power);
            values.extend([ten, ten - 1, ten + 1]);
        }
        for value in values {
            let mut out = [0u8; NUMBER_ROOM];
            let length = write_u64(value, &mut out);
            assert_eq!(&out[..length], value.to_string().as_bytes());
        }
    }
}
