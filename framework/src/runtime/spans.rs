//! Batches on their way to a tracer: begun when a task processes, over when their transaction has ended or is given up.

use super::Error;
use super::commit::cause;
use super::thread::StreamThread;
use crate::broker::Broker;
use crate::error::Recovery;
use crate::record::TaskId;
use crate::trace::{Outcome, Tracer};

impl<B: Broker> StreamThread<B> {
    /// Tells `tracer` of batches from now on, and writes their contexts into outputs; `None`: nobody.
    pub fn trace(&mut self, tracer: Option<Box<dyn Tracer>>) {
        self.tracer = tracer;
    }

    /// The commit of these tasks has ended well.
    pub(super) fn end_batches(&mut self, tasks: &[TaskId]) {
        let Some(tracer) = &mut self.tracer else { return };
        for task in tasks {
            let batch = self.tasks.get_mut(task).and_then(crate::task::Task::take_committed_batch);
            if let Some(batch) = batch {
                tracer.ended(*batch, Outcome::Committed);
            }
        }
    }

    /// What was processed and is not committed will not be.
    pub(super) fn drop_batches(&mut self, cause: &'static str) {
        let Some(tracer) = &mut self.tracer else { return };
        for batch in self.tasks.values_mut().flat_map(crate::task::Task::take_dropped_batches) {
            tracer.ended(*batch, Outcome::Dropped(cause));
        }
    }

    /// Why a transaction is given up, in the words of the metric.
    pub(super) fn cause_of(&self, error: &Error) -> &'static str {
        match error {
            _ if error.recovery() == Recovery::RejoinGroup => "rejoin",
            // A failure of something else, while the brokers go on with a commit that nobody will hear of.
            _ if self.commit_in_flight() => "unknown",
            Error::Broker(error) => cause(error.kind),
            _ => "aborted",
        }
    }
}
