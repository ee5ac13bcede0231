//! Spans under test: named by numbers, and kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::trace::{Batch, Outcome, SpanContext, Tracer, Tracing};

/// Every batch that was told of, in order. Contexts are numbered, so that two runs give the same.
///
/// ```
/// use millpond::dsl::{StreamsBuilder, Topic};
/// use millpond::serde::Utf8;
/// use millpond::testing::{RecordedSpans, TopologyTestDriver};
/// use millpond::trace::{Outcome, SpanContext};
///
/// const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);
/// const OUT: Topic<String, String> = Topic::new("out", &Utf8, &Utf8);
///
/// let builder = StreamsBuilder::new();
/// builder.stream(&IN).to(&OUT);
/// let spans = RecordedSpans::default();
/// let mut driver = TopologyTestDriver::builder(builder.build()?).traced(spans.tracing()).build();
/// driver.pipe(&IN, "k".to_owned(), "v".to_owned(), 1_000);
/// driver.commit();
/// let (batch, outcome) = spans.take().remove(0);
/// assert_eq!((batch.records(), outcome), (1, Outcome::Committed));
/// assert_eq!(SpanContext::of(&driver.records("out")[0].headers), Some(batch.context()));
/// # Ok::<(), millpond::topology::TopologyError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct RecordedSpans {
    ended: Arc<Mutex<Vec<(Batch, Outcome)>>>,
    next: Arc<AtomicU64>,
}

impl RecordedSpans {
    /// Tracers that record here.
    pub fn tracing(&self) -> Tracing {
        let this = self.clone();
        Tracing::new(move |_| Box::new(this.clone()))
    }

    /// What was told since the last call.
    pub fn take(&self) -> Vec<(Batch, Outcome)> {
        std::mem::take(&mut self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tracer for RecordedSpans {
    fn context(&mut self) -> SpanContext {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        SpanContext { trace_id: u128::from(number) << 64, span_id: number, flags: 1 }
    }

    fn ended(&mut self, batch: Batch, outcome: Outcome) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push((batch, outcome));
    }
}
