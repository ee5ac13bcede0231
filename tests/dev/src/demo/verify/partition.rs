//! One partition of events against the same partition of processed events, record by record: order counts.

use millpond_harness::Received;

use super::differences::Differences;
use super::expected;

/// A position in a topic.
pub(super) type Position = (String, i32, i64);

/// Compares what comes out of the redaction with what must come out, as records arrive.
#[derive(Debug, Default)]
pub(super) struct Redactions {
    pub(super) differences: Differences,
    /// Records in which something was redacted.
    pub(super) redacted: u64,
    /// Events that redaction must refuse.
    pub(super) refused: Vec<Position>,
    is_lost: bool,
}

impl Redactions {
    /// One event; `next` yields the next processed event, if there is one, and is asked for just those that must be there.
    pub(super) fn event<E>(
        &mut self,
        topic: &str,
        event: &Received,
        next: impl FnOnce() -> Result<Option<Received>, E>,
    ) -> Result<Option<Received>, E> {
        let Ok(expected) = expected::redacted(event.value.as_deref()) else {
            self.refused.push((topic.to_owned(), event.partition, event.offset));
            return Ok(None);
        };
        let Some(processed) = next()? else {
            self.lost(format!(
                "redaction: nothing for the event partition={} offset={}, and nothing behind it",
                event.partition, event.offset
            ));
            return Ok(None);
        };
        if expected != event.value {
            self.redacted += 1;
        }
        let is_same = (processed.value == expected, processed.key == event.key, processed.headers == event.headers);
        if is_same != (true, true, true) || processed.timestamp_ms != event.timestamp_ms {
            self.lost(format!(
                "redaction: the event partition={} offset={} is not what became of it at offset={} \
                 (value is as it must be: {}, key: {}, headers: {}, timestamp: {})",
                event.partition,
                event.offset,
                processed.offset,
                is_same.0,
                is_same.1,
                is_same.2,
                processed.timestamp_ms == event.timestamp_ms
            ));
        }
        Ok(Some(processed))
    }

    /// A processed event behind the last one that must be there.
    pub(super) fn surplus(&mut self, processed: &Received) {
        self.lost(format!(
            "redaction: more processed events than events: partition={} offset={}",
            processed.partition, processed.offset
        ));
    }

    /// Begins a partition.
    pub(super) fn begin(&mut self) {
        self.is_lost = false;
    }

    /// After one difference all that follow are shifted: only the first of each partition says something.
    fn lost(&mut self, difference: String) {
        if !self.is_lost {
            self.differences.add(difference);
        }
        self.is_lost = true;
    }
}

/// Compares positions that must be in a dead-letter topic with those that are, each once.
pub(super) fn compare_dead_letters(
    application: &str,
    mut expected: Vec<Position>,
    mut found: Vec<Position>,
    differences: &mut Differences,
) {
    expected.sort();
    found.sort();
    let mut found = found.into_iter().peekable();
    for (topic, partition, offset) in expected {
        let wanted = (topic, partition, offset);
        while let Some(other) = found.next_if(|position| *position < wanted) {
            differences.add(format!("{application}: a dead letter too many: {}-{}@{}", other.0, other.1, other.2));
        }
        if found.next_if(|position| *position == wanted).is_none() {
            differences.add(format!("{application}: no dead letter for {}-{}@{}", wanted.0, wanted.1, wanted.2));
        }
    }
    for other in found {
        differences.add(format!("{application}: a dead letter too many: {}-{}@{}", other.0, other.1, other.2));
    }
}
