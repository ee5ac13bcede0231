//! The span of a batch, when spans are wanted: from the first record that is read to the end of its SQL transaction.

use millpond::record::{ConsumedRecord, ProducerRecord};
use millpond::time::Timestamp;
use millpond::trace::{Batch, Outcome, SpanContext, Tracer};

/// Who is told, and the batch so far. Without a tracer a record costs one look at an `Option`.
#[derive(Debug, Default)]
pub(super) struct Traced {
    tracer: Option<Box<dyn Tracer>>,
    batch: Option<Box<Batch>>,
}

impl Traced {
    pub(super) const fn by(tracer: Option<Box<dyn Tracer>>) -> Self {
        Self { tracer, batch: None }
    }

    /// Notes records that were read.
    pub(super) fn see(&mut self, records: &[ConsumedRecord], now: impl FnOnce() -> Timestamp) {
        let Some(tracer) = &mut self.tracer else { return };
        let now = now();
        for record in records {
            let batch = self.batch.get_or_insert_with(|| Box::new(Batch::new(tracer.context())));
            batch.see(&record.source, &record.headers, now);
        }
    }

    /// Writes the context into the letter of a record.
    pub(super) fn mark(&mut self, record: &ConsumedRecord, letter: &mut ProducerRecord) {
        if let Some(batch) = &mut self.batch {
            let now = letter.timestamp;
            batch.mark(SpanContext::of(&record.headers), std::slice::from_mut(letter), now);
        }
    }

    /// The batch is over.
    pub(super) fn end(&mut self, outcome: Outcome) {
        if let (Some(tracer), Some(batch)) = (&mut self.tracer, self.batch.take()) {
            tracer.ended(*batch, outcome);
        }
    }
}
