//! Failpoints: named places at which a test lets the process die, as `kill -9` would at just that place.
//!
//! [`failpoint!`](crate::failpoint!) is nothing at all unless the feature `failpoints` is on *and* debug assertions are
//! compiled in, which no release build has. With both it looks at some environment variables, once:
//!
//! | Variable | Meaning |
//! |---|---|
//! | `FAILPOINT=name:pass[:micros]` | SIGKILL at that pass of the place, counted from 1; so many microseconds later, while the process goes on |
//! | `FAILPOINT_CLOCK=path` | the wall clock of stream threads is off by the milliseconds in this file |
//! | `FAILPOINT_JOURNAL=path` | a line for the first pass of each place, and one for the kill, each with the wall clock in milliseconds |
//!
//! Without the variables a place costs one load. The journal is what makes counts of injections facts.
#![cfg_attr(
    all(feature = "failpoints", debug_assertions),
    allow(clippy::disallowed_methods, reason = "an edge: it reads its variables and the clock, and kills the process")
)]

/// Every failpoint. `tests/static/failpoints.rs` checks that each is placed in the code once, and no other is.
#[cfg(feature = "failpoints")]
pub const NAMES: &[&str] = &[
    // A round of the stream thread.
    "round.after_poll",
    "process.before_send",
    "process.after_send",
    "process.ahead",
    // The commit, in the order of its steps.
    "commit.before_begin_txn",
    "commit.after_begin_record",
    "commit.before_changelog",
    "commit.inside_changelog",
    "commit.before_send_offsets",
    "commit.inside_end_txn",
    "commit.after_end_txn",
    "store.inside_batch",
    "store.after_batch",
    "commit.between_store_batches",
    "commit.after_store_batches",
    // The producer's start and the one error path.
    "producer.inside_init",
    "producer.after_init",
    "recover.before_revive",
    "recover.after_revive",
    // The restore.
    "restore.before_offsets",
    "restore.after_offsets",
    "restore.after_ends",
    "restore.inside_replay",
    "restore.before_batch",
    "restore.after_batch",
    "load.before_rows",
    "load.before_checkpoint",
    "restore.before_start",
    "restore.after_start",
    // Rebalances.
    "rebalance.before_revoke_commit",
    "rebalance.before_revoke_ack",
    "rebalance.after_revoke_ack",
    "rebalance.before_assign_ack",
    "rebalance.after_assign_ack",
    "rebalance.after_open",
    // The close.
    "close.before_commit",
    "close.after_commit",
    "close.inside_flush",
    "close.after_stores",
    "close.after_leave",
    // Dead letters of stream threads.
    "dead_letter.before_send",
    "dead_letter.after_send",
    // The loader.
    "loader.before_join",
    "loader.before_claim",
    "loader.after_claim",
    "loader.after_advance",
    "loader.after_rows",
    "loader.before_letters",
    "loader.inside_letters",
    "loader.inside_letters_end_txn",
    "loader.after_letters",
    "loader.inside_sql_commit",
    "loader.after_sql_commit",
    "loader.before_display",
    "loader.after_display",
    "loader.before_revoke_ack",
    "loader.after_revoke_ack",
    "loader.before_close_flush",
    "loader.after_close_flush",
];

/// The process may be made to die here; see [`failpoint`](mod@crate::failpoint). With a condition: if it holds.
#[cfg(all(feature = "failpoints", debug_assertions))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::pass($name)
    };
    ($name:literal, if $condition:expr) => {
        if $condition {
            $crate::failpoint::pass($name)
        }
    };
}

/// Nothing: failpoints are not compiled in.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {};
    ($name:literal, if $condition:expr) => {
        let _ = $condition;
    };
}

/// Whether failpoints are compiled in.
pub const COMPILED: bool = cfg!(all(feature = "failpoints", debug_assertions));

#[cfg(all(feature = "failpoints", debug_assertions))]
pub use active::{clock_offset_ms, pass};

/// By how much the wall clock is off: not at all.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub(crate) const fn clock_offset_ms() -> i64 {
    0
}

#[cfg(all(feature = "failpoints", debug_assertions))]
mod active {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    /// What the environment asks for.
    struct Plan {
        armed: Option<Armed>,
        journal: Option<File>,
        passes: Mutex<BTreeMap<&'static str, u64>>,
    }

    struct Armed {
        name: String,
        pass: u64,
        delay: Duration,
    }

    impl Armed {
        fn parse(text: &str) -> Option<Self> {
            let mut parts = text.split(':');
            let (name, pass) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
            let micros = parts.next().map_or(Some(0), |micros| micros.parse().ok())?;
            Some(Self { name, pass, delay: Duration::from_micros(micros) })
        }
    }

    impl Plan {
        fn of_environment() -> Option<Self> {
            let journal = std::env::var_os("FAILPOINT_JOURNAL")?;
            let journal = File::options().create(true).append(true).open(journal).ok();
            let armed = std::env::var("FAILPOINT").ok().and_then(|text| Armed::parse(&text));
            Some(Self { armed, journal, passes: Mutex::default() })
        }

        /// One write: a kill leaves whole lines.
        fn note(&self, deed: &str, name: &str, pass: u64) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            if let Some(mut journal) = self.journal.as_ref() {
                let _ = journal.write_all(format!("{deed} {name} {pass} {now}\n").as_bytes());
            }
        }

        fn die(&self, name: &str, pass: u64) {
            self.note("killed", name, pass);
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }

    /// By how much the wall clock is off, as the file says just now.
    pub fn clock_offset_ms() -> i64 {
        static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let file = FILE.get_or_init(|| std::env::var_os("FAILPOINT_CLOCK").map(PathBuf::from));
        let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Counts a pass and dies at the one that was asked for.
    pub fn pass(name: &'static str) {
        static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
        let Some(plan) = PLAN.get_or_init(Plan::of_environment) else { return };
        let count = {
            let mut passes = plan.passes.lock().unwrap_or_else(PoisonError::into_inner);
            let count = passes.entry(name).or_default();
            *count += 1;
            *count
        };
        if count == 1 {
            plan.note("passed", name, count);
        }
        let Some(armed) = plan.armed.as_ref().filter(|armed| armed.name == name && armed.pass == count) else { return };
        if armed.delay.is_zero() {
            plan.die(name, count);
        } else {
            std::thread::spawn(move || {
                std::thread::sleep(armed.delay);
                plan.die(name, count);
            });
        }
    }
}
