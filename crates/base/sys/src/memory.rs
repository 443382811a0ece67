//! The memory of this process (`madvise(2)`, `proc(5)`).

use std::fs;

/// A mapping as `/proc/self/smaps` shows it.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    start: usize,
    end: usize,
}

/// Gives back the pages of program files that the start needed and the loop does not; returns the bytes of the mappings that
/// were let go, 0 where /proc is not there. What is needed again comes back from the page cache by a minor fault.
///
/// For: the last line before a daemon's loop. Reading a configuration touches most of an executable, and the kernel maps up to a
/// whole folio around each touch: half of a small daemon's resident set was such pages.
///
/// Only private mappings of files that cannot be written to and of which this process has no page of its own (so not the
/// relocated ones): their pages are equal to the file's.
pub fn drop_start_pages() -> usize {
    let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut bytes = 0;
    for Mapping { start, end } in unchanged_files(&text) {
        // SAFETY: the mapping is a private one of a file, without right to write and without a page of our own, so that the next
        // access to each page reads the same bytes from the file; no reference into it can see a difference.
        let result = unsafe {
            libc::madvise(start as *mut libc::c_void, end.saturating_sub(start), libc::MADV_DONTNEED)
        };
        if result == 0 {
            bytes += end.saturating_sub(start);
        }
    }
    bytes
}

/// The mappings of `smaps` that are equal to their files and stay so.
fn unchanged_files(smaps: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if !first.ends_with(':') {
            // START-END RIGHTS OFFSET DEVICE INODE PATH
            let rights = words.next();
            let inode = words.nth(2);
            current = match (first.split_once('-'), rights, inode) {
                (Some((start, end)), Some("r-xp" | "r--p"), Some(inode)) if inode != "0" => {
                    usize::from_str_radix(start, 16)
                        .and_then(|start| Ok(Mapping { start, end: usize::from_str_radix(end, 16)? }))
                        .ok()
                }
                _ => None,
            };
        } else if first == "Anonymous:"
            && let Some(mapping) = current.take()
            && words.next() == Some("0")
        {
            found.push(mapping);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only what is a file's, private, not writable and not changed by us is let go.
    #[test]
    fn only_unchanged_files_are_let_go() {
        let cases = [
            ("1000-3000 r-xp 00000000 fe:00 77 /bin/x\nRss: 8 kB\nAnonymous:             0 kB\n", true),
            ("1000-3000 r--p 00000000 fe:00 77 /bin/x y\nAnonymous: 0 kB\n", true),
            ("1000-3000 r--p 00002000 fe:00 77 /bin/x\nAnonymous: 4 kB\n", false),
            ("1000-3000 rw-p 00000000 fe:00 77 /bin/x\nAnonymous: 0 kB\n", false),
            ("1000-3000 r--s 00000000 fe:00 77 /bin/x\nAnonymous: 0 kB\n", false),
            ("1000-3000 r-xp 00000000 00:00 0 [vdso]\nAnonymous: 0 kB\n", false),
            ("1000-3000 ---p 00000000 fe:00 77 /bin/x\nAnonymous: 0 kB\n", false),
            ("1000-3000 r-xp 00000000 fe:00 77 /bin/x\n", false),
            ("nonsense\nAnonymous: 0 kB\n", false),
        ];
        for (smaps, expected) in cases {
            let found = unchanged_files(smaps);
            let whole = [Mapping { start: 0x1000, end: 0x3000 }];
            assert_eq!(found, if expected { &whole[..] } else { &[] }, "{smaps}");
        }
    }

    /// Goal: the program goes on as before, with threads at work, and constants are what they were.
    #[test]
    fn the_program_goes_on() {
        let at_work =
            std::thread::spawn(|| (0..2_000_000u64).map(|n| n.rotate_left(7) ^ 5).fold(0, u64::wrapping_add));
        assert!(drop_start_pages() > 0);
        assert_eq!(format!("{:?}", Mapping { start: 1, end: 2 }), "Mapping { start: 1, end: 2 }");
        let expected = (0..2_000_000u64).map(|n| n.rotate_left(7) ^ 5).fold(0, u64::wrapping_add);
        assert_eq!(at_work.join().expect("no panic"), expected);
    }
}
