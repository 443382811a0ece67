//! Random bytes of the kernel (`getrandom(3)`).

/// Fills `buffer` with unpredictable bytes. Waits only early in boot.
pub fn fill(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: pointer and length describe the live rest of the buffer.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => filled += count,
            // Only EINTR is possible for a valid buffer and no flags.
            Err(_) => continue,
        }
    }
}

/// An unpredictable number.
pub fn u64() -> u64 {
    let mut bytes = [0u8; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
