//! What threads say to each other: a byte ring with one writer and several readers, published
//! counters, doorbells for parked threads, and pinning. The only folder with `unsafe` code.
//!
//! Why an own ring: a command is 100 bytes or, as a mass quote, four thousand; several readers
//! must hold the writer back (journal and engine read one log); reader and writer may be on one
//! thread (`compact`), and a batch must become visible at once. `rtrb` (SPSC, fixed elements or
//! split byte chunks) and `disruptor` (fixed slots, consumers on threads it manages) each lack
//! two of these. The whole protocol is two kinds of cursor; `tests/ring_loom.rs` explores it,
//! `tests/ring_stream.rs` runs it (also under Miri), `benches/ring.rs` compares it with `rtrb`.

#![allow(unsafe_code)]

mod affinity;
mod bytes;
mod cursor;
mod doorbell;
mod memory;
mod prefetch;
mod sync;

pub use affinity::{PinError, allowed_cores, leave_cores, pin_to_core};
pub use bytes::{Full, Gauge, Reader, Writer, channel};
pub use cursor::Cursor;
pub use doorbell::Doorbell;
pub use memory::{MemoryLockError, lock_memory, prefer_large_pages};
pub use prefetch::prefetch;
