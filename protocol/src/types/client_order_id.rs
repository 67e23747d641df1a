//! ClOrdID(11): the client's name for an order, one type for both protocols.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A client order id: up to 36 printable ASCII characters (FIX; a UUID fits) or a `u64` (binary).
///
/// Layout, 40 bytes: the characters, zero-padded, with byte 39 holding the length 1..=36; a
/// binary id is its little-endian `u64` in bytes 0..8 and 0xFF in byte 39. All zero = none. Equal
/// ids are equal bytes, so comparison and hashing work on the five words.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ClientOrderId {
    words: [u64; 5],
}

/// Why a text is no ClOrdID(11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOrderIdError {
    /// No characters.
    Empty,
    /// More than [`ClientOrderId::TEXT_LENGTH_MAX`] characters.
    TooLong,
    /// A byte outside `0x21..=0x7E`.
    NotPrintable,
}

impl ClientOrderId {
    /// Longest text id, in bytes.
    pub const TEXT_LENGTH_MAX: usize = 36;
    /// No id.
    pub const NONE: Self = Self { words: [0; 5] };
    const NUMERIC: u8 = 0xFF;

    /// An id of a FIX client.
    ///
    /// # Errors
    /// Empty, longer than 36 bytes, or with a byte that is not printable ASCII (space excluded).
    #[inline]
    pub fn from_text(text: &[u8]) -> Result<Self, ClientOrderIdError> {
        if text.is_empty() {
            return Err(ClientOrderIdError::Empty);
        }
        if text.len() > Self::TEXT_LENGTH_MAX {
            return Err(ClientOrderIdError::TooLong);
        }
        if !text.iter().all(u8::is_ascii_graphic) {
            return Err(ClientOrderIdError::NotPrintable);
        }
        let mut id = Self::NONE;
        let bytes = id.words.as_mut_bytes();
        bytes[..text.len()].copy_from_slice(text);
        #[allow(clippy::cast_possible_truncation, reason = "at most 36")]
        {
            bytes[39] = text.len() as u8;
        }
        Ok(id)
    }

    /// An id of a binary client; 0 is `NONE`.
    #[inline]
    pub const fn from_u64(number: u64) -> Self {
        if number == 0 {
            return Self::NONE;
        }
        Self {
            words: [number, 0, 0, 0, (Self::NUMERIC as u64) << 56],
        }
    }

    /// The binary id, if it is one; 0 for `NONE`.
    #[inline]
    pub fn as_u64(&self) -> Option<u64> {
        match self.tag() {
            Self::NUMERIC | 0 => Some(self.words[0]),
            _ => None,
        }
    }

    /// The binary id, if it is one; unlike [`ClientOrderId::as_u64`], `NONE` is none.
    #[inline(always)]
    pub const fn as_number(&self) -> Option<u64> {
        if self.words[4] == (Self::NUMERIC as u64) << 56 {
            Some(self.words[0])
        } else {
            None
        }
    }

    /// The FIX id, if it is one.
    #[inline]
    pub fn as_text(&self) -> Option<&[u8]> {
        let length = usize::from(self.tag());
        if length == 0 || length > Self::TEXT_LENGTH_MAX {
            return None;
        }
        Some(&self.words.as_bytes()[..length])
    }

    /// Whether this is no id.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.words[4] == 0
    }

    /// The five words behind the id, for hashing and comparison.
    #[inline]
    pub const fn words(&self) -> &[u64; 5] {
        &self.words
    }

    /// Whether bytes read from a journal or a ring form an id this type could have built.
    pub fn is_valid(&self) -> bool {
        match self.tag() {
            0 => *self == Self::NONE,
            Self::NUMERIC => self.words[0] != 0 && *self == Self::from_u64(self.words[0]),
            _ => self
                .as_text()
                .is_some_and(|text| Self::from_text(text).as_ref() == Ok(self)),
        }
    }

    #[inline]
    fn tag(&self) -> u8 {
        (self.words[4] >> 56) as u8
    }
}

impl core::fmt::Display for ClientOrderId {
    /// A FIX id as its characters, a binary id in decimal.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.as_text() {
            Some(text) => f.write_str(core::str::from_utf8(text).unwrap_or("?")),
            None => write!(f, "{}", self.words[0]),
        }
    }
}

impl core::fmt::Debug for ClientOrderId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ClientOrderId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_keep_apart_and_survive() {
        let text = ClientOrderId::from_text(b"42").unwrap();
        let number = ClientOrderId::from_u64(42);
        assert_ne!(text, number);
        assert_eq!(text.as_text(), Some(&b"42"[..]));
        assert_eq!(text.as_u64(), None);
        assert_eq!(number.as_u64(), Some(42));
        assert_eq!(number.as_text(), None);
        assert_eq!(text.to_string(), number.to_string());
        assert!(text.is_valid() && number.is_valid() && ClientOrderId::NONE.is_valid());
        let uuid = b"550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(
            ClientOrderId::from_text(uuid).unwrap().as_text(),
            Some(&uuid[..])
        );
        assert_eq!(
            ClientOrderId::from_text(&[b'a'; 37]),
            Err(ClientOrderIdError::TooLong)
        );
        assert_eq!(
            ClientOrderId::from_text(b""),
            Err(ClientOrderIdError::Empty)
        );
        assert_eq!(
            ClientOrderId::from_text(b"a b"),
            Err(ClientOrderIdError::NotPrintable)
        );
    }
}
