//! `state verify --changelog`: the rows of a store against those that its changelog gives when it is read from its beginning
//! to the place of the checkpoint. Values are compared and never shown; keys are shown as bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond::broker::kafka::KafkaBroker;
use millpond::broker::{Broker, ChangelogReader};
use millpond::formats::hex;
use millpond::record::{ConsumedRecord, Offset, TaskId, TopicPartition};
use millpond::state::KeyRange;
use millpond::state::changelog::{ChangelogKey, classify};
use millpond::state::rocksdb::TaskView;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::progress::Progress;

/// One wait for records.
const POLL: Duration = Duration::from_millis(100);
/// How long a changelog may bring nothing behind the checkpoint, where a transaction may be open.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it may bring nothing before.
const SILENCE: Duration = Duration::from_secs(30);
/// So many keys of each kind of difference are named.
const KEYS_MAX: usize = 5;

/// How a store compares with its changelog.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) instance: String,
    pub(super) task: Option<TaskId>,
    pub(super) store: String,
    changelog: String,
    at: i64,
    /// Rows that are the same.
    equal: u64,
    /// Rows whose values differ.
    different: Differing,
    /// Rows that the changelog has and the store has not.
    missing: Differing,
    /// Rows that the store has and the changelog has not.
    extra: Differing,
    /// Keys that were written again after the checkpoint: the older record may be gone, so they are not compared.
    written_since: u64,
}

/// Keys that differ in one way.
#[derive(Debug, Default)]
struct Differing {
    count: u64,
    keys: Vec<String>,
}

impl Differing {
    fn add(&mut self, key: &[u8]) {
        self.count += 1;
        if self.keys.len() < KEYS_MAX {
            self.keys.push(hex(key));
        }
    }
}

/// What a changelog says.
#[derive(Debug, Default)]
struct Folded {
    /// By key, what stands for the value: a whole store of values would not fit into memory.
    rows: BTreeMap<Bytes, (usize, u64)>,
    since: BTreeSet<Bytes>,
}

impl Folded {
    fn take(&mut self, record: ConsumedRecord, at: Offset) {
        let Some(key) = record.key.filter(|key| classify(key) == ChangelogKey::Row) else { return };
        if record.offset >= at {
            self.rows.remove(&key);
            self.since.insert(key);
        } else if let Some(value) = record.value {
            self.rows.insert(key, fingerprint(&value));
        } else {
            self.rows.remove(&key);
        }
    }
}

/// Tells values apart; the length goes along.
fn fingerprint(value: &[u8]) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    (value.len(), hasher.finish())
}

/// Compares each store of a task that has a changelog. What makes a comparison impossible is told by `bad`.
pub(super) fn compare(
    broker: &KafkaBroker,
    application_id: &str,
    (instance, view): (&str, &TaskView),
    bad: &mut impl FnMut(String),
) -> Result<Vec<Compared>, Failure> {
    let Some(checkpoint) = view.checkpoint() else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (changelog, &at) in &checkpoint.changelog {
        let own = changelog.topic.strip_prefix(&format!("{application_id}-"));
        let store = own.and_then(|own| own.strip_suffix("-changelog"));
        let Some(store) = view.stores().iter().find(|name| Some(name.as_str()) == store) else { continue };
        let described = broker.describe_topics(std::slice::from_ref(&changelog.topic))?;
        let id = described.get(&changelog.topic).map(|topic| topic.id);
        if id.is_none() || checkpoint.topic_ids.get(&changelog.topic).copied() != id {
            let what = if id.is_none() { "is not there" } else { "was deleted and made again since" };
            bad(format!("store {store}: its changelog {} {what}", changelog.topic));
            continue;
        }
        let mut reader = broker.reader()?;
        let ranges = reader.log_ranges(std::slice::from_ref(changelog), SILENCE)?;
        let (start, end) = ranges.get(changelog).map_or((Offset(0), Offset(0)), |range| (range.start, range.end));
        if at > end {
            bad(format!("store {store}: its checkpoint is at {at}, and {changelog} ends at {end}"));
            continue;
        }
        let mut folded = fold(&mut reader, changelog, (start, end), at)?;
        let mut compared = Compared {
            instance: instance.to_owned(),
            task: Some(view.task()),
            store: store.clone(),
            changelog: changelog.to_string(),
            at: at.0,
            ..Compared::default()
        };
        for row in view.scan(store, &KeyRange::all())? {
            // What cannot be read is told by who reads all rows.
            let Ok((key, value)) = row else { break };
            compared.see(&key, &value, &mut folded);
        }
        compared.written_since = folded.since.len() as u64;
        folded.rows.keys().for_each(|key| compared.missing.add(key));
        all.push(compared);
    }
    Ok(all)
}

/// Committed records from the beginning to the end; those from `at` on only by their keys.
fn fold(
    reader: &mut impl ChangelogReader,
    changelog: &TopicPartition,
    (start, end): (Offset, Offset),
    at: Offset,
) -> Result<Folded, Failure> {
    let mut folded = Folded::default();
    if start >= end {
        return Ok(folded);
    }
    let progress = Progress::over("reading", u64::try_from(end.0.saturating_sub(start.0)).unwrap_or(0));
    reader.assign(&BTreeMap::from([(changelog.clone(), start)]))?;
    let mut heard = Instant::now();
    while reader.position(changelog).is_none_or(|position| position < end) {
        let records = reader.poll(POLL)?;
        if !records.is_empty() {
            heard = Instant::now();
        }
        for record in records {
            progress.step();
            folded.take(record, at);
        }
        if reader.position(changelog).is_some_and(|position| position >= at) && heard.elapsed() > PAUSE {
            break;
        }
        if heard.elapsed() > SILENCE {
            let fix = "look at the broker that leads it; a transaction that is open hides what follows it";
            let message = format!("{changelog} brings nothing for 30 seconds");
            return Err(Failure::new("broker-unreachable", message, fix));
        }
    }
    Ok(folded)
}

impl Compared {
    fn see(&mut self, key: &[u8], value: &[u8], folded: &mut Folded) {
        if folded.since.contains(key) {
            return;
        }
        match folded.rows.remove(key) {
            Some(other) if other == fingerprint(value) => self.equal += 1,
            Some(_) => self.different.add(key),
            None => self.extra.add(key),
        }
    }

    /// What is wrong, in words; `None` when nothing is.
    pub(super) fn finding(&self) -> Option<String> {
        let kinds = [
            (&self.different, "whose values differ"),
            (&self.missing, "that the store does not have"),
            (&self.extra, "that only the store has"),
        ];
        let told = kinds.into_iter().filter(|(of, _)| of.count > 0).map(|(of, what)| {
            let more = if of.count > of.keys.len() as u64 { ", …" } else { "" };
            format!("{} rows {what} (keys {}{more})", of.count, of.keys.join(", "))
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty())
            .then(|| format!("store {} against {} before {}: {}", self.store, self.changelog, self.at, told.join("; ")))
    }

    pub(super) fn json(&self) -> Value {
        let of = |differing: &Differing| json!({ "rows": differing.count, "keys": differing.keys });
        json!({
            "instance": self.instance, "task": self.task.map(|task| task.to_string()), "store": self.store,
            "changelog": self.changelog, "before": self.at, "equal": self.equal, "different": of(&self.different),
            "missing": of(&self.missing), "extra": of(&self.extra), "written_since": self.written_since,
        })
    }

    pub(super) fn text(&self) -> String {
        let task = self.task.map(|task| task.to_string()).unwrap_or_default();
        let since = match self.written_since {
            0 => String::new(),
            keys => format!(", {keys} keys written since are not compared"),
        };
        let (instance, store, changelog) = (&self.instance, &self.store, &self.changelog);
        format!("{instance} {task}: store {store}: {} rows as {changelog} before {}{since}", self.equal, self.at)
    }
}

#[cfg(test)]
mod tests {
    use millpond::record::{Headers, Partition};
    use millpond::state::changelog::commit_key;
    use millpond::time::Timestamp;

    use super::*;

    fn record(offset: i64, key: &[u8], value: Option<&[u8]>) -> ConsumedRecord {
        ConsumedRecord {
            source: TopicPartition::new("shop-carts-changelog", Partition(0)),
            offset: Offset(offset),
            timestamp: Timestamp::EPOCH,
            key: Some(Bytes::copy_from_slice(key)),
            value: value.map(Bytes::copy_from_slice),
            headers: Headers::new(),
        }
    }

    fn folded(at: i64) -> Folded {
        let mut folded = Folded::default();
        let commit = commit_key(TaskId { subtopology: 0, partition: Partition(0) });
        for record in [
            record(0, b"a", Some(b"old")),
            record(1, b"b", Some(b"1")),
            record(2, b"a", Some(b"1")),
            record(3, b"gone", Some(b"1")),
            record(4, b"gone", None),
            record(5, &commit, Some(b"{}")),
            record(7, b"late", Some(b"1")),
        ] {
            folded.take(record, Offset(at));
        }
        folded
    }

    fn compared(at: i64, rows: &[(&[u8], &[u8])]) -> Compared {
        let (mut folded, mut compared) = (folded(at), Compared { at, ..Compared::default() });
        for (key, value) in rows {
            compared.see(key, value, &mut folded);
        }
        compared.written_since = folded.since.len() as u64;
        folded.rows.keys().for_each(|key| compared.missing.add(key));
        compared
    }

    #[test]
    fn a_store_that_is_what_its_changelog_says_has_no_finding() {
        let same = compared(7, &[(b"a", b"1"), (b"b", b"1"), (b"late", b"whatever")]);
        assert_eq!((same.equal, same.written_since, same.finding()), (2, 1, None));
    }

    #[test]
    fn rows_that_differ_are_counted_and_their_keys_named_and_no_value_is() {
        let other = compared(8, &[(b"a", b"secret"), (b"gone", b"secret"), (b"late", b"1")]);
        let finding = other.finding().unwrap();
        assert!(finding.contains("1 rows whose values differ (keys 0x61)"), "{finding}");
        assert!(finding.contains("1 rows that the store does not have (keys 0x62)"), "{finding}");
        assert!(finding.contains("1 rows that only the store has (keys 0x676f6e65)"), "{finding}");
        assert!(!format!("{finding}{}", other.json()).contains("secret"));
        let many: Vec<Vec<u8>> = (0..9).map(|n| vec![b'x', n]).collect();
        let many: Vec<(&[u8], &[u8])> = many.iter().map(|key| (key.as_slice(), &b""[..])).collect();
        assert!(compared(7, &many).finding().unwrap().contains("9 rows that only the store has (keys 0x7800, "));
    }
}
