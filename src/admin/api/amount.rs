//! Prices, quantities and money as text: exact decimals in strings, never floating-point numbers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// Decimals there may be.
const DECIMALS: usize = 8;
/// Mantissa of 1.
pub const ONE: i128 = 100_000_000;
/// Longest text that is read.
const TEXT_LENGTH_MAX: usize = 40;

/// A decimal number: a mantissa of 10^-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub i128);

impl Amount {
    /// So many of a unit, whose mantissa is given.
    pub fn of(count: i128, unit_e8: i64) -> Self {
        Self(count.saturating_mul(i128::from(unit_e8)))
    }

    /// How many of a unit it is; `None`: it is no multiple of it, or too many.
    pub fn in_units(self, unit_e8: i64) -> Option<i64> {
        let unit = i128::from(unit_e8);
        if unit <= 0 || self.0 % unit != 0 {
            return None;
        }
        i64::try_from(self.0 / unit).ok()
    }

    /// [`Amount::in_units`] of what cannot be negative.
    pub fn in_lots(self, lot_e8: i64) -> Option<u64> {
        u64::try_from(self.in_units(lot_e8)?).ok()
    }

    /// Its mantissa, if it fits.
    pub fn e8(self) -> Option<i64> {
        i64::try_from(self.0).ok()
    }

    /// From text like `-12.5`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if text.len() > TEXT_LENGTH_MAX
            || !is_digits(whole)
            || !is_digits(part)
            || part.len() > DECIMALS
        {
            return None;
        }
        let whole: i128 = whole.parse().ok()?;
        let scale = 10i128.checked_pow(u32::try_from(DECIMALS - part.len()).ok()?)?;
        let part: i128 = part.parse().ok()?;
        let mantissa = whole.checked_mul(ONE)?.checked_add(part * scale)?;
        Some(Self(if negative { -mantissa } else { mantissa }))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let one = ONE.unsigned_abs();
        let (whole, part) = (magnitude / one, magnitude % one);
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let part = format!("{part:08}");
        write!(f, "{sign}{whole}.{}", part.trim_end_matches('0'))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(
                "a decimal number in a string, at most 8 decimals, is expected",
            )
        })
    }
}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::Custom("decimal".into())))
            .pattern(Some(r"^-?[0-9]{1,18}(\.[0-9]{1,8})?$"))
            .description(Some("An exact decimal number, at most eight decimals."))
            .examples(["100.25"])
            .build()
            .into()
    }
}

impl ToSchema for Amount {
    fn name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }
}

/// A point in time as text, ISO 8601 with nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub trading_engine_protocol::types::UtcNanos);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.0;
        let (seconds, part) = (ns / 1_000_000_000, ns % 1_000_000_000);
        let of_day = seconds % 86_400;
        let (year, month, day) = self.0.date();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{part:09}Z",
            of_day / 3_600,
            of_day / 60 % 60,
            of_day % 60
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("UTC, nanoseconds."))
            .build()
            .into()
    }
}

impl ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;
    use trading_engine_protocol::types::UtcNanos;

    #[test]
    fn amounts_are_exact_and_say_the_shortest_text() {
        for (text, mantissa) in [
            ("0", 0),
            ("100.25", 10_025_000_000),
            ("-0.00000001", -1),
            ("92233720368547758.07", 9_223_372_036_854_775_807_000_000),
        ] {
            let amount = Amount::parse(text).unwrap();
            assert_eq!(amount, Amount(mantissa));
            assert_eq!(amount.to_string(), text);
        }
        for wrong in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e3",
            "+1",
            "0.000000001",
            "1,5",
            " 1",
        ] {
            assert_eq!(Amount::parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            Amount::parse("100.25").unwrap().in_units(1_000_000),
            Some(10_025)
        );
        assert_eq!(Amount::parse("100.255").unwrap().in_units(1_000_000), None);
    }

    #[test]
    fn times_are_of_the_calendar() {
        let text = |ns| Timestamp(UtcNanos(ns)).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            text(951_827_696_000_000_001),
            "2000-02-29T12:34:56.000000001Z"
        );
        assert_eq!(
            text(1_798_761_599_999_999_999),
            "2026-12-31T23:59:59.999999999Z"
        );
    }
}
