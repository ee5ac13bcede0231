//! The topology: one source, one processor, one sink, no state.

use std::sync::Arc;

use bytes::Bytes;
use millpond::dsl::{StreamsBuilder, Topic};
use millpond::processor::{Context, Processor, ProcessorError};
use millpond::record::Record;
use millpond::serde::{Nullable, Raw};
use millpond::topology::{Topology, TopologyError};

use crate::counts::Totals;
use crate::record::{Redacted, Redactor};

/// Keys and values are bytes or null: what is not JSON must reach the processor too.
type RawTopic = Topic<Option<Bytes>, Option<Bytes>>;

/// The default input.
pub const EVENTS: RawTopic = Topic::new("events", &Nullable(Raw), &Nullable(Raw));

/// The default output. Records whose key held an address are partitioned by the redacted key.
pub const PROCESSED_EVENTS: RawTopic = Topic::new("processed_events", &Nullable(Raw), &Nullable(Raw));

/// Redacts `input` into `output` and adds what was redacted to `totals`.
///
/// Records that are refused go to the error policy with [`Refusal::reason`](crate::Refusal::reason); their dead letters must
/// not carry the record's bytes.
///
/// # Errors
/// [`TopologyError`] if the graph cannot be built, as when input and output have one name.
pub fn topology(
    input: &RawTopic,
    output: &RawTopic,
    redactor: Redactor,
    totals: &Arc<Totals>,
) -> Result<Topology, TopologyError> {
    let builder = StreamsBuilder::new();
    let totals = totals.clone();
    let redacted = builder.stream(input).process("redact", &(), move |()| Redact { redactor, totals: totals.clone() });
    redacted.to(output);
    builder.build()
}

struct Redact {
    redactor: Redactor,
    totals: Arc<Totals>,
}

impl Processor for Redact {
    type KIn = Option<Bytes>;
    type VIn = Option<Bytes>;
    type KOut = Option<Bytes>;
    type VOut = Option<Bytes>;

    fn process(
        &mut self,
        record: Record<Self::KIn, Self::VIn>,
        context: &mut Context<'_, Self::KOut, Self::VOut>,
    ) -> Result<(), ProcessorError> {
        let redacted = self.redactor.redact_record(record.key, record.value, &record.headers);
        let Redacted { key, value, headers, counts } =
            redacted.map_err(|refusal| ProcessorError::bad_record(refusal.reason()))?;
        self.totals.add(&counts);
        context.forward(Record { key, value, timestamp: record.timestamp, headers })
    }
}

#[cfg(test)]
mod tests;
