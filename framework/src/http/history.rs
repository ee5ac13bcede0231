//! What the last two minutes looked like: rates, and lines for the page. Counters alone tell neither.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::record::{TaskId, TopicName};
use crate::runtime::stats::ThreadSnapshot;
use crate::time::Timestamp;

/// How often it is looked at.
pub(super) const STEP: Duration = Duration::from_secs(1);
/// Looks that are kept: two minutes.
const KEPT: usize = 121;
/// Rates are those of this time: shorter, they jump with each publication; longer, they tell of the past.
const WINDOW: Duration = Duration::from_secs(10);
/// A point of a line is the rate of this time.
const POINT: usize = 4;

/// Counters as they were at some moments, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    looks: VecDeque<Look>,
}

#[derive(Debug, Default)]
struct Look {
    at: Timestamp,
    read: BTreeMap<TopicName, u64>,
    written: BTreeMap<TopicName, u64>,
    commits: u64,
    lag_records: u64,
    lag: Duration,
    restored: BTreeMap<TaskId, u64>,
}

/// How much flows now, in records per second by topic; what an application's [`Story`](super::Story) may lean on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traffic {
    /// Records taken in, by topic.
    pub read: BTreeMap<TopicName, f64>,
    /// Records sent by topic, or rows by table.
    pub written: BTreeMap<TopicName, f64>,
    /// Commits per second.
    pub commits: f64,
}

impl Traffic {
    /// Records taken in per second, from everywhere.
    pub fn read_total(&self) -> f64 {
        total(&self.read)
    }

    /// Records or rows written per second, to everywhere.
    pub fn written_total(&self) -> f64 {
        total(&self.written)
    }
}

/// Lines over the last two minutes, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Lines {
    pub(super) read: Vec<f64>,
    pub(super) written: Vec<f64>,
    pub(super) lag_records: Vec<f64>,
    pub(super) lag_seconds: Vec<f64>,
    pub(super) commits: Vec<f64>,
}

impl History {
    pub(super) fn look(&mut self, threads: &[ThreadSnapshot], now: Timestamp) {
        let mut look = Look { at: now, ..Look::default() };
        for thread in threads {
            add(&mut look.read, &thread.records_in);
            add(&mut look.written, &thread.records_out);
            look.commits += thread.commits.ok;
            for task in &thread.tasks {
                look.restored.extend(task.restore.map(|restore| (task.id, restore.done)));
                for input in &task.inputs {
                    look.lag_records += input.lag_records.unwrap_or_default();
                    look.lag = look.lag.max(input.lag.unwrap_or_default());
                }
            }
        }
        if self.looks.len() == KEPT {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
    }

    /// The rates of the last seconds; zero until there are two looks.
    pub(super) fn traffic(&self) -> Traffic {
        let Some((before, last)) = self.window() else { return Traffic::default() };
        let rates = |now: &BTreeMap<TopicName, u64>, then: &BTreeMap<TopicName, u64>| -> BTreeMap<TopicName, f64> {
            let one = |(topic, count): (&TopicName, &u64)| {
                // A topic that was not there before had nothing.
                let grown = count.saturating_sub(then.get(topic).copied().unwrap_or(0));
                (topic.clone(), per_second(grown, before, last))
            };
            now.iter().map(one).collect()
        };
        Traffic {
            read: rates(&last.read, &before.read),
            written: rates(&last.written, &before.written),
            commits: per_second(last.commits.saturating_sub(before.commits), before, last),
        }
    }

    /// How long a restore with so much to go will take, at the pace of the last seconds.
    pub(super) fn remaining(&self, task: TaskId, to_go: u64) -> Option<Duration> {
        let last = self.looks.back()?;
        let done = *last.restored.get(&task)?;
        // It may have begun within the window: the pace is counted from then.
        let from = last.at.minus(WINDOW);
        let before = self.looks.iter().find(|look| look.at >= from && look.restored.contains_key(&task))?;
        let pace = per_second(done.saturating_sub(*before.restored.get(&task)?), before, last);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = to_go as f64 / pace;
        Duration::try_from_secs_f64(seconds).ok()
    }

    pub(super) fn lines(&self) -> Lines {
        let rate = |count: fn(&Look) -> u64| {
            let pairs = self.looks.iter().zip(self.looks.iter().skip(POINT));
            pairs.map(|(then, now)| per_second(count(now).saturating_sub(count(then)), then, now)).collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "a line of some pixels")]
        let lag_records = self.looks.iter().map(|look| look.lag_records as f64).collect();
        Lines {
            read: rate(|look| look.read.values().sum()),
            written: rate(|look| look.written.values().sum()),
            commits: rate(|look| look.commits),
            lag_records,
            lag_seconds: self.looks.iter().map(|look| look.lag.as_secs_f64()).collect(),
        }
    }

    fn window(&self) -> Option<(&Look, &Look)> {
        let last = self.looks.back()?;
        let from = last.at.minus(WINDOW);
        let before = self.looks.iter().find(|look| look.at >= from)?;
        (before.at < last.at).then_some((before, last))
    }
}

fn add(sums: &mut BTreeMap<TopicName, u64>, counts: &BTreeMap<TopicName, u64>) {
    for (topic, count) in counts {
        *sums.entry(topic.clone()).or_default() += count;
    }
}

fn per_second(count: u64, then: &Look, now: &Look) -> f64 {
    let seconds = now.at.since(then.at).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate of some digits")]
    let count = count as f64;
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// The sum of nothing is a negative zero in Rust, and would be shown so.
fn total(rates: &BTreeMap<TopicName, f64>) -> f64 {
    rates.values().fold(0.0, |sum, rate| sum + rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Partition;
    use crate::runtime::TaskState;
    use crate::runtime::stats::{RestoreSnapshot, TaskSnapshot};

    const TASK: TaskId = TaskId { subtopology: 0, partition: Partition(3) };

    fn thread(read: u64, restored: Option<u64>) -> ThreadSnapshot {
        let restore = restored.map(|done| RestoreSnapshot { done, total: 1_000 });
        let task = TaskSnapshot { state: TaskState::Restoring, restore, ..TaskSnapshot::created(TASK) };
        ThreadSnapshot {
            records_in: BTreeMap::from([("events".into(), read)]),
            tasks: vec![task],
            ..ThreadSnapshot::default()
        }
    }

    fn looks(looks: impl IntoIterator<Item = (u64, Option<u64>)>) -> History {
        let mut history = History::default();
        for ((read, restored), second) in looks.into_iter().zip(1..) {
            history.look(&[thread(read, restored)], Timestamp::from_millis(second * 1_000));
        }
        history
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        assert_eq!(looks([]).traffic(), Traffic::default());
        assert_eq!(looks([(5, None)]).traffic(), Traffic::default());
        // A burst long ago does not count.
        let history =
            looks((0..40).map(|second| (if second < 20 { second * 1_000 } else { 20_000 + second * 7 }, None)));
        assert!((history.traffic().read_total() - 7.0).abs() < 1e-9, "{:?}", history.traffic());
        assert_eq!(history.lines().read.len(), 36);
        assert!(history.looks.len() <= KEPT);
        assert_eq!(looks((0..500).map(|second| (second, None))).looks.len(), KEPT);
    }

    #[test]
    fn a_counter_that_falls_is_no_negative_rate() {
        assert!(looks([(9, None), (4, None)]).traffic().read_total().abs() < 1e-9);
    }

    #[test]
    fn a_restore_tells_how_long_it_will_take_at_its_pace() {
        let history = looks([(0, None), (0, Some(100)), (0, Some(150)), (0, Some(200))]);
        assert_eq!(history.remaining(TASK, 800), Some(Duration::from_secs(16)));
        // Nobody knows when nothing moves, or before the second look.
        assert_eq!(looks([(0, Some(100)), (0, Some(100))]).remaining(TASK, 900), None);
        assert_eq!(looks([(0, None), (0, Some(100))]).remaining(TASK, 900), None);
    }
}
