//! A segment file: one header page, then records. Made in full before it is used, so that
//! appending changes no file size and syncing it writes no metadata.

use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::JournalError;
use super::disk::{Disk, DiskFile};

pub(super) const HEADER_PAGE: u64 = 4096;
/// The sync mark has a sector of its own: tearing it tears nothing else.
const MARK_OFFSET: u64 = 2048;
const MAGIC: [u8; 8] = *b"TEJRNL\0\x01";

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct SegmentHeader {
    magic: [u8; 8],
    log_id: u64,
    /// File size.
    bytes: u64,
    number: u32,
    crc: u32,
}

impl SegmentHeader {
    fn checksum(&self) -> u32 {
        crc32c::crc32c(&self.as_bytes()[..size_of::<Self>() - 4])
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Mark {
    sequence: u64,
    crc: u32,
    reserved: u32,
}

/// A segment that is there, and not open.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub number: u32,
    pub bytes: u64,
}

impl Found {
    /// Opens it again; it was checked when it was found.
    pub fn open(self, disk: &dyn Disk) -> Result<Segment, JournalError> {
        let name = file_name(self.number);
        let file = disk
            .open(&name)
            .map_err(JournalError::io(format!("opening {name}")))?;
        Ok(Segment {
            number: self.number,
            file,
            bytes: self.bytes,
        })
    }
}

/// An open segment.
#[derive(Clone)]
pub(super) struct Segment {
    pub number: u32,
    pub file: Arc<dyn DiskFile>,
    pub bytes: u64,
}

pub(super) fn file_name(number: u32) -> String {
    format!("journal-{number:08}.log")
}

/// Number in a segment's file name.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("journal-")?.strip_suffix(".log")?;
    (digits.len() == 8).then(|| digits.parse().ok()).flatten()
}

/// Bytes that one step of a [`Maker`] writes and syncs.
const MAKE_BYTES: usize = 1 << 20;

/// A segment being made: all zeros behind its header, under a temporary name until the whole of
/// it is durable. It is made in steps, so that the thread that makes it can sync in between.
pub(super) struct Maker {
    pub number: u32,
    file: Arc<dyn DiskFile>,
    bytes: u64,
    offset: u64,
    block: Vec<u8>,
}

impl Maker {
    pub fn new(
        disk: &dyn Disk,
        log_id: u64,
        number: u32,
        bytes: u64,
    ) -> Result<Self, JournalError> {
        let name = file_name(number);
        let file = disk
            .create(&temporary(&name))
            .map_err(JournalError::io(format!("making {name}")))?;
        let mut header = SegmentHeader {
            magic: MAGIC,
            log_id,
            bytes,
            number,
            crc: 0,
        };
        header.crc = header.checksum();
        let mut block = vec![0u8; MAKE_BYTES];
        block[..size_of::<SegmentHeader>()].copy_from_slice(header.as_bytes());
        Ok(Self {
            number,
            file,
            bytes,
            offset: 0,
            block,
        })
    }

    /// One step; the segment once it is durable under its final name. After an error the maker
    /// is of no more use, and its file is gone, so that it takes no room on a full disk.
    pub fn step(&mut self, disk: &dyn Disk) -> Result<Option<Segment>, JournalError> {
        let name = file_name(self.number);
        self.advance(disk, &name).map_err(|error| {
            let _ = disk.remove(&temporary(&name));
            JournalError::io(format!("making {name}"))(error)
        })
    }

    fn advance(&mut self, disk: &dyn Disk, name: &str) -> std::io::Result<Option<Segment>> {
        let count = (self.bytes - self.offset).min(MAKE_BYTES as u64);
        let slice = &mut self.block[..usize::try_from(count).unwrap_or(MAKE_BYTES)];
        self.file.write_at(self.offset, slice)?;
        self.file.sync()?;
        slice[..size_of::<SegmentHeader>()].fill(0);
        self.offset += count;
        if self.offset < self.bytes {
            return Ok(None);
        }
        disk.rename(&temporary(name), name)?;
        disk.sync_folder()?;
        Ok(Some(Segment {
            number: self.number,
            file: Arc::clone(&self.file),
            bytes: self.bytes,
        }))
    }

    /// All steps that are left.
    pub fn finish(mut self, disk: &dyn Disk) -> Result<Segment, JournalError> {
        loop {
            if let Some(segment) = self.step(disk)? {
                return Ok(segment);
            }
        }
    }
}

fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

/// Makes segment `number` at once.
pub(super) fn create(
    disk: &dyn Disk,
    log_id: u64,
    number: u32,
    bytes: u64,
) -> Result<Segment, JournalError> {
    Maker::new(disk, log_id, number, bytes)?.finish(disk)
}

/// Looks at a segment and checks that it is what its name says. Returns it and its log id.
pub(super) fn find(disk: &dyn Disk, number: u32) -> Result<(Found, u64), JournalError> {
    let name = file_name(number);
    let failed = || JournalError::io(format!("opening {name}"));
    let file = disk.open(&name).map_err(failed())?;
    let mut bytes = [0u8; size_of::<SegmentHeader>()];
    let count = file.read_at(0, &mut bytes).map_err(failed())?;
    let damaged = |why: &str| Err(JournalError::damaged(&name, 0, why));
    let Ok(header) = SegmentHeader::read_from_bytes(&bytes) else {
        return damaged("no segment header");
    };
    if count < bytes.len() || header.crc != header.checksum() {
        return damaged("segment header checksum is wrong");
    }
    if header.magic != MAGIC {
        return damaged("not a journal segment of this version");
    }
    if header.number != number {
        return damaged("segment number is not the one in the file name");
    }
    let size = file.size().map_err(failed())?;
    if size != header.bytes || size < HEADER_PAGE {
        return Err(JournalError::damaged(
            &name,
            size,
            format!("file has {size} bytes, its header says {}", header.bytes),
        ));
    }
    let found = Found {
        number,
        bytes: size,
    };
    Ok((found, header.log_id))
}

impl Segment {
    /// Notes what was just synced. Not synced itself: it tells a restart after a crash of the
    /// process, and after a power loss is either there or older, never ahead of the truth.
    pub fn write_mark(&self, seed: u32, sequence: u64) -> std::io::Result<()> {
        let crc = crc32c::crc32c_append(seed, &sequence.to_le_bytes());
        let mark = Mark {
            sequence,
            crc,
            reserved: 0,
        };
        self.file.write_at(MARK_OFFSET, mark.as_bytes())
    }

    /// The mark, if it is whole.
    pub fn read_mark(&self, seed: u32) -> std::io::Result<Option<u64>> {
        let mut bytes = [0u8; size_of::<Mark>()];
        self.file.read_at(MARK_OFFSET, &mut bytes)?;
        let mark = Mark::read_from_bytes(&bytes).ok();
        Ok(mark
            .filter(|mark| {
                mark.sequence != 0
                    && mark.crc == crc32c::crc32c_append(seed, &mark.sequence.to_le_bytes())
            })
            .map(|mark| mark.sequence))
    }

    /// The whole file, 8-aligned.
    pub fn read_all(&self) -> Result<Vec<u64>, JournalError> {
        let mut words = vec![0u64; usize::try_from(self.bytes / 8).unwrap_or(0)];
        let name = file_name(self.number);
        self.file
            .read_at(0, words.as_mut_bytes())
            .map_err(JournalError::io(format!("reading {name}")))?;
        Ok(words)
    }
}
