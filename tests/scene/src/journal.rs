//! What a process with failpoints has written down of itself.

use std::collections::BTreeMap;
use std::path::Path;

/// A kill by a failpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// The place.
    pub name: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// The journal of one process, as far as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// When each failpoint was passed first, in milliseconds since 1970.
    pub passed: BTreeMap<String, u64>,
    /// How the process died, if a failpoint killed it.
    pub killed: Option<Kill>,
}

impl Journal {
    /// Reads it; empty when there is none.
    pub fn read(path: &Path) -> Self {
        let mut journal = Self::default();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let mut words = line.split(' ');
            let (Some(deed), Some(name), Some(at_ms)) = (words.next(), words.next(), words.nth(1)) else { continue };
            let Ok(at_ms) = at_ms.parse() else { continue };
            if deed == "killed" {
                journal.killed = Some(Kill { name: name.to_owned(), at_ms });
            } else {
                journal.passed.entry(name.to_owned()).or_insert(at_ms);
            }
        }
        journal
    }

    /// When the process made something durable for the first time.
    pub fn first_commit_ms(&self) -> Option<u64> {
        ["commit.after_end_txn", "loader.after_sql_commit"]
            .iter()
            .filter_map(|name| self.passed.get(*name))
            .min()
            .copied()
    }
}
