//! The context of a trace in a record's headers.

use bytes::Bytes;
use millpond::record::{Headers, Partition, ProducerRecord, TopicPartition};
use millpond::time::Timestamp;
use millpond::trace::outside::is_tracestate;
use millpond::trace::{Batch, SpanContext, TRACEPARENT, TRACESTATE};

const BATCH: SpanContext = SpanContext { trace_id: 7, span_id: 8, flags: 1 };
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A `traceparent`, and behind a zero a `tracestate`: read by themselves, and as a record carries them through a batch.
pub(crate) fn traceparent(bytes: &[u8]) {
    let (parent, state) = super::split(bytes);
    let context = SpanContext::parse(parent);
    if let Some(context) = context {
        assert!(context.trace_id != 0 && context.span_id != 0 && context.flags <= 3, "{context:?}");
        let written = context.encode();
        assert_eq!(SpanContext::parse(&written), Some(context), "what was written is read back");
        // Trace and span are passed on letter by letter, whatever the version.
        assert_eq!(written.get(2..53), parent.get(2..53), "{context:?}");
        assert!(!parent.starts_with(b"00") || parent.len() == written.len(), "{context:?}");
    }
    let is_state = is_tracestate(state);
    if is_state {
        let text = std::str::from_utf8(state).expect("a state is of ASCII");
        let members: Vec<&str> = text.split(',').map(str::trim).filter(|member| !member.is_empty()).collect();
        assert!((1..=32).contains(&members.len()), "{text}");
        assert!(members.iter().all(|member| member.matches('=').count() == 1), "{text}");
        assert!(text.chars().all(|letter| letter == '\t' || (' '..='~').contains(&letter)), "{text}");
    }
    passes(parent, state, context, is_state);
}

/// What a record has caused goes on in its trace, below the batch, and otherwise in the batch's own.
fn passes(parent: &[u8], state: &[u8], context: Option<SpanContext>, is_state: bool) {
    let mut headers = Headers::new();
    headers.push(TRACEPARENT, Some(Bytes::copy_from_slice(parent)));
    headers.push(TRACESTATE, Some(Bytes::copy_from_slice(state)));
    let mut batch = Batch::new(BATCH);
    let at = TopicPartition::new("events", Partition(0));
    assert_eq!(batch.see(&at, &headers, NOW), context);
    assert_eq!(batch.links(), context.as_slice());
    let mut outputs = [ProducerRecord { target: at, timestamp: NOW, key: None, value: None, headers }];
    batch.mark(context, &mut outputs, NOW);
    let [ProducerRecord { headers, .. }] = &outputs;
    let SpanContext { trace_id, flags, .. } = context.unwrap_or(BATCH);
    assert_eq!(SpanContext::of(headers), Some(SpanContext { trace_id, span_id: BATCH.span_id, flags }));
    let kept = headers.last(TRACESTATE).flatten();
    assert_eq!(kept.map(|kept| &**kept), Some(state).filter(|_| is_state && context.is_some()));
}
