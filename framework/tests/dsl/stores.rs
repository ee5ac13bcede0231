//! Store operations through a processor: they see uncommitted writes, and survive commits and crashes.

use millpond::dsl::{KeyValueStoreRef, Materialized, StreamsBuilder};
use millpond::processor::{Context, Processor, ProcessorError};
use millpond::record::Record;
use millpond::serde::{Int64, Utf8};
use millpond::state::{KeyValueIterator, KeyValueStore};
use millpond::testing::TopologyTestDriver;

use crate::{TEXT, TEXT_OUT, text};

/// A shell for a store: the value of a record is a command, its key goes along; answers are forwarded.
struct Shell {
    store: KeyValueStore<String, i64>,
}

fn list(rows: KeyValueIterator<String, i64>) -> Result<String, ProcessorError> {
    let mut shown = Vec::new();
    for row in rows {
        let (key, n) = row?;
        shown.push(format!("{key}={n}"));
    }
    Ok(shown.join(" "))
}

impl Processor for Shell {
    type KIn = String;
    type VIn = String;
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut Context<'_, String, String>,
    ) -> Result<(), ProcessorError> {
        let words: Vec<String> = record.value.split(' ').map(text).collect();
        let number = |word: &str| word.parse::<i64>().map_err(|_| ProcessorError::bad_record("no_number"));
        let shown = |n: Option<i64>| n.map_or(text("none"), |n| n.to_string());
        let answer = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["put", key, n] => {
                self.store.put(&text(key), &number(n)?)?;
                return Ok(());
            }
            ["put_if_absent", key, n] => shown(self.store.put_if_absent(&text(key), &number(n)?)?),
            ["delete", key] => shown(self.store.delete(&text(key))?),
            ["get", key] => shown(self.store.get(&text(key))?),
            ["range", from, to] => list(self.store.range(text(from)..=text(to))?)?,
            ["reverse_range", from, to] => list(self.store.reverse_range(text(from)..=text(to))?)?,
            ["prefix", prefix] => list(self.store.prefix_scan_with(&text(prefix), &Utf8)?)?,
            ["all"] => list(self.store.all()?)?,
            ["reverse_all"] => list(self.store.reverse_all()?)?,
            ["count"] => self.store.approximate_count()?.to_string(),
            _ => return Err(ProcessorError::bad_record("no_command")),
        };
        context.forward(record.with_value(answer))
    }
}

fn shell(store: Materialized<String, i64>) -> (TopologyTestDriver, KeyValueStoreRef<String, i64>) {
    let builder = StreamsBuilder::new();
    let store = builder.key_value_store(store);
    builder.stream(&TEXT).process("shell", &store, |store| Shell { store }).to(&TEXT_OUT);
    (TopologyTestDriver::builder(builder.build().unwrap()).build(), store)
}

fn ask(driver: &mut TopologyTestDriver, command: &str) -> String {
    driver.pipe(&TEXT, text("k"), text(command), 0);
    driver.read_uncommitted(&TEXT_OUT).pop().map(|(_, answer)| answer).unwrap_or_default()
}

fn in_memory() -> Materialized<String, i64> {
    Materialized::in_memory("fruit", &Utf8, &Int64)
}

fn persistent() -> Materialized<String, i64> {
    Materialized::persistent("fruit", &Utf8, &Int64)
}

const QUESTIONS: &[(&str, &str)] = &[
    ("get apple", "1"),
    ("get melon", "none"),
    ("range apricot cherry", "apricot=20 cherry=4"),
    ("reverse_range apricot cherry", "cherry=4 apricot=20"),
    ("prefix ap", "apple=1 apricot=20"),
    ("prefix b", ""),
    ("all", "apple=1 apricot=20 cherry=4 date=5"),
    ("reverse_all", "date=5 cherry=4 apricot=20 apple=1"),
    ("put_if_absent apple 9", "1"),
    ("delete melon", "none"),
];

/// Half of the rows is committed before the other half is written, over and beside it.
fn fill(driver: &mut TopologyTestDriver) {
    for command in ["put apple 1", "put apricot 2", "put banana 3"] {
        ask(driver, command);
    }
    driver.commit();
    for command in ["put apricot 20", "put cherry 4"] {
        ask(driver, command);
    }
    assert_eq!(ask(driver, "delete banana"), "3");
    assert_eq!(ask(driver, "put_if_absent date 5"), "none");
}

fn questions(driver: &mut TopologyTestDriver) {
    for (question, answer) in QUESTIONS {
        assert_eq!(&ask(driver, question), answer, "{question}");
    }
}

#[test]
fn reads_see_committed_and_uncommitted_writes_as_one() {
    for store in [in_memory(), persistent()] {
        let (mut driver, _) = shell(store);
        fill(&mut driver);
        questions(&mut driver);
        driver.commit();
        questions(&mut driver);
        assert_eq!(ask(&mut driver, "count"), "4");
    }
}

#[test]
fn rows_survive_a_crash_and_the_loss_of_the_disk() {
    for store in [in_memory(), persistent()] {
        let (mut driver, _) = shell(store);
        fill(&mut driver);
        driver.commit();
        driver.crash();
        questions(&mut driver);
        driver.crash_and_lose_disk();
        questions(&mut driver);
    }
}

#[test]
fn a_store_in_memory_is_restored_from_its_changelog_and_one_on_disk_is_not() {
    for (store, rows) in [(in_memory(), 3), (persistent(), 0)] {
        let (mut driver, fruit) = shell(store);
        for command in ["put apple 1", "put banana 2", "put cherry 3"] {
            ask(&mut driver, command);
        }
        driver.commit();
        driver.crash();
        let restored: u64 = driver.thread().tasks().map(|task| task.counters().restored).sum();
        assert_eq!(restored, rows);
        assert_eq!(driver.get(&fruit, &text("banana")), Some(2));
    }
}

#[test]
fn a_crash_takes_back_what_was_not_committed() {
    let (mut driver, fruit) = shell(persistent());
    ask(&mut driver, "put apple 1");
    driver.commit();
    ask(&mut driver, "put apple 2");
    assert_eq!(driver.get(&fruit, &text("apple")), Some(2));
    driver.broker().delete_group_offsets("no-such-group");
    let end = driver.broker().partitions("text");
    // The second command is cut from the input, so that nothing writes it again.
    driver.broker().truncate(&end[0], millpond::record::Offset(1));
    driver.crash();
    assert_eq!(driver.get(&fruit, &text("apple")), Some(1));
}

#[test]
fn a_store_without_a_changelog_lives_as_long_as_its_disk() {
    let (mut driver, fruit) = shell(persistent().without_changelog());
    ask(&mut driver, "put apple 1");
    driver.commit();
    assert_eq!(driver.broker().partitions("test-fruit-changelog"), []);
    driver.crash();
    assert_eq!(driver.get(&fruit, &text("apple")), Some(1));
    driver.crash_and_lose_disk();
    assert_eq!(driver.get(&fruit, &text("apple")), None);
}
