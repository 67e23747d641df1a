//! Frames: a 16-byte header (length, SBE ids, number) and one message block.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::message::{GroupHeader, Grouped, Message};
use super::{FRAME_LENGTH_MAX, SCHEMA_ID, VERSION};

/// First 16 bytes of a frame, little-endian.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FrameHeader {
    /// Bytes of the whole frame.
    pub length: u16,
    /// SBE block length.
    pub block_length: u16,
    /// SBE template id.
    pub template_id: u16,
    /// SBE schema id.
    pub schema_id: u8,
    /// Version the sender encodes.
    pub version: u8,
    /// Server: position in the session's stream, 0 = unnumbered. Client: its own number, strictly
    /// increasing, 0 on session messages.
    pub seq: u64,
}

/// Bytes of a [`FrameHeader`].
pub const HEADER: usize = size_of::<FrameHeader>();
const _: () = assert!(HEADER == 16);

/// What the front of a byte stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// More bytes are needed: this many in all.
    Incomplete(usize),
    /// A whole frame.
    Complete {
        /// Its header.
        header: FrameHeader,
        /// What follows the header, `header.length - 16` bytes.
        body: &'a [u8],
    },
}

/// The stream cannot be a stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// `length` below 16 or above the limit.
    Length(u16),
    /// Another schema.
    Schema(u8),
    /// `blockLength` is more than the frame holds.
    BlockLength(u16),
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(length) => {
                write!(
                    f,
                    "frame length {length} is not within 16..={FRAME_LENGTH_MAX}"
                )
            }
            Self::Schema(id) => write!(f, "schema id {id} is not {SCHEMA_ID}"),
            Self::BlockLength(length) => write!(f, "block length {length} exceeds its frame"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Reads the front of `input`.
///
/// # Errors
/// As soon as the bytes at hand rule a frame out.
#[inline]
pub fn decode_frame(input: &[u8]) -> Result<Frame<'_>, FrameError> {
    let Ok((header, rest)) = FrameHeader::read_from_prefix(input) else {
        // Two bytes are enough to see that this is, say, FIX text.
        if let [low, high, ..] = *input {
            check_length(u16::from_le_bytes([low, high]))?;
        }
        return Ok(Frame::Incomplete(HEADER));
    };
    check_length(header.length)?;
    if header.schema_id != SCHEMA_ID {
        return Err(FrameError::Schema(header.schema_id));
    }
    let body_length = header.length as usize - HEADER;
    if header.block_length as usize > body_length {
        return Err(FrameError::BlockLength(header.block_length));
    }
    match rest.get(..body_length) {
        Some(body) => Ok(Frame::Complete { header, body }),
        None => Ok(Frame::Incomplete(header.length as usize)),
    }
}

#[inline]
fn check_length(length: u16) -> Result<(), FrameError> {
    if (length as usize) < HEADER || length as usize > FRAME_LENGTH_MAX {
        return Err(FrameError::Length(length));
    }
    Ok(())
}

/// The block of a flat message: fields a newer sender appended are ignored. `None`: shorter than
/// the first version of it, or with bytes behind the block.
#[inline]
pub fn block<M: Message>(header: &FrameHeader, body: &[u8]) -> Option<M> {
    if header.block_length as usize != body.len() {
        return None;
    }
    match M::read_from_prefix(body) {
        Ok((message, _)) => Some(message),
        Err(_) => older_block(body),
    }
}

/// A block of a client that does not know the newest fields.
#[cold]
fn older_block<M: Message>(body: &[u8]) -> Option<M> {
    if body.len() < M::LENGTH_FIRST {
        return None;
    }
    let mut message = M::new_zeroed();
    message.as_mut_bytes()[..body.len()].copy_from_slice(body);
    Some(message)
}

/// Appends a frame.
#[inline]
pub fn write_message<M: Message>(out: &mut Vec<u8>, message: &M, seq: u64) {
    #[allow(clippy::cast_possible_truncation, reason = "blocks are under 4 KiB")]
    let header = FrameHeader {
        length: (HEADER + size_of::<M>()) as u16,
        block_length: size_of::<M>() as u16,
        template_id: M::TEMPLATE,
        schema_id: SCHEMA_ID,
        version: VERSION,
        seq,
    };
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(message.as_bytes());
}

/// Where the entries of a group are in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries {
    /// Position of the first one, from the beginning of the block.
    at: usize,
    /// Bytes of each.
    length: usize,
    /// How many.
    count: usize,
}

impl Entries {
    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entries of a frame.
    #[inline]
    pub fn read<M: Grouped>(self, frame: &[u8]) -> impl Iterator<Item = M::Entry> + '_ {
        let bytes = frame.get(HEADER..).unwrap_or_default();
        self.read_body::<M>(bytes)
    }

    /// [`Entries::read`] from the frame without its header.
    #[inline]
    pub fn read_body<M: Grouped>(self, body: &[u8]) -> impl Iterator<Item = M::Entry> + '_ {
        let bytes = body.get(self.at..).unwrap_or_default();
        bytes
            .chunks_exact(self.length)
            .take(self.count)
            .filter_map(|entry| Some(M::Entry::read_from_prefix(entry).ok()?.0))
    }
}

/// The block and the group of a message; what a newer sender appended to either is skipped. `None`:
/// shorter than the first version of it, or the group does not end where the frame does.
pub fn block_and_group<M: Grouped>(header: &FrameHeader, body: &[u8]) -> Option<(M, Entries)> {
    let length = header.block_length as usize;
    let (first, rest) = body.split_at_checked(length)?;
    let message = block(header, first)?;
    let (group, rest) = GroupHeader::read_from_prefix(rest).ok()?;
    let entries = Entries {
        at: length + size_of::<GroupHeader>(),
        length: group.block_length as usize,
        count: group.num_in_group as usize,
    };
    let flat = group.num_groups == 0 && group.num_var_data_fields == 0;
    let whole = entries.length >= size_of::<M::Entry>()
        && entries.length.checked_mul(entries.count) == Some(rest.len());
    (flat && whole).then_some((message, entries))
}

/// Appends a frame with a group; entries beyond the most a message has are left out.
#[inline]
pub fn write_group_message<M: Grouped>(
    out: &mut Vec<u8>,
    message: &M,
    entries: impl Iterator<Item = M::Entry>,
    seq: u64,
) {
    let start = out.len();
    write_message(out, message, seq);
    let group = out.len();
    out.extend_from_slice(GroupHeader::default().as_bytes());
    let mut count = 0;
    for entry in entries.take(M::ENTRIES_MAX) {
        out.extend_from_slice(entry.as_bytes());
        count += 1;
    }
    #[allow(clippy::cast_possible_truncation, reason = "frames are under 4 KiB")]
    let dimension = GroupHeader {
        block_length: size_of::<M::Entry>() as u16,
        num_in_group: count,
        ..GroupHeader::default()
    };
    out[group..group + size_of::<GroupHeader>()].copy_from_slice(dimension.as_bytes());
    #[allow(clippy::cast_possible_truncation, reason = "frames are under 4 KiB")]
    let length = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&length.to_le_bytes());
}
