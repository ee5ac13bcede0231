//! One run: from the start of a program on a loaded topic until its committed offsets are the end of the input.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millpond_harness::{Client, Group, Launch, Process};
use millpond_support::Stop;

use super::usage::Usage;

const LOOK: Duration = Duration::from_millis(50);
/// No work of the benchmark takes so long.
const LIMIT: Duration = Duration::from_mins(10);

/// What one run has shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Until the first commit: start-up, joining the group.
    pub(crate) first_commit: Duration,
    /// Records a second between the first commit and the last.
    pub(crate) rate: f64,
    pub(crate) usage: Usage,
}

/// What is looked at while a program works.
pub(crate) struct Watch<'a> {
    pub(crate) client: &'a Client,
    pub(crate) application_id: &'a str,
    pub(crate) input: &'a str,
    /// The topic between two halves of a program that re-keys.
    pub(crate) repartition: Option<String>,
    pub(crate) stop: &'a Stop,
}

impl Watch<'_> {
    /// Starts the program and waits until it is through; it runs on.
    pub(crate) fn run(&self, launch: Launch, events: u64) -> anyhow::Result<(Run, Process)> {
        let group = self.client.group(self.application_id)?;
        let began = Instant::now();
        let mut process = launch.start()?;
        let (first, at_first) =
            self.until(&mut process, || Ok(Some(self.committed(&group)?).filter(|sum| *sum > 0)))?;
        self.until(&mut process, || self.is_through(&group))?;
        let usage = Usage::of(process.pid()).context("the program has ended")?;
        let (first_commit, took) = (at_first - began, at_first.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let rate = events.saturating_sub(first) as f64 / took.as_secs_f64();
        Ok((Run { first_commit, rate, usage }, process))
    }

    /// Starts the program and waits until it has committed more than before.
    pub(crate) fn resume(&self, launch: Launch) -> anyhow::Result<(Duration, Process)> {
        let group = self.client.group(self.application_id)?;
        let before = self.committed(&group)?;
        let began = Instant::now();
        let mut process = launch.start()?;
        let ((), at) = self.until(&mut process, || Ok((self.committed(&group)? > before).then_some(())))?;
        Ok((at - began, process))
    }

    fn committed(&self, group: &Group) -> anyhow::Result<u64> {
        let committed = group.lag(&[self.input])?.iter().filter_map(|partition| partition.committed).sum::<i64>();
        Ok(u64::try_from(committed).unwrap_or(0))
    }

    /// Nothing is left to read. Kafka Streams does not always commit behind the last transaction marker.
    fn is_through(&self, group: &Group) -> anyhow::Result<Option<()>> {
        let input = group.lag(&[self.input])?.iter().all(|partition| partition.lag() == 0);
        let between = match self.repartition.as_deref().filter(|_| input) {
            Some(topic) => group.lag(&[topic])?.iter().all(|partition| partition.lag() <= 1),
            None => true,
        };
        Ok((input && between).then_some(()))
    }

    fn until<T>(
        &self,
        process: &mut Process,
        mut fact: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<(T, Instant)> {
        let began = Instant::now();
        loop {
            if let Some(value) = fact()? {
                return Ok((value, Instant::now()));
            }
            if let Some(status) = process.ended()? {
                bail!("{} has ended by itself ({status}):\n{}", process.name(), process.log_tail());
            }
            if began.elapsed() > LIMIT {
                bail!("{} is not through after {} s:\n{}", process.name(), LIMIT.as_secs(), process.log_tail());
            }
            if self.stop.wait(LOOK) {
                bail!("interrupted");
            }
        }
    }
}

/// Waits out what a broker does after the end of a run, so that it is not charged to the next one.
pub(crate) fn settle() {
    thread::park_timeout(Duration::from_secs(1));
}
