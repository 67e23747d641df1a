//! What large tables ask of the system's memory, once, before they are used.

/// Asks for large pages behind `bytes` from `start`: a table that is looked at all over then
/// costs a few page table entries in place of tens of thousands. A wish: where the system does not
/// grant it, everything works the same, slower.
pub fn prefer_large_pages(start: *const u8, bytes: usize) {
    const LARGE: usize = 2 << 20;
    let first = start.addr().next_multiple_of(LARGE);
    let end = (start.addr() + bytes) & !(LARGE - 1);
    #[cfg(target_os = "linux")]
    if first < end {
        let start = start.with_addr(first).cast_mut().cast();
        // SAFETY: this advice changes neither contents nor protection of memory, whoever owns it.
        let asked =
            unsafe { rustix::mm::madvise(start, end - first, rustix::mm::Advice::LinuxHugepage) };
        if let Err(error) = asked {
            tracing::debug!(%error, "no large pages");
        }
    }
}
