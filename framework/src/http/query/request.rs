//! From a request to a question, and from a question to the request that another instance understands. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::problem::Problem;
use crate::formats::{KeyError, StoreFormat, bytes_of, hex};
use crate::record::{Partition, TaskId};
use crate::runtime::query::{Ask, Bound};
use crate::state::KeyRange;

/// Rows of an answer unless the request says how many.
const ROWS_USUAL: usize = 100;
/// The most rows that an answer has.
pub(super) const ROWS_MAX: usize = 1_000;
/// Rows that are counted on each partition.
pub(super) const COUNT_MAX: usize = 100_000;
/// Bytes of rows in an answer, and the least that each partition may bring.
pub(super) const BYTES_MAX: usize = 1 << 20;
const BYTES_MIN: usize = 64 << 10;

/// What may be said behind the question mark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    pub(super) key: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) after: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) partition: Option<i32>,
    pub(super) max_lag: Option<u64>,
    pub(super) max_age_ms: Option<u64>,
}

/// The same between instances: keys are bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartParams {
    /// Whose partition: another application may have taken the address over.
    pub(super) application: String,
    ask: String,
    key: Option<String>,
    from: Option<String>,
    to: Option<String>,
    rows: Option<usize>,
    bytes: Option<usize>,
    max_lag: Option<u64>,
    max_age_ms: Option<u64>,
}

/// A question and who is to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) ask: Ask,
    pub(super) bound: Bound,
    /// In the order of their partitions.
    pub(super) tasks: Vec<TaskId>,
    /// The most rows of the whole answer.
    pub(super) limit: usize,
}

/// What `what` means with these parameters, for a store with these tasks.
pub(super) fn wanted(format: &StoreFormat, what: &str, params: &Params, tasks: &[TaskId]) -> Result<Wanted, Problem> {
    let partitions = i32::try_from(tasks.len()).unwrap_or(i32::MAX);
    let limit = params.limit.unwrap_or(ROWS_USUAL).clamp(1, ROWS_MAX);
    let (ask, partition) = match what {
        "get" => {
            params.only(what, &["key"])?;
            let key = params.key.as_deref().ok_or_else(|| Problem::bad("say key"))?;
            let key = format.parse(key).map_err(|error| misfit(&error))?;
            let partition = format.partition(&key, partitions).map_err(|error| misfit(&error))?;
            (Ask::Get(key.into()), Some(partition))
        }
        "range" | "prefix" => {
            let own: &[&str] = if what == "range" { &["from", "to"] } else { &["prefix"] };
            params.only(what, &[own, &["after", "limit", "partition"]].concat())?;
            if what == "prefix" && params.prefix.is_none() {
                return Err(Problem::bad("say prefix"));
            }
            let (mut range, partition) = range(format, params, partitions)?;
            if let Some(after) = &params.after {
                let mut after = bytes_of(after).map_err(|error| misfit(&error))?;
                after.push(0);
                range.start = range.start.max(after);
            }
            let share = (BYTES_MAX / tasks.len().max(1)).max(BYTES_MIN);
            (Ask::Rows { range, rows_max: limit, bytes_max: share }, partition)
        }
        "count" => {
            params.only(what, &["from", "to", "prefix", "partition"])?;
            if params.from.is_none() && params.to.is_none() && params.prefix.is_none() {
                (Ask::ApproximateCount, None)
            } else {
                let (range, partition) = range(format, params, partitions)?;
                (Ask::Count { range, rows_max: COUNT_MAX }, partition)
            }
        }
        _ => return Err(Problem::bad("ask for get, range, prefix or count")),
    };
    let partition = params.partition.map(Partition).or(partition);
    let tasks: Vec<TaskId> =
        tasks.iter().filter(|task| partition.is_none_or(|only| task.partition == only)).copied().collect();
    if tasks.is_empty() {
        return Err(Problem::bad(format!("the store has partitions 0 to {}", partitions - 1)));
    }
    Ok(Wanted { ask, bound: bound(params.max_lag, params.max_age_ms), tasks, limit })
}

fn range(format: &StoreFormat, params: &Params, partitions: i32) -> Result<(KeyRange, Option<Partition>), Problem> {
    if let Some(prefix) = &params.prefix {
        if params.from.is_some() || params.to.is_some() {
            return Err(Problem::bad("say prefix, or from and to"));
        }
        let (prefix, partition) = format.parse_prefix(prefix, partitions).map_err(|error| misfit(&error))?;
        return Ok((KeyRange::prefix(&prefix), partition));
    }
    let key = |text: &String| format.parse(text).map_err(|error| misfit(&error));
    let start = params.from.as_ref().map(key).transpose()?.unwrap_or_default();
    let mut end = params.to.as_ref().map(key).transpose()?;
    if let Some(end) = &mut end {
        // Included, as in Kafka: the next possible key is not.
        end.push(0);
    }
    Ok((KeyRange { start, end }, None))
}

fn misfit(error: &KeyError) -> Problem {
    Problem::bad(format!("that is no key of this store: {error}"))
}

fn bound(lag_max: Option<u64>, age_max_ms: Option<u64>) -> Bound {
    Bound { lag_max, age_max: age_max_ms.map(Duration::from_millis) }
}

impl Params {
    /// Refuses what has no meaning there, instead of leaving it unheard.
    fn only(&self, what: &str, known: &[&str]) -> Result<(), Problem> {
        for (name, said) in [
            ("key", self.key.is_some()),
            ("prefix", self.prefix.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("after", self.after.is_some()),
            ("limit", self.limit.is_some()),
            ("partition", self.partition.is_some()),
        ] {
            if said && !known.contains(&name) {
                return Err(Problem::bad(format!("{what} has no {name}; it has {}", known.join(", "))));
            }
        }
        Ok(())
    }
}

/// What stands behind the question mark when the owner of a partition is asked.
pub(super) fn to_part(application: &str, ask: &Ask, bound: &Bound) -> String {
    let mut query = format!("application={application}");
    let mut add = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a text does not fail.
        let _ = write!(query, "&{name}={value}");
    };
    let add_range = |add: &mut dyn FnMut(&str, &dyn std::fmt::Display), range: &KeyRange| {
        add("from", &hex(&range.start));
        if let Some(end) = &range.end {
            add("to", &hex(end));
        }
    };
    match ask {
        Ask::Get(key) => {
            add("ask", &"get");
            add("key", &hex(key));
        }
        Ask::Rows { range, rows_max, bytes_max } => {
            add("ask", &"rows");
            add_range(&mut add, range);
            add("rows", rows_max);
            add("bytes", bytes_max);
        }
        Ask::Count { range, rows_max } => {
            add("ask", &"count");
            add_range(&mut add, range);
            add("rows", rows_max);
        }
        Ask::ApproximateCount => add("ask", &"estimate"),
    }
    if let Some(lag) = bound.lag_max {
        add("max_lag", &lag);
    }
    if let Some(age) = bound.age_max {
        add("max_age_ms", &age.as_millis());
    }
    query
}

/// The opposite of [`to_part`], with the limits of this instance.
pub(super) fn of_part(params: &PartParams) -> Result<(Ask, Bound), Problem> {
    let bytes = |text: &Option<String>| {
        let bytes = text.as_deref().map(bytes_of).transpose();
        bytes.map_err(|error| misfit(&error))
    };
    let range = KeyRange { start: bytes(&params.from)?.unwrap_or_default(), end: bytes(&params.to)? };
    let ask = match params.ask.as_str() {
        "get" => Ask::Get(Bytes::from(bytes(&params.key)?.ok_or_else(|| Problem::bad("say key"))?)),
        "rows" => Ask::Rows {
            range,
            rows_max: params.rows.unwrap_or(ROWS_USUAL).clamp(1, ROWS_MAX),
            bytes_max: params.bytes.unwrap_or(BYTES_MIN).min(BYTES_MAX),
        },
        "count" => Ask::Count { range, rows_max: params.rows.unwrap_or(COUNT_MAX).min(COUNT_MAX) },
        "estimate" => Ask::ApproximateCount,
        _ => return Err(Problem::bad("ask is get, rows, count or estimate")),
    };
    Ok((ask, bound(params.max_lag, params.max_age_ms)))
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;

    use super::*;

    fn asks() -> Vec<Ask> {
        let range = KeyRange { start: b"a&=\xff".to_vec(), end: Some(b"b \0".to_vec()) };
        vec![
            Ask::Get(Bytes::from_static(b"\x00key%")),
            Ask::Rows { range: range.clone(), rows_max: 7, bytes_max: 70_000 },
            Ask::Rows { range: KeyRange::all(), rows_max: 1, bytes_max: 1 },
            Ask::Count { range, rows_max: 9 },
            Ask::ApproximateCount,
        ]
    }

    fn read_back(query: &str) -> (Ask, Bound) {
        let uri = format!("/stores/table/partitions/0?{query}").parse().unwrap();
        let Query(params) = Query::<PartParams>::try_from_uri(&uri).unwrap();
        assert_eq!(params.application, "shop");
        of_part(&params).unwrap()
    }

    #[test]
    fn what_an_instance_asks_its_peer_understands() {
        let bounds = [Bound::default(), Bound { lag_max: Some(0), age_max: Some(Duration::from_millis(1_500)) }];
        for bound in bounds {
            for ask in asks() {
                assert_eq!(read_back(&to_part("shop", &ask, &bound)), (ask, bound));
            }
        }
    }

    /// A peer of another version, or whoever asks in its place, gets no more than anybody else.
    #[test]
    fn a_peer_is_held_to_the_same_limits() {
        let huge = Ask::Rows { range: KeyRange::all(), rows_max: usize::MAX, bytes_max: usize::MAX };
        let (ask, _) = read_back(&to_part("shop", &huge, &Bound::default()));
        assert_eq!(ask, Ask::Rows { range: KeyRange::all(), rows_max: ROWS_MAX, bytes_max: BYTES_MAX });
        let huge = Ask::Count { range: KeyRange::all(), rows_max: usize::MAX };
        let (ask, _) = read_back(&to_part("shop", &huge, &Bound::default()));
        assert_eq!(ask, Ask::Count { range: KeyRange::all(), rows_max: COUNT_MAX });
    }
}
