//! The Processor API: life cycle, forwarding, metadata, time, punctuators, commit requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use millpond::dsl::{KeyValueStoreRef, Stores, StreamsBuilder};
use millpond::processor::{Context, Processor, ProcessorError, Punctuation, ScheduleId};
use millpond::record::{Headers, Partition, ProducerRecord, Record, TopicPartition};
use millpond::serde::{Int64, Utf8};
use millpond::state::KeyValueStore;
use millpond::testing::TopologyTestDriver;
use millpond::time::Timestamp;

use crate::{OUT, TEXT, TEXT_OUT, WORDS, driver, driver_with, pairs, pipe_words, text};

/// What happened, in order.
type Journal = Arc<Mutex<Vec<String>>>;

/// Writes its life into a journal and passes every record on.
struct Diarist {
    name: &'static str,
    journal: Journal,
}

impl Diarist {
    fn note(&self, what: &str) {
        self.journal.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl Processor for Diarist {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn init(&mut self, _: &mut Context<'_, String, i64>) -> Result<(), ProcessorError> {
        self.note("init");
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        self.note(&record.key);
        context.forward(record)
    }

    fn close(&mut self) {
        self.note("close");
    }
}

fn diaries() -> (TopologyTestDriver, Journal) {
    let journal = Journal::default();
    let write = |name| {
        let journal = journal.clone();
        move |()| Diarist { name, journal: journal.clone() }
    };
    let driver = driver(|b| {
        let upper = b.stream(&WORDS).process("upper", &(), write("upper"));
        upper.process("lower", &(), write("lower")).to(&OUT);
    });
    (driver, journal)
}

#[test]
fn processors_are_initialised_before_the_first_record_and_children_before_their_parents() {
    let (mut driver, journal) = diaries();
    driver.pipe(&WORDS, text("a"), 1, 1);
    assert_eq!(*journal.lock().unwrap(), ["lower init", "upper init", "upper a", "lower a"]);
}

#[test]
fn an_orderly_end_commits_and_closes_every_processor_once() {
    let (mut driver, journal) = diaries();
    driver.pipe(&WORDS, text("a"), 1, 1);
    let broker = driver.broker().clone();
    driver.close();
    assert_eq!(journal.lock().unwrap()[4..], ["lower close", "upper close"]);
    let committed = broker.records("out", millpond::broker::sim::Isolation::ReadCommitted);
    assert_eq!(committed.len(), 1);
}

#[test]
fn a_crash_closes_nothing_and_a_new_instance_is_initialised() {
    let (mut driver, journal) = diaries();
    driver.crash();
    assert_eq!(*journal.lock().unwrap(), ["lower init", "upper init", "lower init", "upper init"]);
}

/// Sends negative numbers to one child, others to all.
struct Router;

impl Processor for Router {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        match record.value {
            0 => context.forward_to("nobody", record),
            ..0 => context.forward_to("negative", record),
            _ => context.forward(record),
        }
    }
}

fn routed(b: &StreamsBuilder) {
    let router = b.stream(&WORDS).process("router", &(), |()| Router);
    for (child, add) in [("negative", 100), ("other", 200)] {
        let silent = Journal::default();
        let node = router.process(child, &(), move |()| Diarist { name: "", journal: silent.clone() });
        node.map_values(move |_, n| n + add).to(&OUT);
    }
}

#[test]
fn forward_goes_to_all_children_and_forward_to_to_the_one_named() {
    let mut driver = driver(routed);
    pipe_words(&mut driver, &[("a", -1), ("b", 1)]);
    assert_eq!(driver.read_committed(&OUT), pairs(&[("a", 99), ("b", 101), ("b", 201)]));
}

#[test]
fn forwarding_to_a_child_that_is_not_there_stops_the_task() {
    let builder = StreamsBuilder::new();
    routed(&builder);
    let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).build();
    let at = TopicPartition::new("words", Partition(0));
    let (key, value) = (Some(Bytes::from_static(b"a")), Some(Bytes::from_static(&[0; 8])));
    let headers = Headers::new();
    let record = ProducerRecord { target: at, timestamp: Timestamp::EPOCH, key, value, headers };
    driver.broker().append(record).unwrap();
    let error = driver.try_run().unwrap_err();
    assert_eq!(error.recovery(), millpond::error::Recovery::Shutdown);
    assert!(error.to_string().contains("forward_to names a child that is not connected"), "{error}");
}

/// Forwards what it is told about each record.
struct Reporter;

impl Processor for Reporter {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        mut record: Record<String, i64>,
        context: &mut Context<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        let metadata = context.metadata().unwrap();
        let report = format!("{}@{} time={}", metadata.source, metadata.offset, context.stream_time());
        record.headers.push("task", Some(context.task_id().to_string().into()));
        context.forward(record.with_value(report))
    }
}

#[test]
fn a_processor_sees_metadata_and_stream_time_and_may_add_headers() {
    let mut driver = driver(|b| b.stream(&WORDS).process("reporter", &(), |()| Reporter).to(&TEXT_OUT));
    for at in [10, 30, 20] {
        driver.pipe(&WORDS, text("a"), 0, at);
    }
    driver.commit();
    let reports: Vec<String> = driver.read_committed(&TEXT_OUT).into_iter().map(|(_, report)| report).collect();
    assert_eq!(reports, ["words-0@0 time=10", "words-0@1 time=30", "words-0@2 time=30"]);
    let task = driver.records("text-out")[0].headers.last("task").flatten().cloned();
    assert_eq!(task.as_deref(), Some(&b"0_0"[..]));
}

/// Counts in two stores of different types at once.
struct TwoStores {
    sums: KeyValueStore<String, i64>,
    last: KeyValueStore<i64, String>,
}

impl Processor for TwoStores {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut Context<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        let sum = self.sums.get(&record.key)?.unwrap_or(0) + record.value;
        self.sums.put(&record.key, &sum)?;
        let before = self.last.get(&record.value)?.unwrap_or_default();
        self.last.put(&record.value, &record.key)?;
        context.forward(record.with_value(format!("{sum} {before}")))
    }
}

#[test]
fn a_processor_with_a_tuple_of_stores_has_them_typed_and_they_are_one_state() {
    let stores = |b: &StreamsBuilder| -> (KeyValueStoreRef<String, i64>, KeyValueStoreRef<i64, String>) {
        let sums = b.key_value_store(Stores::persistent("sums", &Utf8, &Int64));
        (sums, b.key_value_store(Stores::in_memory("last", &Int64, &Utf8)))
    };
    let builder = StreamsBuilder::new();
    let (sums, last) = stores(&builder);
    let both = (sums.clone(), last.clone());
    let made = builder.stream(&WORDS).process("two", &both, |(sums, last)| TwoStores { sums, last });
    made.to(&TEXT_OUT);
    let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).build();
    driver.pipe(&WORDS, text("a"), 1, 0);
    driver.commit();
    driver.pipe(&WORDS, text("b"), 1, 1);
    driver.crash();
    driver.commit();
    driver.pipe(&WORDS, text("b"), 2, 2);
    driver.commit();
    let reports: Vec<String> = driver.read_committed(&TEXT_OUT).into_iter().map(|(_, report)| report).collect();
    assert_eq!(reports, ["1 ", "1 a", "3 "]);
    assert_eq!((driver.get(&sums, &text("b")), driver.get(&last, &1)), (Some(3), Some(text("b"))));
}

#[test]
fn two_processors_that_share_a_store_are_one_sub_topology() {
    let builder = StreamsBuilder::new();
    let sums = builder.key_value_store(Stores::persistent("sums", &Utf8, &Int64));
    for (topic, name) in [("words", "one"), ("more", "two")] {
        let topic = WORDS.named(topic);
        let store = sums.clone();
        builder.stream(&topic).process(name, &store, |sums| Summer { sums }).to(&OUT);
    }
    let topology = builder.build().unwrap();
    assert_eq!(topology.subtopologies().len(), 1);
    let mut driver = TopologyTestDriver::builder(topology).build();
    driver.pipe(&WORDS, text("a"), 1, 0);
    driver.pipe(&WORDS.named("more"), text("a"), 2, 1);
    driver.commit();
    assert_eq!(driver.read_committed(&OUT), pairs(&[("a", 1), ("a", 3)]));
}

struct Summer {
    sums: KeyValueStore<String, i64>,
}

impl Processor for Summer {
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

#[test]
fn two_chains_that_share_nothing_are_two_sub_topologies() {
    let mut driver = driver_with(2, |b| {
        b.stream(&WORDS).to(&OUT);
        b.stream(&TEXT).to(&TEXT_OUT);
    });
    let tasks: Vec<String> = driver.thread().tasks().map(|task| task.id().to_string()).collect();
    assert_eq!(tasks, ["0_0", "0_1", "1_0", "1_1"]);
    driver.pipe(&TEXT, text("a"), text("b"), 1);
    driver.pipe(&WORDS, text("a"), 1, 1);
    driver.commit();
    assert_eq!(driver.read_committed(&TEXT_OUT), [(text("a"), text("b"))]);
    assert_eq!(driver.read_committed(&OUT), pairs(&[("a", 1)]));
}

/// Every ten milliseconds of a clock it says so; after `rounds` it stops.
struct Clock {
    kind: Punctuation,
    rounds: u32,
}

impl Processor for Clock {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn init(&mut self, context: &mut Context<'_, String, i64>) -> Result<(), ProcessorError> {
        context.schedule(Duration::from_millis(10), self.kind);
        Ok(())
    }

    fn process(&mut self, _: Record<String, i64>, _: &mut Context<'_, String, i64>) -> Result<(), ProcessorError> {
        Ok(())
    }

    fn punctuate(
        &mut self,
        schedule: ScheduleId,
        at: Timestamp,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        assert_eq!(context.metadata(), None);
        self.rounds -= 1;
        if self.rounds == 0 {
            context.cancel(schedule);
        }
        context.forward(Record::new(text("tick"), at.as_millis(), at))
    }
}

fn clock(kind: Punctuation, rounds: u32) -> TopologyTestDriver {
    driver(|b| b.stream(&WORDS).process("clock", &(), move |()| Clock { kind, rounds }).to(&OUT))
}

fn ticks(driver: &mut TopologyTestDriver) -> Vec<i64> {
    driver.commit();
    driver.read_committed(&OUT).into_iter().map(|(_, at)| at).collect()
}

#[test]
fn a_stream_time_punctuator_follows_the_records_and_not_the_wall_clock() {
    let mut driver = clock(Punctuation::StreamTime, 99);
    for at in [3, 9, 12, 11, 20, 47] {
        driver.pipe(&WORDS, text("a"), 0, at);
        driver.advance(Duration::from_secs(1));
    }
    assert_eq!(ticks(&mut driver), [12, 20, 47]);
}

#[test]
fn a_stream_time_punctuator_fires_alike_however_the_records_are_batched() {
    let mut driver = clock(Punctuation::StreamTime, 99);
    for at in [3, 9, 12, 11, 20, 47] {
        let target = TopicPartition::new("words", Partition(0));
        let (key, value) = (Some(Bytes::from_static(b"a")), Some(Bytes::from_static(&[0; 8])));
        let (timestamp, headers) = (Timestamp::from_millis(at), Headers::new());
        driver.broker().append(ProducerRecord { target, timestamp, key, value, headers }).unwrap();
    }
    driver.run();
    assert_eq!(ticks(&mut driver), [12, 20, 47]);
}

#[test]
fn a_stream_time_punctuator_fires_alike_after_a_crash() {
    for lose_disk in [false, true] {
        let mut driver = clock(Punctuation::StreamTime, 99);
        for at in [3, 9, 12, 11, 20, 47] {
            driver.pipe(&WORDS, text("a"), 0, at);
            driver.commit();
            if lose_disk { driver.crash_and_lose_disk() } else { driver.crash() }
        }
        assert_eq!(ticks(&mut driver), [12, 20, 47]);
    }
}

#[test]
fn a_wall_clock_punctuator_needs_no_record() {
    let mut driver = clock(Punctuation::WallClock, 99);
    let start = driver.broker().now().as_millis();
    for by in [9, 1, 5, 5, 25] {
        driver.advance(Duration::from_millis(by));
    }
    assert_eq!(ticks(&mut driver), [start + 10, start + 20, start + 45]);
}

#[test]
fn a_cancelled_punctuator_is_silent() {
    let mut driver = clock(Punctuation::WallClock, 2);
    let start = driver.broker().now().as_millis();
    for _ in 0..5 {
        driver.advance(Duration::from_millis(10));
    }
    assert_eq!(ticks(&mut driver), [start + 10, start + 20]);
}

/// Asks for a commit at every negative number.
struct Committer;

impl Processor for Committer {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        if record.value < 0 {
            context.commit();
        }
        context.forward(record)
    }
}

#[test]
fn a_processor_may_ask_for_a_commit() {
    let mut driver = driver(|b| b.stream(&WORDS).process("committer", &(), |()| Committer).to(&OUT));
    driver.pipe(&WORDS, text("a"), 1, 0);
    assert_eq!(driver.read_committed(&OUT), []);
    driver.pipe(&WORDS, text("b"), -1, 1);
    assert_eq!(driver.read_committed(&OUT), pairs(&[("a", 1), ("b", -1)]));
    assert_eq!(driver.lag(), 0);
}

/// Passes over negative numbers on purpose, and refuses what is too large after it has passed over it.
struct Picky;

impl Processor for Picky {
    type KIn = String;
    type VIn = i64;
    type KOut = String;
    type VOut = i64;

    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut Context<'_, String, i64>,
    ) -> Result<(), ProcessorError> {
        match record.value {
            ..0 => context.count_dropped("negative"),
            100.. => {
                context.count_dropped("large");
                return Err(ProcessorError::bad_record("too_large"));
            }
            _ => context.forward(record)?,
        }
        Ok(())
    }
}

#[test]
fn a_node_counts_what_it_passes_over_and_a_record_that_is_set_aside_counts_as_that_alone() {
    let builder = StreamsBuilder::new();
    builder.stream(&WORDS).process("picky", &(), |()| Picky).to(&OUT);
    let mut driver = TopologyTestDriver::builder(builder.build().unwrap()).dead_letters(false).build();
    pipe_words(&mut driver, &[("a", -1), ("b", 1), ("c", -2), ("d", 100)]);
    assert_eq!(driver.read_committed(&OUT), pairs(&[("b", 1)]));
    let counters = driver.thread().tasks().next().unwrap().counters().clone();
    assert_eq!(counters.dropped, [("negative", 2)].into());
    assert_eq!(counters.dead_letters, [("too_large", 1)].into());
}
