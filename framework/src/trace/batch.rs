//! A batch while it is processed: what its span will say, and the headers of its outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{SpanContext, TRACEPARENT, TRACESTATE, is_tracestate};
use crate::record::{Headers, ProducerRecord, TopicPartition};
use crate::time::Timestamp;

/// So many links has a span at the most; the contexts of further records are counted.
pub const LINKS_MAX: usize = 128;

/// What one task has processed in one transaction, as its span tells it.
#[derive(Debug, Clone)]
pub struct Batch {
    context: SpanContext,
    began: Timestamp,
    links: Vec<SpanContext>,
    links_left_out: u64,
    sources: BTreeMap<TopicPartition, u64>,
    /// An output carries its context: there must be a span.
    named: bool,
    traceparent: Arc<str>,
}

impl Batch {
    /// A batch that has seen nothing, whose span is `context`.
    pub fn new(context: SpanContext) -> Self {
        Self {
            context,
            began: Timestamp::NONE,
            links: Vec::new(),
            links_left_out: 0,
            sources: BTreeMap::new(),
            named: false,
            traceparent: TRACEPARENT.into(),
        }
    }

    /// Notes a record that was processed at `now`, and says what context it came with.
    pub fn see(&mut self, source: &TopicPartition, headers: &Headers, now: Timestamp) -> Option<SpanContext> {
        self.begin(now);
        match self.sources.get_mut(source) {
            Some(records) => *records += 1,
            None => drop(self.sources.insert(source.clone(), 1)),
        }
        let carried = SpanContext::of(headers)?;
        if self.context.is_sampled() && !self.links.contains(&carried) {
            if self.links.len() < LINKS_MAX {
                self.links.push(carried);
            } else {
                self.links_left_out += 1;
            }
        }
        Some(carried)
    }

    /// Writes the context into the headers of what a record has caused; `carried` is what [`see`](Self::see) said of it, and
    /// `None` for a punctuator.
    ///
    /// A context that an application has written itself stays. A `tracestate` stays where it came along and keeps the rules;
    /// it is not put on anew: an application that drops headers, or takes something out of them, has a reason.
    pub fn mark(&mut self, carried: Option<SpanContext>, outputs: &mut [ProducerRecord], now: Timestamp) {
        if outputs.is_empty() {
            return;
        }
        self.begin(now);
        self.named = true;
        let SpanContext { trace_id, flags, .. } = carried.unwrap_or(self.context);
        let value = SpanContext { trace_id, span_id: self.context.span_id, flags }.encode();
        for output in outputs {
            let headers = &mut output.headers;
            let has = SpanContext::of(headers);
            if has.is_some() && has != carried {
                continue;
            }
            headers.set(self.traceparent.clone(), Some(value.clone()));
            // Nor does the state of a trace that does not go on.
            let state = headers.last(TRACESTATE).flatten().filter(|state| is_tracestate(state));
            if carried.is_none() || state.is_none() {
                headers.remove(TRACESTATE);
            }
        }
    }

    fn begin(&mut self, now: Timestamp) {
        if !self.began.is_some() {
            self.began = now;
        }
    }

    /// True when there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && !self.named
    }

    /// Its span.
    pub const fn context(&self) -> SpanContext {
        self.context
    }

    /// When its first record was processed.
    pub const fn began(&self) -> Timestamp {
        self.began
    }

    /// Contexts of its records, each once, in the order of processing; at most [`LINKS_MAX`], and none when the span is not
    /// sampled.
    pub fn links(&self) -> &[SpanContext] {
        &self.links
    }

    /// Records with a context of which there is no link, because there are too many.
    pub const fn links_left_out(&self) -> u64 {
        self.links_left_out
    }

    /// Records by where they were read.
    pub const fn sources(&self) -> &BTreeMap<TopicPartition, u64> {
        &self.sources
    }

    /// How many records it has.
    pub fn records(&self) -> u64 {
        self.sources.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::Partition;

    const OWN: SpanContext = SpanContext { trace_id: 7, span_id: 8, flags: 1 };

    fn source() -> TopicPartition {
        TopicPartition::new("in", Partition(0))
    }

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|&(name, value)| (name, Some(Bytes::copy_from_slice(value.as_bytes())))).collect()
    }

    fn with(context: SpanContext, state: &str) -> Headers {
        let mut headers = headers(&[("a", "1")]);
        headers.push(TRACEPARENT, Some(context.encode()));
        headers.push(TRACESTATE, Some(Bytes::copy_from_slice(state.as_bytes())));
        headers.push("z", None);
        headers
    }

    /// What an output with these headers has when a record with those has caused it.
    fn marked(record: &Headers, output: Headers) -> Headers {
        let mut batch = Batch::new(OWN);
        let carried = batch.see(&source(), record, Timestamp::EPOCH);
        let record_out =
            ProducerRecord { target: source(), timestamp: Timestamp::EPOCH, key: None, value: None, headers: output };
        let mut outputs = [record_out];
        batch.mark(carried, &mut outputs, Timestamp::EPOCH);
        let [output] = outputs;
        output.headers
    }

    #[test]
    fn an_output_goes_on_in_the_trace_of_its_record_below_the_batch() {
        let carried = SpanContext { trace_id: 1, span_id: 2, flags: 0 };
        let child = SpanContext { span_id: 8, ..carried };
        let record = with(carried, "v=1");
        // Headers that came along keep their places.
        assert_eq!(marked(&record, record.clone()), with(child, "v=1"));
        let mut alone = Headers::new();
        alone.push(TRACEPARENT, Some(child.encode()));
        assert_eq!(marked(&record, Headers::new()), alone, "a state that was dropped is not put back");
    }

    #[test]
    fn an_output_of_a_record_without_a_context_is_in_the_trace_of_the_batch() {
        let own = headers(&[(TRACEPARENT, std::str::from_utf8(&OWN.encode()).unwrap())]);
        assert_eq!(marked(&Headers::new(), Headers::new()), own);
        // A state without its trace means nothing.
        let broken = headers(&[(TRACEPARENT, "00-0-0-00"), (TRACESTATE, "v=1")]);
        assert_eq!(marked(&broken, broken.clone()), own);
    }

    #[test]
    fn a_tracestate_that_breaks_the_rules_is_taken_off() {
        let carried = SpanContext { trace_id: 1, span_id: 2, flags: 1 };
        let marked = marked(&with(carried, "V=1"), with(carried, "V=1"));
        assert_eq!(marked.last(TRACESTATE), None);
        assert_eq!(SpanContext::of(&marked), Some(SpanContext { span_id: 8, ..carried }));
    }

    #[test]
    fn what_an_application_has_written_itself_stays() {
        let carried = SpanContext { trace_id: 1, span_id: 2, flags: 1 };
        let theirs = with(SpanContext { trace_id: 5, span_id: 6, flags: 1 }, "v=1");
        assert_eq!(marked(&with(carried, "v=1"), theirs.clone()), theirs);
        assert_eq!(marked(&Headers::new(), theirs.clone()), theirs);
        // It has taken something out of the state, and nothing puts it back.
        let cleaned = marked(&with(carried, "v=joe@example.com"), with(carried, "v=[redacted]"));
        assert_eq!(cleaned.last(TRACESTATE), Some(Some(&"v=[redacted]".into())));
    }

    #[test]
    fn links_are_kept_once_each_and_so_many_only() {
        let mut batch = Batch::new(OWN);
        assert!(batch.is_empty());
        for span_id in (1..=130).chain([1, 130]) {
            let carried = SpanContext { trace_id: 1, span_id, flags: 1 };
            batch.see(&source(), &with(carried, ""), Timestamp::from_millis(5));
        }
        batch.see(&source(), &Headers::new(), Timestamp::from_millis(6));
        assert_eq!((batch.links().len(), batch.links_left_out(), batch.records()), (LINKS_MAX, 3, 133));
        assert_eq!((batch.links()[0].span_id, batch.began()), (1, Timestamp::from_millis(5)));
        let mut quiet = Batch::new(SpanContext { flags: 0, ..OWN });
        quiet.see(&source(), &with(OWN, ""), Timestamp::EPOCH);
        assert!(quiet.links().is_empty() && !quiet.is_empty(), "nobody will see them");
    }
}
