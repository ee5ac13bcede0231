//! From batches to spans, by the semantic conventions of messaging.
#![allow(clippy::disallowed_methods, reason = "an edge: a span has a time at which it ended")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample, SpanData, SpanEvents,
    SpanLinks, SpanProcessor,
};

use super::OtelSettings;
use crate::time::Timestamp;
use crate::trace::{self, Batch, Outcome, Tracer};

/// Trace ids of ours are random: W3C's second flag.
const RANDOM: u8 = 2;

/// The tracer of one thread.
#[derive(Debug)]
pub(super) struct SpanTracer {
    processor: Arc<BatchSpanProcessor>,
    sampler: Sampler,
    scope: InstrumentationScope,
    /// What all its spans have.
    common: [KeyValue; 5],
}

impl SpanTracer {
    pub(super) fn new(processor: Arc<BatchSpanProcessor>, settings: &OtelSettings, client_id: &str) -> Self {
        let scope = InstrumentationScope::builder("millpond").with_version(env!("CARGO_PKG_VERSION")).build();
        let common = [
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.consumer.group.name", settings.application_id.clone()),
            KeyValue::new("messaging.client.id", client_id.to_owned()),
        ];
        let sampler = Sampler::TraceIdRatioBased(f64::from(settings.sampling_percent) / 100.0);
        Self { processor, sampler, scope, common }
    }
}

impl Tracer for SpanTracer {
    fn context(&mut self) -> trace::SpanContext {
        let ids = RandomIdGenerator::default();
        let trace_id = ids.new_trace_id();
        let decided = self.sampler.should_sample(None, trace_id, "process", &SpanKind::Consumer, &[], &[]).decision;
        let sampled = u8::from(decided == SamplingDecision::RecordAndSample);
        trace::SpanContext {
            trace_id: u128::from_be_bytes(trace_id.to_bytes()),
            span_id: u64::from_be_bytes(ids.new_span_id().to_bytes()),
            flags: RANDOM | sampled,
        }
    }

    fn ended(&mut self, batch: Batch, outcome: Outcome) {
        if batch.context().is_sampled() {
            let now = SystemTime::now();
            self.processor.on_end(SpanData {
                instrumentation_scope: self.scope.clone(),
                ..span(&batch, outcome, &self.common, now)
            });
        }
    }
}

/// The root of a trace, linked to where its records came from.
fn span(batch: &Batch, outcome: Outcome, common: &[KeyValue], now: SystemTime) -> SpanData {
    let mut attributes = common.to_vec();
    let records = i64::try_from(batch.records()).unwrap_or(i64::MAX);
    attributes.push(KeyValue::new("messaging.batch.message_count", records));
    let mut name = "process".to_owned();
    if let Some(topic) = single(batch.sources().keys().map(|source| &*source.topic)) {
        name = format!("process {topic}");
        attributes.push(KeyValue::new("messaging.destination.name", topic.to_owned()));
    }
    if let Some(partition) = single(batch.sources().keys().map(|source| source.partition)) {
        attributes.push(KeyValue::new("messaging.destination.partition.id", partition.to_string()));
    }
    let mut links = SpanLinks::default();
    links.links = batch.links().iter().map(|&context| Link::with_context(converted(context, true))).collect();
    if batch.links_left_out() > 0 {
        let left_out = batch.links_left_out();
        links.dropped_count = u32::try_from(left_out).unwrap_or(u32::MAX);
        attributes.push(KeyValue::new("millpond.links.left_out", i64::try_from(left_out).unwrap_or(i64::MAX)));
    }
    let status = match outcome {
        Outcome::Committed => Status::Unset,
        Outcome::Dropped(cause) => {
            attributes.push(KeyValue::new("error.type", cause));
            Status::error(format!("the transaction is dropped, and its records are read again: {cause}"))
        }
    };
    // Milliseconds, of a clock that was read before: never later than now.
    let began = time(batch.began()).min(now);
    SpanData {
        span_context: converted(batch.context(), false),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Consumer,
        name: name.into(),
        start_time: began,
        end_time: now,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

/// The one value that all of them are.
fn single<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// Without the vendors' state, which may hold anything.
fn converted(context: trace::SpanContext, remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from(context.trace_id),
        SpanId::from(context.span_id),
        TraceFlags::new(context.flags),
        remote,
        TraceState::NONE,
    )
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Headers, Partition, TopicPartition};

    fn batch(sources: &[(&str, i32)]) -> Batch {
        let mut batch = Batch::new(trace::SpanContext { trace_id: 1, span_id: 2, flags: 3 });
        for (n, &(topic, partition)) in (1..).zip(sources) {
            let mut headers = Headers::new();
            let carried = trace::SpanContext { trace_id: 9, span_id: n, flags: 1 };
            headers.push(trace::TRACEPARENT, Some(carried.encode()));
            batch.see(&TopicPartition::new(topic, Partition(partition)), &headers, Timestamp::from_millis(7));
        }
        batch
    }

    fn attribute(span: &SpanData, name: &str) -> Option<String> {
        span.attributes.iter().find(|have| have.key.as_str() == name).map(|have| have.value.to_string())
    }

    #[test]
    fn a_span_names_its_topic_and_links_to_its_records() {
        let now = UNIX_EPOCH + Duration::from_millis(9);
        let span = span(&batch(&[("events", 3), ("events", 3)]), Outcome::Committed, &[], now);
        assert_eq!((span.name.as_ref(), &span.status), ("process events", &Status::Unset));
        assert_eq!((span.start_time, span.end_time), (UNIX_EPOCH + Duration::from_millis(7), now));
        assert_eq!(attribute(&span, "messaging.destination.name").as_deref(), Some("events"));
        assert_eq!(attribute(&span, "messaging.destination.partition.id").as_deref(), Some("3"));
        assert_eq!(attribute(&span, "messaging.batch.message_count").as_deref(), Some("2"));
        assert_eq!(attribute(&span, "millpond.links.left_out"), None);
        let linked: Vec<SpanId> = span.links.iter().map(|link| link.span_context.span_id()).collect();
        assert_eq!(linked, [SpanId::from(1), SpanId::from(2)]);
    }

    #[test]
    fn a_span_of_several_topics_names_none_and_says_why_it_failed() {
        let many: Vec<_> = std::iter::repeat_n(("a", 0), 130).chain([("b", 0)]).collect();
        let span = span(&batch(&many), Outcome::Dropped("fenced"), &[], UNIX_EPOCH);
        assert_eq!((span.name.as_ref(), span.start_time), ("process", UNIX_EPOCH), "a clock that was set back");
        assert_eq!(attribute(&span, "messaging.destination.name"), None);
        assert_eq!(attribute(&span, "messaging.destination.partition.id").as_deref(), Some("0"));
        assert_eq!(attribute(&span, "error.type").as_deref(), Some("fenced"));
        assert!(matches!(&span.status, Status::Error { description } if description.ends_with("fenced")));
        assert_eq!((span.links.len(), span.links.dropped_count), (128, 3));
        assert_eq!(attribute(&span, "millpond.links.left_out").as_deref(), Some("3"));
    }
}
