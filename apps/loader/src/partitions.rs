//! The partitions that the group has assigned to this loader.

use std::collections::BTreeMap;
use std::time::Instant;

use millpond::record::{Offset, TopicPartition};

use crate::postgres::{Advance, Claim};
use crate::status::{PartitionState, PartitionStatus};

/// ```text
/// Unclaimed ─claim─▶ Running ─anything failed─▶ Renewing ─renew─▶ Running
///                       └─── claim lost ───▶ Fenced ◀── claim lost ──┘
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Newly assigned: to be claimed from whoever had it.
    Unclaimed,
    /// Claimed by this run, but the connection was lost since: how far we are is only known to the database.
    Renewing(Option<UnknownCommit>),
    /// Being read and loaded.
    Running(Running),
    /// Another loader has claimed it since. Stands still until the group decides.
    Fenced(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) claim: Claim,
    /// All bad records before this offset have their letters.
    pub(crate) letters_before: Offset,
    /// The next offset as the group has it.
    pub(crate) displayed: Option<Offset>,
}

/// A COMMIT without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownCommit {
    pub(crate) old: Offset,
    pub(crate) new: Offset,
}

impl UnknownCommit {
    /// Whether it took place, by the offset that is in the database now. `None`: the offset is neither, which cannot
    /// be while the claim is ours.
    pub(crate) fn committed(self, now: Offset) -> Option<bool> {
        if now == self.new { Some(true) } else { (now == self.old).then_some(false) }
    }
}

/// All assigned partitions; none while the group is being balanced.
#[derive(Debug, Default)]
pub(crate) struct Partitions(BTreeMap<TopicPartition, State>);

impl Partitions {
    pub(crate) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        self.0 = partitions.into_iter().map(|partition| (partition, State::Unclaimed)).collect();
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn set(&mut self, partition: TopicPartition, state: State) {
        self.0.insert(partition, state);
    }

    /// Those that need a claim.
    pub(crate) fn waiting(&self) -> Vec<(TopicPartition, State)> {
        let waits = |state: &State| matches!(state, State::Unclaimed | State::Renewing(_));
        self.0.iter().filter(|(_, state)| waits(state)).map(|(at, state)| (at.clone(), state.clone())).collect()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (&TopicPartition, &Running)> {
        self.0.iter().filter_map(|(partition, state)| match state {
            State::Running(running) => Some((partition, running)),
            _ => None,
        })
    }

    pub(crate) fn running_mut(&mut self, partition: &TopicPartition) -> Option<&mut Running> {
        match self.0.get_mut(partition) {
            Some(State::Running(running)) => Some(running),
            _ => None,
        }
    }

    /// Nothing is known for sure any more: all that run must be renewed. `commit`: the steps of a COMMIT without an
    /// answer. Returns them, to be paused.
    pub(crate) fn doubt(&mut self, commit: &[Advance]) -> Vec<TopicPartition> {
        let mut doubted = Vec::new();
        for (partition, state) in &mut self.0 {
            if let State::Running(running) = state {
                let step = commit.iter().find(|step| step.partition == *partition);
                *state = State::Renewing(step.map(|step| UnknownCommit { old: running.claim.next, new: step.next }));
                doubted.push(partition.clone());
            }
        }
        doubted
    }

    /// The partition that has been fenced longest.
    pub(crate) fn fenced(&self) -> Option<(&TopicPartition, Instant)> {
        let fenced = self.0.iter().filter_map(|(partition, state)| match state {
            State::Fenced(since) => Some((partition, *since)),
            _ => None,
        });
        fenced.min_by_key(|(_, since)| *since)
    }

    pub(crate) fn status(&self) -> BTreeMap<TopicPartition, PartitionStatus> {
        let without_claim = |state| PartitionStatus { state, epoch: 0, next: None, displayed: None };
        let status = |state: &State| match state {
            State::Unclaimed | State::Renewing(_) => without_claim(PartitionState::Claiming),
            State::Running(Running { claim, displayed, .. }) => PartitionStatus {
                state: PartitionState::Running,
                epoch: claim.epoch,
                next: Some(claim.next),
                displayed: *displayed,
            },
            State::Fenced(_) => without_claim(PartitionState::Fenced),
        };
        self.0.iter().map(|(partition, state)| (partition.clone(), status(state))).collect()
    }
}

#[cfg(test)]
mod tests {
    use millpond::record::{Offset, Partition, TopicPartition};

    use super::{Partitions, Running, State, UnknownCommit};
    use crate::postgres::{Advance, Claim};

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", Partition(number))
    }

    fn running(next: i64) -> Running {
        Running { claim: Claim { epoch: 1, next: Offset(next) }, letters_before: Offset(0), displayed: None }
    }

    #[test]
    fn an_unknown_commit_is_resolved_by_the_stored_offset() {
        let unknown = UnknownCommit { old: Offset(10), new: Offset(20) };
        assert_eq!(unknown.committed(Offset(20)), Some(true));
        assert_eq!(unknown.committed(Offset(10)), Some(false));
        assert_eq!(unknown.committed(Offset(15)), None);
    }

    #[test]
    fn doubt_reaches_all_that_run_and_remembers_the_steps_of_the_commit() {
        let mut partitions = Partitions::default();
        partitions.assign(vec![partition(0), partition(1), partition(2)]);
        partitions.set(partition(0), State::Running(running(10)));
        partitions.set(partition(1), State::Running(running(5)));
        let step = Advance { partition: partition(0), claim: running(10).claim, next: Offset(20) };
        assert_eq!(partitions.doubt(&[step]), [partition(0), partition(1)]);
        let unknown = UnknownCommit { old: Offset(10), new: Offset(20) };
        let expected = [
            (partition(0), State::Renewing(Some(unknown))),
            (partition(1), State::Renewing(None)),
            (partition(2), State::Unclaimed),
        ];
        assert_eq!(partitions.waiting(), expected);
        assert_eq!(partitions.running().count(), 0);
    }
}
