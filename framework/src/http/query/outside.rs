//! For fuzzers: what anybody may ask, and what may come back from another instance, with what must be true of it.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde_json::Value;

use super::answer::{self, Part};
use super::problem::Problem;
use super::request::{self, BYTES_MAX, COUNT_MAX, Params, PartParams, ROWS_MAX};
use crate::formats::StoreFormat;
use crate::record::{Partition, TaskId};
use crate::runtime::query::{Ask, Bound};
use crate::state::KeyRange;

/// Of the store that is asked.
const PARTITIONS: i32 = 4;
/// A longer question does not fit into the address of a request.
const TOLD_MAX: usize = 60_000;
const OWNER: &str = "10.0.0.7:8080";
/// What another instance may answer with, whoever it is.
const CODES: [StatusCode; 9] = [
    StatusCode::FOUND,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Takes a text for what stands behind the question mark: of somebody who asks for a store of that format, and of another
/// instance.
///
/// # Panics
/// When a promise is broken: that is what a fuzzer looks for.
pub fn read_question(format: &StoreFormat, query: &str) {
    let Ok(uri) = format!("/stores/store/what?{query}").parse::<Uri>() else { return };
    if let Ok(Query(params)) = Query::<Params>::try_from_uri(&uri) {
        for what in ["get", "range", "prefix", "count", "look"] {
            asked(format, what, &params);
        }
    }
    if let Ok(Query(params)) = Query::<PartParams>::try_from_uri(&uri) {
        match request::of_part(&params) {
            Ok((ask, bound)) => is_bounded_and_understood(&ask, &bound),
            Err(problem) => is_refusal(&problem),
        }
    }
}

/// What is asked of the owners is within the limits and reaches them as it was meant; otherwise whoever asked is told why not.
fn asked(format: &StoreFormat, what: &str, params: &Params) {
    let tasks: Vec<TaskId> =
        (0..PARTITIONS).map(|number| TaskId { subtopology: 1, partition: Partition(number) }).collect();
    let wanted = match request::wanted(format, what, params, &tasks) {
        Ok(wanted) => wanted,
        Err(problem) => {
            is_refusal(&problem);
            return;
        }
    };
    assert!((1..=ROWS_MAX).contains(&wanted.limit), "{wanted:?}");
    assert!(!wanted.tasks.is_empty() && wanted.tasks.iter().all(|task| tasks.contains(task)), "{wanted:?}");
    is_bounded_and_understood(&wanted.ask, &wanted.bound);
    match &wanted.ask {
        Ask::Get(key) => {
            assert!(format.key(key).is_ok(), "what was taken for a key is one: {wanted:?}");
            let on = format.partition(key, PARTITIONS).ok();
            assert_eq!(wanted.tasks.iter().map(|task| Some(task.partition)).collect::<Vec<_>>(), [on], "{wanted:?}");
        }
        Ask::Rows { range, .. } | Ask::Count { range, .. } => stays_within(format, params, range),
        Ask::ApproximateCount => {}
    }
}

/// Nothing before the prefix is asked for, and nothing behind it, wherever the request goes on.
fn stays_within(format: &StoreFormat, params: &Params, range: &KeyRange) {
    let Some(prefix) = &params.prefix else { return };
    let prefix = format.parse_prefix(prefix, PARTITIONS).map(|(prefix, _)| KeyRange::prefix(&prefix));
    assert!(prefix.is_ok_and(|prefix| range.start >= prefix.start && range.end == prefix.end), "{params:?}: {range:?}");
}

fn is_bounded_and_understood(ask: &Ask, bound: &Bound) {
    match ask {
        Ask::Rows { rows_max, bytes_max, .. } => {
            assert!((1..=ROWS_MAX).contains(rows_max) && *bytes_max <= BYTES_MAX, "{ask:?}");
        }
        Ask::Count { rows_max, .. } => assert!(*rows_max <= COUNT_MAX, "{ask:?}"),
        Ask::Get(_) | Ask::ApproximateCount => {}
    }
    let told = request::to_part("shop", ask, bound);
    if told.len() > TOLD_MAX {
        return;
    }
    let uri = format!("/stores/store/partitions/0?{told}").parse::<Uri>().ok();
    let read = uri.and_then(|uri| Query::<PartParams>::try_from_uri(&uri).ok());
    let read = read.and_then(|Query(params)| request::of_part(&params).ok());
    assert_eq!(read.as_ref(), Some(&(ask.clone(), *bound)), "the owner understands {told}");
}

fn is_refusal(problem: &Problem) {
    assert!(problem.code == StatusCode::BAD_REQUEST && !problem.body.reason.is_empty(), "{problem:?}");
}

/// Takes bytes for the answer of the instance that owns a partition.
///
/// # Panics
/// When a promise is broken: that is what a fuzzer looks for.
pub fn read_answer(body: &[u8]) {
    for code in CODES {
        let problem = Problem::of_instance(OWNER, code, body);
        let passed_on = [
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        assert!(passed_on.contains(&problem.code), "{code} became {problem:?}");
        assert!(problem.body.reason.starts_with(&format!("the owner at {OWNER}: ")), "{problem:?}");
        let shown = problem.code;
        assert_eq!(problem.on(Partition(0)).into_response().status(), shown);
    }
    let Ok(part) = serde_json::from_slice::<Part>(body) else { return };
    for limit in [1, 2, ROWS_MAX] {
        let whole = answer::whole("store", vec![part.clone(), part.clone()], limit);
        assert!(rows(&whole) <= limit, "{} rows of {limit}", rows(&whole));
    }
    // The owner may show what this instance does not.
    let hidden = answer::whole("store", vec![part.hidden()], ROWS_MAX);
    let is_null = |field: &str| hidden.get(field).is_none_or(Value::is_null);
    assert!(rows(&hidden) == 0 && is_null("value") && is_null("next"), "{hidden}");
    assert!(hidden.get("value").is_none() || hidden.get("masked") == Some(&Value::Bool(true)), "{hidden}");
}

fn rows(whole: &Value) -> usize {
    whole.get("rows").and_then(Value::as_array).map_or(0, Vec::len)
}
