//! The batch of a task, when spans are wanted: noted with each record, handed out when its transaction has ended. Without a
//! tracer there is no batch, and a record costs one look at an `Option`.

use super::{Phase, Task};
use crate::record::{ConsumedRecord, ProducerRecord};
use crate::time::Timestamp;
use crate::trace::{Batch, SpanContext};

/// What is processed, and what is in the commit in flight.
#[derive(Debug, Default)]
pub(super) struct Traced {
    current: Option<Box<Batch>>,
    committing: Option<Box<Batch>>,
}

impl Traced {
    /// Writes the batch's own context into what no record has caused.
    pub(super) fn mark(&mut self, outputs: &mut [ProducerRecord], now: Timestamp) {
        if let Some(batch) = &mut self.current {
            batch.mark(None, outputs, now);
        }
    }

    /// The commit begins: what comes now is of the next batch.
    pub(super) fn freeze(&mut self) {
        if self.current.as_ref().is_some_and(|batch| !batch.is_empty()) {
            self.committing = self.current.take();
        }
    }
}

impl Task {
    /// Begins a batch where there is none.
    pub(crate) fn begin_batch(&mut self, context: impl FnOnce() -> SpanContext) {
        if self.traced.current.is_none() && matches!(self.phase, Phase::Running { .. }) {
            self.traced.current = Some(Box::new(Batch::new(context())));
        }
    }

    /// Notes a record, and writes its context into what it has caused: the outputs from `first` on.
    pub(super) fn trace_record(&mut self, record: &ConsumedRecord, first: usize, now: Timestamp) {
        let (Some(batch), Phase::Running { context, .. }) = (&mut self.traced.current, &mut self.phase) else { return };
        let carried = batch.see(&record.source, &record.headers, now);
        let outputs = context.outputs.get_mut(first..).unwrap_or_default();
        batch.mark(carried, outputs, now);
    }

    /// The batch of the commit that has ended well.
    pub(crate) fn take_committed_batch(&mut self) -> Option<Box<Batch>> {
        self.traced.committing.take()
    }

    /// Batches that will not be committed, the older one first.
    pub(crate) fn take_dropped_batches(&mut self) -> impl Iterator<Item = Box<Batch>> + use<> {
        let Traced { current, committing } = std::mem::take(&mut self.traced);
        [committing, current].into_iter().flatten().filter(|batch| !batch.is_empty())
    }
}
