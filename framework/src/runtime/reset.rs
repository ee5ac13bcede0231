//! Resetting an application: what must be done, as a value; and what is left of it, as a check of the end.
//!
//! Kafka Streams' reset tool leaves the state on disk, and output is wrong when somebody forgets it. Here the order makes a
//! reset that was cut short harmless. State goes first, then the group's offsets of internal topics, which Kafka only takes
//! back while the topics are there: so far a start goes on as if nothing had happened, by its changelogs. Then go the internal
//! topics, and last come the offsets of the inputs, with a text that says so: in between the application refuses to start,
//! because offsets and changelogs do not fit. Whoever runs the reset again finishes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::broker::{CommittedOffset, LogRange};
use crate::record::{Offset, TopicName, TopicPartition};
use crate::task::{RESET, is_own};
use crate::topology::commits_topic;

/// Where a reset application begins, in each partition of its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetTo {
    /// The first record that is still there.
    Earliest,
    /// The end.
    Latest,
    /// This offset, or as near as the log has it.
    Offset(Offset),
    /// So many records further, or back, than committed, or as near as the log has it.
    ShiftBy(i64),
    /// What was found for a time; the end where no record is as young.
    Found(BTreeMap<TopicPartition, Option<Offset>>),
    /// An offset for each partition, or as near as its log has it. None may be left out: the state is of all of them.
    Each(BTreeMap<TopicPartition, Offset>),
}

/// What there is before a reset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResetFacts {
    /// The partitions of the inputs, with what their logs hold.
    pub inputs: BTreeMap<TopicPartition, LogRange>,
    /// Everything that the group has committed.
    pub committed: BTreeMap<TopicPartition, CommittedOffset>,
    /// The internal topics that exist.
    pub internal: BTreeSet<TopicName>,
    /// The members of the group.
    pub members: usize,
    /// State on this machine: directories of instances, each with where it goes.
    pub state: BTreeMap<PathBuf, PathBuf>,
}

impl ResetFacts {
    /// True when the group has offsets, and none of them was committed by a topology of this library: it may be that of a sink
    /// that keeps its offsets elsewhere.
    pub fn is_foreign(&self) -> bool {
        !self.committed.is_empty() && !self.committed.values().any(is_own)
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetStep {
    /// Moves state aside.
    SetAside {
        /// A directory of an instance.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
    },
    /// Deletes an internal topic.
    DeleteTopic {
        /// Its name.
        topic: TopicName,
    },
    /// Forgets what the group has committed of an internal topic.
    ForgetOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// Commits where to begin.
    SetOffset {
        /// The partition of an input.
        partition: TopicPartition,
        /// What was committed before.
        from: Option<Offset>,
        /// What was asked for, where the log does not have it.
        asked: Option<Offset>,
        /// Where to begin.
        to: Offset,
    },
}

/// What to do, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResetPlan {
    /// The steps.
    pub steps: Vec<ResetStep>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResetError {
    /// The application runs.
    #[error("the group has members={members}: the application runs, or stopped so recently that its session goes on")]
    Live {
        /// How many.
        members: usize,
    },
    /// Nothing is committed that could be shifted.
    #[error("{partition}: nothing is committed, so there is nothing to shift by")]
    NothingToShift {
        /// The partition.
        partition: TopicPartition,
    },
    /// A partition has no place to begin at.
    #[error("{partition} is not among those that are told where to begin")]
    LeftOut {
        /// The partition.
        partition: TopicPartition,
    },
    /// A place to begin at is of no input.
    #[error("{partition} is told where to begin, and is no partition of an input that is reset")]
    NotAnInput {
        /// The partition.
        partition: TopicPartition,
    },
    /// There is nothing to read.
    #[error("the application has no input: no partition of it was found")]
    NoInput,
}

impl ResetError {
    /// What to do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Live { .. } => {
                "stop every process of it, wait until session.timeout.ms has passed (10 s unless configured), and try again"
            }
            Self::NothingToShift { .. } => "say --to-earliest, --to-latest, --to-offset or a time instead",
            Self::LeftOut { .. } => "add a line for it: all partitions begin anew together",
            Self::NotAnInput { .. } => "leave its line out, or correct the topic and the partition",
            Self::NoInput => "say --input-topics, and create them if they are not there",
        }
    }
}

/// What to do, or why nothing may be done.
///
/// # Errors
/// [`ResetError`]; nothing has happened.
pub fn plan(facts: &ResetFacts, to: &ResetTo) -> Result<ResetPlan, ResetError> {
    if facts.members > 0 {
        return Err(ResetError::Live { members: facts.members });
    }
    if facts.inputs.is_empty() {
        return Err(ResetError::NoInput);
    }
    if let ResetTo::Each(each) = to
        && let Some(partition) = each.keys().find(|partition| !facts.inputs.contains_key(*partition))
    {
        return Err(ResetError::NotAnInput { partition: partition.clone() });
    }
    let set = facts.inputs.iter().map(|(partition, range)| {
        let from = facts.committed.get(partition).map(|committed| committed.next);
        let asked = target(to, partition, *range, from)?;
        // As Kafka's tool does it: partitions are of different lengths, and one offset is asked for all of them.
        let to = asked.clamp(range.start, range.end.max(range.start));
        let asked = Some(asked).filter(|asked| *asked != to);
        Ok(ResetStep::SetOffset { partition: partition.clone(), from, asked, to })
    });
    let set: Vec<ResetStep> = set.collect::<Result<_, _>>()?;
    // State first, offsets last: see the module.
    let aside = facts.state.iter().map(|(from, to)| ResetStep::SetAside { from: from.clone(), to: to.clone() });
    let delete = facts.internal.iter().map(|topic| ResetStep::DeleteTopic { topic: topic.clone() });
    let of_internal = facts.committed.keys().filter(|partition| !facts.inputs.contains_key(*partition));
    let forget = of_internal.map(|partition| ResetStep::ForgetOffset { partition: partition.clone() });
    Ok(ResetPlan { steps: aside.chain(forget).chain(delete).chain(set).collect() })
}

fn target(
    to: &ResetTo,
    partition: &TopicPartition,
    range: LogRange,
    from: Option<Offset>,
) -> Result<Offset, ResetError> {
    Ok(match to {
        ResetTo::Earliest => range.start,
        ResetTo::Latest => range.end,
        ResetTo::Offset(offset) => *offset,
        ResetTo::ShiftBy(by) => {
            let from = from.ok_or_else(|| ResetError::NothingToShift { partition: partition.clone() })?;
            Offset(from.0.saturating_add(*by))
        }
        ResetTo::Found(found) => found.get(partition).copied().flatten().unwrap_or(range.end),
        ResetTo::Each(each) => {
            *each.get(partition).ok_or_else(|| ResetError::LeftOut { partition: partition.clone() })?
        }
    })
}

impl ResetPlan {
    /// The topics to delete.
    pub fn topics(&self) -> Vec<TopicName> {
        let topics = self.steps.iter().filter_map(|step| match step {
            ResetStep::DeleteTopic { topic } => Some(topic.clone()),
            _ => None,
        });
        topics.collect()
    }

    /// The partitions whose offsets are forgotten.
    pub fn forgotten(&self) -> BTreeSet<TopicPartition> {
        let partitions = self.steps.iter().filter_map(|step| match step {
            ResetStep::ForgetOffset { partition } => Some(partition.clone()),
            _ => None,
        });
        partitions.collect()
    }

    /// The offsets to commit, with the text by which the application knows that it was reset.
    pub fn offsets(&self) -> BTreeMap<TopicPartition, CommittedOffset> {
        let offsets = self.steps.iter().filter_map(|step| match step {
            ResetStep::SetOffset { partition, to, .. } => {
                Some((partition.clone(), CommittedOffset { next: *to, metadata: RESET.to_owned() }))
            }
            _ => None,
        });
        offsets.collect()
    }

    /// The steps whose effect is not to be seen in what there is now: none after a reset that is complete.
    pub fn missing(&self, now: &ResetFacts) -> Vec<ResetStep> {
        let offsets = self.offsets();
        let missing = self.steps.iter().filter(|step| match step {
            ResetStep::SetAside { from, .. } => now.state.contains_key(from),
            ResetStep::DeleteTopic { topic } => now.internal.contains(topic),
            ResetStep::ForgetOffset { partition } => now.committed.contains_key(partition),
            ResetStep::SetOffset { partition, .. } => now.committed.get(partition) != offsets.get(partition),
        });
        missing.cloned().collect()
    }
}

impl fmt::Display for ResetStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside { from, to } => write!(f, "move {} to {}", from.display(), to.display()),
            Self::DeleteTopic { topic } => write!(f, "delete topic {topic}"),
            Self::ForgetOffset { partition } => write!(f, "forget the offset of {partition}"),
            Self::SetOffset { partition, from, asked, to } => {
                write!(f, "begin {partition} at {to}")?;
                if let Some(from) = from {
                    write!(f, " instead of {from}")?;
                }
                asked.map_or(Ok(()), |asked| write!(f, " (its log does not have {asked})"))
            }
        }
    }
}

/// Internal topics by their names, for who does not know the topology: those that begin with the application's id, but not
/// with that of another group (`shop-eu` beside `shop`).
pub fn internal_topics_by_name(
    application_id: &str,
    topics: &BTreeSet<TopicName>,
    groups: &BTreeSet<String>,
) -> BTreeSet<TopicName> {
    let own = |topic: &&TopicName| {
        let Some(short) = topic.strip_prefix(application_id).and_then(|rest| rest.strip_prefix('-')) else {
            return false;
        };
        let internal = short.ends_with("-changelog") || short.ends_with("-repartition");
        (internal || **topic == commits_topic(application_id)) && !belongs_to_another(application_id, topic, groups)
    };
    topics.iter().filter(own).cloned().collect()
}

fn belongs_to_another(application_id: &str, topic: &str, groups: &BTreeSet<String>) -> bool {
    let begins = |group: &&String| topic.strip_prefix(group.as_str()).is_some_and(|rest| rest.starts_with('-'));
    groups.iter().filter(begins).any(|group| group.len() > application_id.len())
}

#[cfg(test)]
mod tests;
