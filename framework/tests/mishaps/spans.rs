//! What becomes of the spans of transactions that fail.

use std::time::Duration;

use millpond::broker::sim::{Fault, Isolation};
use millpond::state::MemoryDirectory;
use millpond::testing::RecordedSpans;
use millpond::trace::{Outcome, SpanContext};

use super::{T, append, append_all, broker, committed_keys, copy, eager, patient, rounds, start};

fn told(spans: &RecordedSpans) -> Vec<(u64, Outcome)> {
    spans.take().into_iter().map(|(batch, outcome)| (batch.records(), outcome)).collect()
}

#[test]
fn a_batch_whose_commit_fails_is_dropped_by_name_and_read_again_in_another_one() {
    for (fault, cause) in [
        (Fault::BeforeSend, "aborted"),
        (Fault::SendOffsets, "aborted"),
        (Fault::BeforeEndTxn, "aborted"),
        (Fault::EndTxnRequestLost, "unknown"),
    ] {
        let (broker, directory, spans) = (broker(1), MemoryDirectory::new(), RecordedSpans::default());
        let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
        thread.trace(spans.tracing().tracer("app-0"));
        rounds(&mut thread, 20, T).unwrap();
        broker.fail_next(fault);
        append_all(&broker, &["a", "b"]);
        for second in 1..40 {
            rounds(&mut thread, 5, T.plus(Duration::from_secs(second))).unwrap();
        }
        assert_eq!(committed_keys(&broker, "out"), ["a", "b"], "{fault:?}");
        let told = told(&spans);
        assert_eq!(told, [(2, Outcome::Dropped(cause)), (2, Outcome::Committed)], "{fault:?}");
    }
}

/// The commit of `a` is in flight while `b` is processed: two batches, and `b` is in the second transaction.
#[test]
fn what_is_processed_ahead_is_of_the_next_batch() {
    let (broker, directory, spans) = (broker(1), MemoryDirectory::new(), RecordedSpans::default());
    let mut thread = start(&broker, copy(), &directory, eager("app-0"), T);
    thread.trace(spans.tracing().tracer("app-0"));
    rounds(&mut thread, 20, T).unwrap();
    broker.fail_next(Fault::CommitSlow);
    append(&broker, "a");
    rounds(&mut thread, 5, T).unwrap();
    append(&broker, "b");
    rounds(&mut thread, 5, T).unwrap();
    assert!(spans.take().is_empty(), "nothing has ended");
    thread.commit(T).unwrap();
    let ended = spans.take();
    let named: Vec<_> = ended.iter().map(|(batch, _)| Some(batch.context())).collect();
    let carried: Vec<_> =
        broker.records("out", Isolation::ReadCommitted).iter().map(|record| SpanContext::of(&record.headers)).collect();
    assert_eq!(carried, named);
    assert!(ended.iter().all(|(batch, outcome)| batch.records() == 1 && *outcome == Outcome::Committed));
}

#[test]
fn partitions_that_are_lost_drop_their_batch() {
    let (broker, directory, spans) = (broker(1), MemoryDirectory::new(), RecordedSpans::default());
    let mut thread = start(&broker, copy(), &directory, patient("app-0"), T);
    thread.trace(spans.tracing().tracer("app-0"));
    rounds(&mut thread, 20, T).unwrap();
    rounds(&mut thread, 20, T.plus(Duration::from_secs(1))).unwrap();
    append(&broker, "a");
    rounds(&mut thread, 3, T.plus(Duration::from_secs(1))).unwrap();
    broker.fail_next(Fault::GroupSessionExpired);
    for second in 1..10 {
        rounds(&mut thread, 20, T.plus(Duration::from_secs(second))).unwrap();
    }
    assert_eq!(committed_keys(&broker, "out"), ["a"]);
    assert_eq!(told(&spans), [(1, Outcome::Dropped("lost")), (1, Outcome::Committed)]);
}
