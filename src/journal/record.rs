//! One command in a segment: a 32-byte header and the command's bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::limits::COMMAND_LENGTH_MAX;

/// Header of a record. `crc` covers the log id, the segment number, the rest of the header and
/// the body, so a record proves by itself where it belongs; `previous_crc` chains it to the one
/// before.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct RecordHeader {
    pub crc: u32,
    /// Bytes of the body, a multiple of 8; 0 = the segment ends here, on purpose.
    pub length: u32,
    pub previous_crc: u32,
    /// [`COMMAND`] or [`SEGMENT_END`].
    pub kind: u32,
    /// Of the command; for a segment end, of the last command.
    pub sequence: u64,
    /// What was durable, in the sense of the policy, when this was written, and so may have been
    /// acted upon. Recovery cuts a tail only if nothing after it knew that tail to be there.
    pub durable_through: u64,
}

pub(super) const HEADER: usize = size_of::<RecordHeader>();
pub(super) const COMMAND: u32 = 0x444E_4D43;
pub(super) const SEGMENT_END: u32 = 0x2E44_4E45;

const _: () = assert!(HEADER == 32);

impl RecordHeader {
    /// The checksum this header and body should have.
    pub(super) fn checksum(&self, seed: u32, body: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(seed, &self.as_bytes()[4..]), body)
    }
}

/// Start value of a segment's checksums.
pub(super) fn seed(log_id: u64, segment: u32) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&log_id.to_le_bytes()),
        &segment.to_le_bytes(),
    )
}

/// A valid record at the start of `bytes`, if there is one.
pub(super) fn read(seed: u32, bytes: &[u8]) -> Option<(RecordHeader, &[u8])> {
    let (header, rest) = RecordHeader::read_from_prefix(bytes).ok()?;
    let length = header.length as usize;
    let plausible = match header.kind {
        COMMAND => length > 0 && length <= COMMAND_LENGTH_MAX && length.is_multiple_of(8),
        SEGMENT_END => length == 0,
        _ => false,
    };
    if !plausible || length > rest.len() {
        return None;
    }
    let body = &rest[..length];
    (header.crc == header.checksum(seed, body)).then_some((header, body))
}
