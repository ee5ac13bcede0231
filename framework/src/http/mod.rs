//! The HTTP edge: metrics, health, the topology and a status page, for people and for machines.
//!
//! | Path | Answer |
//! |---|---|
//! | `/metrics` | Prometheus's text format |
//! | `/livez` | 200 while every loop comes round; else 503 with reasons |
//! | `/readyz` | 200 while everything is assigned, restored and running; else 503 with reasons |
//! | `/topology` | Kafka Streams' text; `?format=mermaid`, `?format=json` |
//! | `/api/status` | everything on the page, as JSON |
//! | `/` | the page: for people; no requests to elsewhere, and nothing is missing without JavaScript |
//! | `/events` | what has changed on the page, about once a second, as server-sent events |
//! | `/admin/log-level` | what is logged; `PUT` with `?filter=debug` changes it. Only with a token, see [`Admin`] |
//! | `/stores/…` | committed rows of stores, with `queries = on`: see [`QuerySource`] |
//!
//! Nothing is changed by any path but the one for admins, and but for queries nothing of a record's content is shown.
//!
//! Whoever reaches the address may read: it is 127.0.0.1 unless `http.listen` says another. Requests have a `Host` that is an
//! address, `localhost`, a name without a dot or one of `http.hosts`, and no body; connections and their time are limited.

#![allow(
    clippy::disallowed_methods,
    reason = "an edge: it has a thread of its own, and ages are counted by the real clock"
)]

mod admin;
mod format;
mod graph;
mod guard;
mod history;
mod layout;
mod listen;
mod live;
#[cfg(any(test, feature = "testing"))]
pub mod outside;
mod page;
mod picture;
mod query;
mod refused;
mod server;
mod status;
mod story;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::OwnMetrics;
use crate::runtime::config::{Setting, StreamsConfig};
use crate::runtime::process::Probe;
use crate::runtime::stats::StatusBoard;
use crate::time::Timestamp;
use crate::topology::Topology;

pub use admin::{Admin, LogFilter};
pub use graph::{Graph, VertexId};
pub use history::Traffic;
pub use query::{Owners, QuerySource};
pub use server::{HttpBound, HttpError, HttpServer};
pub use story::{Block, Fact, Mark, Section, Share, Story, Timeline, Tone};

/// What the server tells about.
#[derive(Debug, Clone)]
pub struct StatusSource {
    /// `application.id`.
    pub application_id: String,
    /// The application's version.
    pub version: String,
    /// Where threads publish.
    pub board: StatusBoard,
    /// Reads what belongs to the process and not to a thread, for metrics.
    pub probe: Probe,
    /// The application's own metrics, if it has any.
    pub own: Option<Arc<dyn OwnMetrics>>,
    /// The topology in its forms.
    pub topology: TopologyText,
    /// The effective configuration, masked.
    pub settings: Vec<Setting>,
    /// Names under which the page may be asked for, beside addresses and names without a dot; `*.` stands for all below.
    pub hosts: Vec<String>,
    /// How long a loop may be silent before it counts as stuck.
    pub silence_max: Duration,
    /// When the application was started, by the wall clock.
    pub started: Timestamp,
    /// The application's own section of the page.
    pub story: Option<Arc<dyn Story>>,
    /// What may be changed, and by whom; nothing by nobody when absent.
    pub admin: Option<Admin>,
    /// What queries are answered from; without it they are off.
    pub queries: Option<QuerySource>,
}

/// The topology in each form in which it is served.
#[derive(Debug, Clone, Default)]
pub struct TopologyText {
    /// Kafka Streams' text.
    pub text: String,
    /// Mermaid.
    pub mermaid: String,
    /// JSON; served as it is.
    pub json: String,
    /// What the page draws.
    pub graph: Graph,
}

impl From<&Topology> for TopologyText {
    fn from(topology: &Topology) -> Self {
        Self {
            text: topology.describe().to_string(),
            mermaid: topology.mermaid(),
            json: topology.to_json(),
            graph: Graph::from(topology),
        }
    }
}

impl StatusSource {
    /// For an application of that configuration.
    pub fn new(config: &StreamsConfig, version: impl Into<String>, board: StatusBoard, topology: TopologyText) -> Self {
        Self {
            application_id: config.application_id.clone(),
            version: version.into(),
            board,
            probe: Probe::default(),
            own: None,
            topology,
            settings: config.settings(),
            hosts: config.http_hosts.clone(),
            // A loop that is silent for longer has lost its partitions to the others: only a restart helps.
            silence_max: config.max_poll_interval,
            started: status::now(),
            story: None,
            admin: None,
            queries: None,
        }
    }

    /// The same with a section of the application's own.
    #[must_use]
    pub fn telling(mut self, story: Arc<dyn Story>) -> Self {
        self.story = Some(story);
        self
    }
}
