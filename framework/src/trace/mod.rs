//! Traces of what became of records: W3C trace context in their headers, and a span for each batch. The core says what
//! belongs to a span; who exports it is an edge, behind [`Tracer`].
//!
//! A **batch** is what one task has processed in one transaction. Its span is the root of a trace of its own, and links to
//! the contexts that its records came with. A record's outputs go on in the record's trace, as children of the batch's span;
//! those of a record without a context, and of punctuators, in the batch's own trace. Changelogs and commit records carry no
//! headers.

mod batch;
mod context;
#[cfg(any(test, feature = "testing"))]
pub mod outside;

use std::fmt;
use std::sync::Arc;

pub use batch::{Batch, LINKS_MAX};
pub use context::{SpanContext, TRACEPARENT, TRACESTATE};

/// How a batch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its transaction is committed: what it did is visible.
    Committed,
    /// What it did is dropped, and its records are read again: the cause in one of a few words.
    Dropped(&'static str),
}

/// Makes spans and takes them when they are over. Called on the thread of the loop: must not block.
pub trait Tracer: fmt::Debug + Send {
    /// The context of a span that may begin: another one each time.
    fn context(&mut self) -> SpanContext;

    /// A batch is over. Those without records and outputs are never told of.
    fn ended(&mut self, batch: Batch, outcome: Outcome);
}

type Make = dyn Fn(&str) -> Box<dyn Tracer> + Send + Sync;

/// Makes a [`Tracer`] for each thread; the default makes none.
#[derive(Clone, Default)]
pub struct Tracing(Option<Arc<Make>>);

impl Tracing {
    /// Tracers by `make`, which is told the thread's `client.id`.
    pub fn new(make: impl Fn(&str) -> Box<dyn Tracer> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(make)))
    }

    /// The tracer of the thread of that `client.id`; `None` when nobody wants spans.
    pub fn tracer(&self, client_id: &str) -> Option<Box<dyn Tracer>> {
        self.0.as_ref().map(|make| make(client_id))
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracing").field(&self.0.is_some()).finish()
    }
}
