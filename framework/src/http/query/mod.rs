//! Queries: committed rows of stores as JSON, asked of any instance and answered by the one that owns the partition.
//!
//! | Path | Answer |
//! |---|---|
//! | `/stores` | the stores that can be asked, with the owner of each partition |
//! | `/stores/{store}/get?key=` | the value of a key |
//! | `/stores/{store}/range?from=&to=` | rows in key order, both bounds included, either may be absent |
//! | `/stores/{store}/prefix?prefix=` | rows whose keys begin so |
//! | `/stores/{store}/count` | how many rows: an estimate, or counted with `from`, `to` or `prefix` |
//! | `/stores/{store}/partitions/{partition}` | what instances ask each other: one partition, keys as bytes |
//!
//! Keys are texts as they are, or JSON: `key=["u1","o7"]`. Rows come at most `limit` at a time (100, and 1,000 at most); `next`
//! in an answer goes into the `after` of the next request. `partition` asks one partition only. `max_lag` (records) and
//! `max_age_ms` refuse what is more stale with 503.
//!
//! 421 means that the instance does not own the partition, which only the last path answers: the others pass the request on,
//! once. 503 and 429 say in `Retry-After` when to ask again, and in the body why.
//!
//! Rows of a store count as personal data unless the application says otherwise: then a value is `null` with
//! `"masked": true`, and neither rows nor counts of a part of the keys are shown, from which keys could be guessed.

mod answer;
mod directory;
mod forward;
#[cfg(any(test, feature = "testing"))]
pub(super) mod outside;
mod problem;
mod request;
mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::problem::Problem;
use self::request::{Params, PartParams};
use self::service::Service;
use crate::formats::StoreFormats;
use crate::record::TopicPartition;
use crate::runtime::query::Queries;

type Failed = Box<dyn std::error::Error + Send + Sync>;
type ReadOwners = dyn Fn() -> Result<BTreeMap<TopicPartition, String>, Failed> + Send + Sync;

/// Where the owner of each partition answers queries, as the group knows it.
#[derive(Clone)]
pub struct Owners(Arc<ReadOwners>);

impl Owners {
    /// Asks `read` for the addresses, on a thread of its own, at most once a second: it may block.
    pub fn new(read: impl Fn() -> Result<BTreeMap<TopicPartition, String>, Failed> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").finish_non_exhaustive()
    }
}

/// What queries are answered from.
#[derive(Debug, Clone)]
pub struct QuerySource {
    /// The running application.
    pub queries: Queries,
    /// How rows are shown. A store that is not in it cannot be asked.
    pub formats: Arc<StoreFormats>,
    /// Stores whose rows are shown although they may tell something about a person.
    pub unmasked: Vec<String>,
    /// Where this process answers, `host:port`, as the group knows it.
    pub address: String,
    /// Where the others answer.
    pub owners: Owners,
}

/// The paths above; without a source each says that queries are off.
pub(super) fn routes(source: Option<QuerySource>, application_id: &str) -> Router {
    let Some(source) = source else {
        let off = || async { Problem::off().into_response() };
        return Router::new().route("/stores", get(off)).route("/stores/{*rest}", get(off));
    };
    Router::new()
        .route("/stores", get(stores))
        .route("/stores/{store}/{what}", get(ask))
        .route("/stores/{store}/partitions/{partition}", get(part))
        .with_state(Arc::new(Service::new(source, application_id)))
}

type Asked = State<Arc<Service>>;

async fn stores(State(service): Asked) -> Response {
    axum::Json(service.stores().await).into_response()
}

async fn ask(
    State(service): Asked,
    Path((store, what)): Path<(String, String)>,
    params: Result<Query<Params>, QueryRejection>,
) -> Response {
    let answer = async { service.answer(&store, &what, &read(params)?).await };
    answer.await.map_or_else(IntoResponse::into_response, |answer| axum::Json(answer).into_response())
}

async fn part(
    State(service): Asked,
    Path((store, partition)): Path<(String, i32)>,
    params: Result<Query<PartParams>, QueryRejection>,
) -> Response {
    let answer = async { service.answer_part(&store, partition, &read(params)?).await };
    answer.await.map_or_else(IntoResponse::into_response, |answer| axum::Json(answer).into_response())
}

fn read<T>(params: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    params.map(|Query(params)| params).map_err(|rejection| Problem::bad(rejection.body_text()))
}
