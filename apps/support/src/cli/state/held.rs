//! Whether a process holds a lock file, found out without taking the lock: a start at the same moment must not fail for
//! our looking.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// `None` when the system does not tell (it does on Linux), `Some(false)` also when there is no such file.
pub(super) fn is_held(lock: &Path) -> Option<bool> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let Ok(metadata) = std::fs::metadata(lock) else { return Some(false) };
    Some(holds(&locks, metadata.ino()))
}

/// Lines read like `1: FLOCK  ADVISORY  WRITE 708 08:01:2359475 0 EOF`. The device is not compared: some file systems show
/// another one here than in the file's own description.
fn holds(locks: &str, inode: u64) -> bool {
    let inode = inode.to_string();
    locks.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word == "FLOCK")
            && words.any(|word| word.rsplit(':').next() == Some(&inode) && word.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_shows_while_it_is_held_and_looking_takes_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0_0.lock");
        assert_ne!(is_held(&path), Some(true));
        let file = std::fs::File::create(&path).unwrap();
        file.lock().unwrap();
        assert_ne!(is_held(&path), Some(false));
        drop(file);
        assert_ne!(is_held(&path), Some(true));
    }

    #[test]
    fn only_locks_of_the_file_count() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 08:01:7 0 EOF\n2: FLOCK  ADVISORY  WRITE 708 08:01:2359475 0 EOF\n";
        assert!(holds(locks, 2_359_475));
        assert!(!holds(locks, 7), "of another kind");
        assert!(!holds(locks, 708), "a process id");
        assert!(!holds("", 1));
    }
}
