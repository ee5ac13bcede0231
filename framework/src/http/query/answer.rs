//! Answers as JSON: those of one partition, which instances give each other, and all of them together. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::formats::{StoreFormat, hex};
use crate::record::TaskId;
use crate::runtime::query::{Answer, Found, Position};

/// The answer of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) partition: i32,
    pub(super) task: String,
    /// The instance that owns it, by its address.
    pub(super) instance: String,
    pub(super) position: PositionJson,
    pub(super) found: PartFound,
}

/// What the answer contains of the task's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PositionJson {
    /// Number of the task's commit.
    sequence: u64,
    /// Stream time at that commit; absent before the first record.
    stream_time_ms: Option<i64>,
    /// Records that are not in the answer; absent while an input's end is not known.
    lag_records: Option<u64>,
    /// Age of the oldest of them, where it is known.
    age_ms: Option<u64>,
    inputs: Vec<InputJson>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct InputJson {
    topic: String,
    partition: i32,
    /// The offset that the answer reaches.
    committed: Option<i64>,
    /// Where the input ends, as last heard.
    end: Option<i64>,
}

/// What one partition has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PartFound {
    Value { found: bool, value: Value, masked: bool },
    Rows { rows: Vec<Row>, more: bool },
    Count { count: u64, exact: bool },
}

/// A row. Its key's bytes are its place among those of other partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    bytes: String,
    key: Value,
    value: Value,
}

impl From<&Position> for PositionJson {
    fn from(position: &Position) -> Self {
        let inputs = position.inputs.iter().map(|input| InputJson {
            topic: input.topic.to_string(),
            partition: input.partition.0,
            committed: input.committed.map(|offset| offset.0),
            end: input.end.map(|offset| offset.0),
        });
        Self {
            sequence: position.sequence,
            stream_time_ms: position.stream_time.is_some().then(|| position.stream_time.as_millis()),
            lag_records: position.lag(),
            age_ms: position.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            inputs: inputs.collect(),
        }
    }
}

/// Key or value as JSON. What its serde refuses is shown as its bytes.
fn shown(decoded: Result<Value, crate::serde::SerdeError>, bytes: &[u8]) -> Value {
    decoded.unwrap_or_else(|error| json!({ "undecodable": hex(bytes), "reason": error.to_string() }))
}

/// What a thread of this process has answered, as far as it may be shown.
pub(super) fn part(format: &StoreFormat, masked: bool, task: TaskId, instance: &str, answer: Answer) -> Part {
    let found = match answer.found {
        Found::Value(value) => PartFound::Value {
            found: value.is_some(),
            value: value.filter(|_| !masked).map_or(Value::Null, |value| shown(format.value(&value), &value)),
            masked,
        },
        // Not asked of a masked store; nothing of it is shown all the same.
        Found::Rows { .. } if masked => PartFound::Rows { rows: Vec::new(), more: false },
        Found::Rows { rows, more } => {
            let row = |(key, value): &(bytes::Bytes, bytes::Bytes)| Row {
                bytes: hex(key),
                key: shown(format.key(key), key),
                value: shown(format.value(value), value),
            };
            PartFound::Rows { rows: rows.iter().map(row).collect(), more }
        }
        Found::Count { count, exact } => PartFound::Count { count, exact },
    };
    let position = PositionJson::from(&answer.position);
    Part { partition: task.partition.0, task: task.to_string(), instance: instance.to_owned(), position, found }
}

impl Part {
    /// The same without what must not be shown here, whatever the owner shows.
    pub(super) fn hidden(mut self) -> Self {
        self.found = match self.found {
            PartFound::Value { found, .. } => PartFound::Value { found, value: Value::Null, masked: true },
            PartFound::Rows { .. } => PartFound::Rows { rows: Vec::new(), more: false },
            count @ PartFound::Count { .. } => count,
        };
        self
    }
}

/// All partitions together, at most `limit` rows.
pub(super) fn whole(store: &str, parts: Vec<Part>, limit: usize) -> Value {
    let (mut lists, mut total, mut exact) = (Vec::new(), 0_u64, true);
    let (mut partitions, mut found) = (Vec::new(), json!({}));
    for part in parts {
        let Part { partition, task, instance, position, found: part } = part;
        partitions.push(json!({ "partition": partition, "task": task, "instance": instance, "position": position }));
        match part {
            PartFound::Value { found: is_found, value, masked } => {
                found = json!({ "found": is_found, "value": value, "masked": masked });
            }
            PartFound::Rows { rows, more } => lists.push((rows, more)),
            PartFound::Count { count, exact: counted } => {
                // What another instance says may be anything.
                total = total.saturating_add(count);
                exact &= counted;
                found = json!({ "count": total, "exact": exact });
            }
        }
    }
    if !lists.is_empty() {
        let (rows, next) = merged(lists, limit);
        let rows: Vec<Value> = rows.into_iter().map(|row| json!({ "key": row.key, "value": row.value })).collect();
        found = json!({ "rows": rows, "next": next });
    }
    let mut answer = json!({ "store": store, "partitions": partitions });
    if let (Value::Object(answer), Value::Object(found)) = (&mut answer, found) {
        answer.extend(found);
    }
    answer
}

/// The first rows of all lists in the order of their keys' bytes, and the key to go on behind when there are more. A list that
/// goes on (`true`) hides rows behind its end: nothing behind it may be shown yet.
fn merged(lists: Vec<(Vec<Row>, bool)>, limit: usize) -> (Vec<Row>, Option<String>) {
    // Digits of equal length per byte: their order is that of the bytes.
    let ends = lists.iter().filter(|(_, more)| *more).filter_map(|(rows, _)| rows.last());
    let reach = ends.map(|row| row.bytes.clone()).min();
    let mut more = reach.is_some();
    let mut rows: Vec<Row> = lists.into_iter().flat_map(|(rows, _)| rows).collect();
    rows.retain(|row| reach.as_ref().is_none_or(|reach| row.bytes <= *reach));
    rows.sort_by(|one, other| one.bytes.cmp(&other.bytes));
    more |= rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.bytes.clone());
    (rows, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(keys: &[u8]) -> Vec<Row> {
        keys.iter().map(|&key| Row { bytes: hex(&[key]), key: key.into(), value: Value::Null }).collect()
    }

    fn keys(rows: &[Row]) -> Vec<u64> {
        rows.iter().map(|row| row.key.as_u64().unwrap()).collect()
    }

    #[test]
    fn rows_of_all_partitions_come_in_the_order_of_their_keys() {
        let (merged, next) =
            merged(vec![(rows(&[2, 9, 200]), false), (rows(&[]), false), (rows(&[1, 10]), false)], 100);
        assert_eq!((keys(&merged), next), (vec![1, 2, 9, 10, 200], None));
    }

    #[test]
    fn no_row_is_passed_over_where_a_partition_has_told_only_a_part() {
        let cut = merged(vec![(rows(&[5, 7]), true), (rows(&[1, 6, 8]), false)], 100);
        assert_eq!((keys(&cut.0), cut.1), (vec![1, 5, 6, 7], Some("0x07".into())), "8 may come after a hidden row");
        let limited = merged(vec![(rows(&[1, 3]), false), (rows(&[2, 4]), false)], 3);
        assert_eq!((keys(&limited.0), limited.1), (vec![1, 2, 3], Some("0x03".into())));
        let all = merged(vec![(rows(&[1, 3]), false), (rows(&[2]), false)], 3);
        assert_eq!((keys(&all.0), all.1), (vec![1, 2, 3], None));
    }

    #[test]
    fn a_count_that_cannot_be_stops_nothing() {
        let position =
            PositionJson { sequence: 1, stream_time_ms: None, lag_records: None, age_ms: None, inputs: vec![] };
        let part = |count| Part {
            partition: 0,
            task: "1_0".into(),
            instance: "h:1".into(),
            position: position.clone(),
            found: PartFound::Count { count, exact: true },
        };
        let whole = whole("store", vec![part(u64::MAX), part(7)], 1);
        assert_eq!((&whole["count"], &whole["exact"]), (&json!(u64::MAX), &json!(true)));
    }

    /// Asked page by page, a range has every row once, however little each partition tells at a time.
    #[test]
    fn pages_have_every_row_once() {
        let partitions: [Vec<u8>; 3] = [(0..90).step_by(3).collect(), (1..90).step_by(3).collect(), vec![2, 89]];
        for (share, limit) in [(1, 1), (1, 100), (2, 3), (5, 2), (100, 7)] {
            let (mut all, mut after) = (Vec::new(), None::<String>);
            for page in 0.. {
                assert!(page < 200, "share={share} limit={limit}: no end");
                let lists = partitions.iter().map(|keys| {
                    let rest =
                        rows(keys).into_iter().filter(|row| after.as_ref().is_none_or(|after| row.bytes > *after));
                    let rest: Vec<Row> = rest.collect();
                    (rest.iter().take(share).cloned().collect(), rest.len() > share)
                });
                let (page, next) = merged(lists.collect(), limit);
                all.extend(keys(&page));
                after = next;
                if after.is_none() {
                    break;
                }
            }
            let mut expected: Vec<u64> = partitions.iter().flatten().map(|&key| key.into()).collect();
            expected.sort_unstable();
            assert_eq!(all, expected, "share={share} limit={limit}");
        }
    }
}
