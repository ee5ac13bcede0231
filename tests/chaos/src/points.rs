//! Which application passes a failpoint, and what makes it do so.

use rand::Rng;

use crate::fault::Fault;
use crate::options::Options;

/// So many tenths of all kills are at failpoints, if those are asked for.
const FAILPOINT_TENTHS: u64 = 7;

pub(crate) const STREAMS: &[&str] = &["redaction", "fraud", "attribution"];
const STATEFUL: &[&str] = &["fraud", "attribution"];
const LOADER: &[&str] = &["loader"];

/// What leads a process to a failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Events.
    Load,
    /// SIGTERM.
    Stop,
    /// Another producer with its name.
    Fence,
    /// Another member that joins or leaves.
    Join,
    /// A start without the state of before.
    LostDisk,
}

/// How a failpoint is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) name: &'static str,
    pub(crate) binaries: &'static [&'static str],
    pub(crate) trigger: Trigger,
    /// The pass at which the process dies is one of so many.
    passes: u64,
}

impl Point {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        millpond::failpoint::NAMES.iter().map(|name| Self::of(name)).collect()
    }

    /// The failpoint of that name.
    pub(crate) fn of(name: &'static str) -> Self {
        let (area, step) = name.split_once('.').unwrap_or((name, ""));
        let (binaries, trigger, passes) = match (area, step) {
            ("loader", "before_close_flush" | "after_close_flush") => (LOADER, Trigger::Stop, 1),
            ("loader", "before_revoke_ack" | "after_revoke_ack") => (LOADER, Trigger::Join, 1),
            ("loader", "before_join" | "before_claim") => (LOADER, Trigger::Load, 1),
            ("loader", "after_claim") => (LOADER, Trigger::Load, 4),
            ("loader", "before_display" | "after_display") => (LOADER, Trigger::Load, 2),
            ("loader", _) => (LOADER, Trigger::Load, 6),
            ("close", "inside_flush") => (STATEFUL, Trigger::Stop, 4),
            ("close", _) => (STREAMS, Trigger::Stop, 1),
            ("recover", _) => (STREAMS, Trigger::Fence, 1),
            ("rebalance", "before_revoke_commit" | "before_revoke_ack" | "after_revoke_ack") => {
                (STREAMS, Trigger::Join, 1)
            }
            ("rebalance" | "producer", _) | ("restore", "before_offsets" | "after_offsets" | "after_ends") => {
                (STREAMS, Trigger::Load, 1)
            }
            ("load", _) | ("restore", "inside_replay" | "before_batch" | "after_batch") => {
                (STATEFUL, Trigger::LostDisk, 2)
            }
            ("restore", _) => (STREAMS, Trigger::Load, 4),
            ("store", _) | ("commit", "inside_changelog") => (STATEFUL, Trigger::Load, 40),
            // A commit is in flight for milliseconds only: few rounds with records fall into it.
            ("process", "ahead") => (STREAMS, Trigger::Load, 5),
            ("round" | "process", _) => (STREAMS, Trigger::Load, 40),
            ("dead_letter", _) => (STREAMS, Trigger::Load, 3),
            _ => (STREAMS, Trigger::Load, 8),
        };
        Self { name, binaries, trigger, passes }
    }

    /// `name:pass[:micros]`: inside a step the process goes on for up to three milliseconds, so that the kill falls
    /// anywhere in it.
    pub(crate) fn armed(&self, rng: &mut impl Rng) -> String {
        let pass = rng.random_range(1..=self.passes);
        if self.name.contains(".inside_") {
            format!("{}:{pass}:{}", self.name, rng.random_range(0..3_000))
        } else {
            format!("{}:{pass}", self.name)
        }
    }
}

/// How often each failpoint must kill: not at all where none is asked for.
pub(crate) fn per_point(options: &Options) -> u64 {
    let points = Point::all().len() as u64;
    if options.has(Fault::Failpoint) { (options.kills * FAILPOINT_TENTHS / 10).div_ceil(points).max(1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failpoint_has_an_application_that_passes_it() {
        let points = Point::all();
        assert!(points.len() > 50);
        assert!(points.iter().all(|point| !point.binaries.is_empty() && point.passes > 0));
        let loader = points.iter().filter(|point| point.binaries == LOADER).count();
        assert!(
            loader > 10 && points.iter().all(|point| point.name.starts_with("loader.") == (point.binaries == LOADER))
        );
    }
}
