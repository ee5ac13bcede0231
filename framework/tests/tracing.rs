//! Trace context through topologies, on the simulated broker: what outputs carry, what spans say, and that it costs nothing
//! when nobody wants it.
#![cfg(feature = "testing")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: helpers fail it where they stand"
)]

use std::time::Duration;

use bytes::Bytes;
use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
use millpond::processor::{Context, Processor, ProcessorError, Punctuation, ScheduleId};
use millpond::record::{ConsumedRecord, Headers, Record};
use millpond::serde::{Int64, Utf8};
use millpond::testing::{RecordedSpans, TopologyTestDriver};
use millpond::time::Timestamp;
use millpond::topology::Topology;
use millpond::trace::{Outcome, SpanContext, TRACEPARENT, TRACESTATE};

const IN: Topic<String, String> = Topic::new("in", &Utf8, &Utf8);
const OUT: Topic<String, String> = Topic::new("out", &Utf8, &Utf8);
const COUNTS: Topic<String, i64> = Topic::new("counts", &Utf8, &Int64);

const CARRIED: SpanContext = SpanContext { trace_id: 0xabc, span_id: 0xdef, flags: 1 };

fn copy() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(&IN).to(&OUT);
    builder.build().unwrap()
}

/// Through a repartition, a store and its changelog.
fn count() -> Topology {
    let builder = StreamsBuilder::new();
    let words = builder.stream(&IN).group_by(|_, word| word.clone(), Grouped::named("by-word", &Utf8, &Utf8));
    words.count(Materialized::persistent("counts", &Utf8, &Int64)).updates().to(&COUNTS);
    builder.build().unwrap()
}

fn text(name: &str, value: &str) -> Headers {
    [(name, Some(Bytes::copy_from_slice(value.as_bytes())))].into_iter().collect()
}

fn carrying(context: SpanContext) -> Headers {
    [(TRACEPARENT, Some(context.encode()))].into_iter().collect()
}

fn pipe(driver: &mut TopologyTestDriver, value: &str, headers: Headers) {
    let record = Record::new("k".to_owned(), value.to_owned(), Timestamp::from_millis(1_000));
    driver.pipe_record(&IN, Record { headers, ..record });
}

/// What the committed records of a topic carry.
fn contexts(driver: &TopologyTestDriver, topic: &str) -> Vec<Option<SpanContext>> {
    driver.records(topic).iter().map(|record| SpanContext::of(&record.headers)).collect()
}

#[test]
fn an_output_stays_in_its_trace_and_its_batch_links_to_where_it_came_from() {
    let spans = RecordedSpans::default();
    let mut driver = TopologyTestDriver::builder(copy()).traced(spans.tracing()).build();
    let mut headers = carrying(CARRIED);
    headers.push(TRACESTATE, Some("vendor=1".into()));
    pipe(&mut driver, "a", headers);
    pipe(&mut driver, "b", carrying(SpanContext { flags: 0, ..CARRIED }));
    pipe(&mut driver, "c", Headers::new());
    driver.commit();
    let ended = spans.take();
    assert_eq!(ended.len(), 1, "one batch: {ended:?}");
    let (batch, outcome) = &ended[0];
    assert_eq!((batch.records(), *outcome), (3, Outcome::Committed));
    assert_eq!(batch.links(), [CARRIED, SpanContext { flags: 0, ..CARRIED }]);
    let child = SpanContext { span_id: batch.context().span_id, ..CARRIED };
    let expected = [child, SpanContext { flags: 0, ..child }, batch.context()];
    assert_eq!(contexts(&driver, "out"), expected.map(Some));
    let state = |record: &ConsumedRecord| record.headers.last(TRACESTATE).flatten().cloned();
    assert_eq!(driver.records("out").iter().map(state).collect::<Vec<_>>(), [Some("vendor=1".into()), None, None]);
}

#[test]
fn each_hop_goes_on_from_the_one_before_and_changelogs_carry_nothing() {
    let spans = RecordedSpans::default();
    let mut driver = TopologyTestDriver::builder(count()).traced(spans.tracing()).build();
    pipe(&mut driver, "mill", carrying(CARRIED));
    driver.commit();
    let ended = spans.take();
    let [(first, _), (second, _)] = &ended[..] else { panic!("two tasks, a batch each: {ended:?}") };
    let hop = SpanContext { span_id: first.context().span_id, ..CARRIED };
    assert_eq!(first.links(), [CARRIED]);
    assert_eq!(contexts(&driver, "test-by-word-repartition"), [Some(hop)]);
    assert_eq!(second.links(), [hop]);
    assert_eq!(contexts(&driver, "counts"), [Some(SpanContext { span_id: second.context().span_id, ..CARRIED })]);
    for topic in ["test-counts-changelog", "test-commits"] {
        let records = driver.records(topic);
        assert!(!records.is_empty() && records.iter().all(|record| record.headers.is_empty()), "{topic}: {records:?}");
    }
}

#[test]
fn headers_that_break_the_rules_are_ignored_and_replaced() {
    let spans = RecordedSpans::default();
    let mut driver = TopologyTestDriver::builder(copy()).traced(spans.tracing()).build();
    for broken in ["", "00-0-0-00", "ff-00000000000000000000000000000abc-0000000000000def-01"] {
        pipe(&mut driver, "a", text(TRACEPARENT, broken));
    }
    driver.commit();
    let (batch, _) = spans.take().remove(0);
    assert!(batch.links().is_empty());
    assert_eq!(contexts(&driver, "out"), [Some(batch.context()); 3]);
}

#[test]
fn a_dead_letter_goes_on_in_the_trace_of_its_record() {
    let spans = RecordedSpans::default();
    for payload in [true, false] {
        let builder = TopologyTestDriver::builder(copy()).traced(spans.tracing());
        let mut driver = builder.dead_letters(payload).build();
        let not_text = Some(Bytes::from_static(&[0xff]));
        driver.pipe_raw("in", Some("k".into()), not_text, Timestamp::from_millis(1_000), carrying(CARRIED));
        driver.commit();
        let (batch, _) = spans.take().remove(0);
        let child = SpanContext { span_id: batch.context().span_id, ..CARRIED };
        assert_eq!(contexts(&driver, "dead-letters"), [Some(child)], "payload={payload}");
    }
}

/// Says the last word it has heard, once a second.
struct Echo {
    last: Option<String>,
}

impl Processor for Echo {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn init(&mut self, context: &mut Context<'_, String, String>) -> Result<(), ProcessorError> {
        context.schedule(Duration::from_secs(1), Punctuation::WallClock);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        _: &mut Context<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        self.last = Some(record.value);
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: ScheduleId,
        at: Timestamp,
        context: &mut Context<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        match self.last.clone() {
            Some(last) => context.forward(Record::new("echo".to_owned(), last, at)),
            None => Ok(()),
        }
    }
}

#[test]
fn what_a_punctuator_sends_is_in_the_trace_of_the_batch() {
    let spans = RecordedSpans::default();
    let builder = StreamsBuilder::new();
    builder.stream(&IN).process("echo", &(), |()| Echo { last: None }).to(&OUT);
    let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).traced(spans.tracing()).build();
    pipe(&mut driver, "a", carrying(CARRIED));
    driver.commit();
    spans.take();
    driver.advance(Duration::from_secs(5));
    driver.commit();
    let ended = spans.take();
    let (batch, outcome) = &ended[0];
    assert_eq!((batch.records(), batch.links().len(), *outcome), (0, 0, Outcome::Committed));
    assert_eq!(contexts(&driver, "out"), [Some(batch.context())]);
}

#[test]
fn a_commit_without_records_has_no_span() {
    let spans = RecordedSpans::default();
    let mut driver = TopologyTestDriver::builder(copy()).traced(spans.tracing()).build();
    driver.commit();
    assert!(spans.take().is_empty());
}

/// How many times memory is asked for by a hundred records with that header.
fn allocations(spans: Option<&RecordedSpans>, name: &str) -> u64 {
    let builder = TopologyTestDriver::builder(copy());
    let mut driver = match spans {
        Some(spans) => builder.traced(spans.tracing()).build(),
        None => builder.build(),
    };
    let value = String::from_utf8(CARRIED.encode().to_vec()).unwrap();
    // What is made once is not counted.
    pipe(&mut driver, "v", text(name, &value));
    driver.commit();
    let records = || (0..100).for_each(|_| pipe(&mut driver, "v", text(name, &value)));
    allocation_counter::measure(records).count_total
}

#[test]
fn without_a_tracer_a_context_costs_a_record_what_any_header_costs() {
    let (context, other) = (allocations(None, TRACEPARENT), allocations(None, "tracepilots"));
    assert_eq!(context, other, "nothing is read, nothing is written");
    let traced = allocations(Some(&RecordedSpans::default()), TRACEPARENT);
    assert!(traced > context, "this would notice: {traced} with a tracer, {context} without");
}
