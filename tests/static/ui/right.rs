// What the wrong programs beside this one do, done right.

use millpond::dsl::{Stores, StreamsBuilder, Topic};
use millpond::processor::{Context, Processor, ProcessorError};
use millpond::record::Record;
use millpond::serde::{Int64, Utf8};
use millpond::state::KeyValueStore;

const WORDS: Topic<String, i64> = Topic::new("words", &Utf8, &Int64);
const SUMS: Topic<String, i64> = Topic::new("sums", &Utf8, &Int64);

struct Sum {
    sums: KeyValueStore<String, i64>,
}

impl Processor for Sum {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        let sum = self.sums.get(&record.key)?.unwrap_or(0) + record.value;
        self.sums.put(&record.key, &sum)?;
        context.forward(record.with_value(sum))
    }
}

pub(crate) fn main() {
    let builder = StreamsBuilder::new();
    let sums = builder.key_value_store(Stores::persistent("sums", &Utf8, &Int64));
    let words = builder.stream(&WORDS).filter(|key: &String, _| !key.is_empty());
    words.process("sum", &sums, |sums| Sum { sums }).to(&SUMS);
    assert!(builder.build().is_ok());
}
