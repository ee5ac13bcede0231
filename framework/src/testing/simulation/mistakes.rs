//! Mistakes of operators: offsets moved by hand, topics made again, changelogs cut. Whatever was lost is not made up: a run
//! ends exact, or a process stops and says what is wrong.
//!
//! Left out is what nobody could notice, or what does as it was told: offsets of a task without stores are its owner's to
//! move; input that nobody had read is gone with its topic.

use super::world::{APPLICATION, Note, World};
use crate::broker::CommittedOffset;
use crate::broker::sim::SplitMix64;
use crate::record::{Offset, TopicName, TopicPartition};
use crate::runtime::{Error, Refusal, TaskError};
use crate::topology::TopologyError;

/// A mistake. Numbers are drawn, and choose among what there is when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The group's offset of an input of a task with stores is set, while the application is down.
    OffsetsMoved(u64),
    /// All offsets of the group are deleted, while the application is down.
    OffsetsDeleted,
    /// A changelog, or the topic of commit records, is deleted and made again; the application runs or not.
    ChangelogRemade(u64, bool),
    /// An input that is read to its end is deleted and made again; the application runs or not.
    InputRemade(u64, bool),
    /// The beginning of a changelog's partition is deleted; the application runs or not.
    ChangelogCut(u64, bool),
    /// The end of a changelog's partition is lost; the application runs or not.
    ChangelogTruncated(u64, bool),
}

impl Mistake {
    pub(super) fn draw(rng: &mut SplitMix64) -> Self {
        let (pick, running) = (rng.next_u64(), rng.one_in(2));
        match rng.below(6) {
            0 => Self::OffsetsMoved(pick),
            1 => Self::OffsetsDeleted,
            2 => Self::ChangelogRemade(pick, running),
            3 => Self::InputRemade(pick, running),
            4 => Self::ChangelogCut(pick, running),
            _ => Self::ChangelogTruncated(pick, running),
        }
    }

    /// Its name in the table of what was hit.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OffsetsMoved(_) => "OffsetsMoved",
            Self::OffsetsDeleted => "OffsetsDeleted",
            Self::ChangelogRemade(..) => "ChangelogRemade",
            Self::InputRemade(..) => "InputRemade",
            Self::ChangelogCut(..) => "ChangelogCut",
            Self::ChangelogTruncated(..) => "ChangelogTruncated",
        }
    }

    const fn while_running(self) -> bool {
        matches!(
            self,
            Self::ChangelogRemade(_, true)
                | Self::InputRemade(_, true)
                | Self::ChangelogCut(_, true)
                | Self::ChangelogTruncated(_, true)
        )
    }
}

/// True when a process that stops with this error has named a mistake.
pub(super) fn is_named(error: &Error) -> bool {
    match error {
        Error::InputGone { .. } => true,
        Error::Task(TaskError::Refused(refusal)) => !matches!(refusal, Refusal::TornTransaction { .. }),
        Error::Topology(error) => matches!(
            error,
            TopologyError::Recreated { .. }
                | TopologyError::MissingTopic { .. }
                | TopologyError::InternalTopicGone { .. }
        ),
        _ => false,
    }
}

fn choose<T: Clone>(from: &[T], pick: u64) -> Option<T> {
    let index = pick.checked_rem(from.len() as u64)?;
    from.get(usize::try_from(index).ok()?).cloned()
}

impl World {
    pub(super) fn mistake(&self, mistake: Mistake) {
        self.note(Note::Mistaken);
        if !mistake.while_running() {
            (0..self.slots.len()).for_each(|thread| self.end_process(thread));
        }
        match mistake {
            Mistake::OffsetsMoved(pick) => self.move_offsets(pick),
            Mistake::OffsetsDeleted => self.broker.delete_group_offsets(APPLICATION),
            Mistake::ChangelogRemade(pick, _) => {
                if let Some(topic) = choose(&self.compacted_topics(), pick) {
                    self.note_cut();
                    self.make_again(&topic);
                }
            }
            Mistake::InputRemade(pick, _) => {
                let lag = self.broker.lag(APPLICATION);
                let is_read = |topic: &TopicName| {
                    let partitions = self.broker.partitions(topic);
                    partitions.iter().all(|at| lag.get(at).is_some_and(|&lag| lag == 0))
                };
                let inputs: Vec<TopicName> = self.topology.external_topics().into_iter().filter(is_read).collect();
                if let Some(topic) = choose(&inputs, pick) {
                    self.make_again(&topic);
                }
            }
            Mistake::ChangelogCut(pick, _) => {
                let Some((at, end)) = self.changelog(pick) else { return };
                self.note_cut();
                let before = 1 + i64::try_from(pick >> 32).unwrap_or(0) % end.0;
                self.broker.delete_records_before(&at, Offset(before));
            }
            Mistake::ChangelogTruncated(pick, _) => {
                let Some((at, end)) = self.changelog(pick) else { return };
                self.note_cut();
                let mut end = i64::try_from(pick >> 32).unwrap_or(0) % end.0;
                self.broker.truncate(&at, Offset(end));
                // A transaction without its marker would be open for ever: then nobody goes on, which is told, and no end.
                while end > 0 && self.broker.last_stable_offset(&at) != self.broker.end_offset(&at) {
                    end -= 1;
                    self.broker.truncate(&at, Offset(end));
                }
            }
        }
    }

    /// Logs have holes now, and rows are on disks only.
    fn note_cut(&self) {
        self.note(Note::Compacted);
        self.note(Note::Cut);
    }

    fn make_again(&self, topic: &TopicName) {
        let partitions = self.broker.partitions(topic).len();
        self.broker.delete_topic(topic);
        self.broker.add_topic(topic, partitions);
    }

    /// A partition of a changelog that is not empty, with its end.
    fn changelog(&self, pick: u64) -> Option<(TopicPartition, Offset)> {
        let topics = self.compacted_topics().into_iter().filter(|topic| topic.ends_with("-changelog"));
        let partitions = topics.flat_map(|topic| self.broker.partitions(&topic));
        let ends = partitions.filter_map(|at| Some((at.clone(), self.broker.end_offset(&at)?)));
        choose(&ends.filter(|(_, end)| end.0 > 0).collect::<Vec<_>>(), pick)
    }

    /// Only of a task with stores: of one without, the offsets are a person's to move.
    fn move_offsets(&self, pick: u64) {
        let stateful = self.topology.subtopologies().iter().filter(|part| !part.stores.is_empty());
        let sources: Vec<String> =
            stateful.flat_map(|part| &part.sources).map(|topic| topic.short_name().to_owned()).collect();
        let offsets = self.broker.committed_offsets(APPLICATION).into_iter();
        let ours = offsets.filter(|(at, _)| sources.iter().any(|source| at.topic.ends_with(source.as_str())));
        if let Some((at, offset)) = choose(&ours.collect::<Vec<_>>(), pick) {
            let end = self.broker.end_offset(&at).unwrap_or_default();
            let next = Offset(i64::try_from(pick >> 32).unwrap_or(0) % (end.0 + 1));
            let by_hand = CommittedOffset { next, metadata: String::new() };
            if next != offset.next {
                self.note(Note::Moved);
                self.broker.set_committed_offset(APPLICATION, &at, by_hand);
            }
        }
    }
}
