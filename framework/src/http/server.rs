//! The listener on a small runtime of its own: no stream thread ever waits for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::guard::guard;
use super::listen::serve;
use super::status::{Status, now};
use super::{StatusSource, page};
use crate::error::Recovery;
use crate::metrics;
use crate::runtime::health;

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address is taken, or not one of this machine.
    #[error("cannot listen on address={address}; say another http.listen, or none")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gave no thread or no event queue.
    #[error("the HTTP server's thread cannot start")]
    Start(#[source] std::io::Error),
}

impl HttpError {
    /// What the caller must do.
    pub const fn recovery(&self) -> Recovery {
        Recovery::Shutdown
    }
}

/// A running server. Dropping it stops it: no new connection is taken, and requests under way get two seconds.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens on exactly that address; port 0 takes a free one, see [`address`](Self::address). It answers when this
    /// returns.
    ///
    /// # Errors
    /// [`HttpError`]: say another address.
    pub fn start(address: SocketAddr, source: StatusSource) -> Result<Self, HttpError> {
        let bind = |source| HttpError::Bind { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        if !address.ip().is_loopback() {
            tracing::info!(%address, "metrics and status page are open to other machines, and ask nobody who they are");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HttpError::Start)?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || runtime.block_on(serve(listener, router(source), stopped)))
            .map_err(HttpError::Start)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // First the signal, then the wait: the other way round would wait for ever.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}

fn router(source: StatusSource) -> Router {
    let hosts: Arc<[String]> = source.hosts.clone().into();
    Router::new()
        .route("/", get(status_page))
        .route("/style.css", get(|| async { typed("text/css; charset=utf-8", page::STYLE) }))
        .route("/metrics", get(scrape))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/topology", get(topology))
        .route("/api/status", get(api_status))
        .with_state(Arc::new(source))
        .layer(from_fn_with_state(hosts, guard))
}

type Source = State<Arc<StatusSource>>;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    reasons: Vec<String>,
}

#[derive(Deserialize)]
struct TopologyQuery {
    format: Option<String>,
}

async fn status_page(State(source): Source) -> Response {
    let status = Status::read(&source, now());
    match page::render(&status, &source.topology.text) {
        Ok(html) => typed("text/html; charset=utf-8", html),
        Err(error) => failed(&error),
    }
}

async fn api_status(State(source): Source) -> Response {
    json(StatusCode::OK, &Status::read(&source, now()))
}

async fn scrape(State(source): Source) -> Response {
    let threads = source.board.snapshots();
    let view = metrics::View {
        application_id: &source.application_id,
        version: &source.version,
        threads: &threads,
        now: now(),
        silence_max: source.silence_max,
    };
    match metrics::render(&view) {
        Ok(text) => typed("text/plain; version=0.0.4; charset=utf-8", text),
        Err(error) => failed(&error),
    }
}

async fn live(State(source): Source) -> Response {
    health(health::dead(&source.board.snapshots(), now(), source.silence_max), "live", "dead")
}

async fn ready(State(source): Source) -> Response {
    health(health::unready(&source.board.snapshots(), now(), source.silence_max), "ready", "not ready")
}

async fn topology(State(source): Source, Query(query): Query<TopologyQuery>) -> Response {
    let topology = &source.topology;
    match query.format.as_deref() {
        None | Some("text") => typed("text/plain; charset=utf-8", topology.text.clone()),
        Some("mermaid") => typed("text/plain; charset=utf-8", topology.mermaid.clone()),
        Some("json") => typed("application/json", topology.json.clone()),
        Some(_) => (StatusCode::BAD_REQUEST, typed("text/plain; charset=utf-8", "format is text, mermaid or json\n"))
            .into_response(),
    }
}

fn health(reasons: Vec<String>, good: &'static str, bad: &'static str) -> Response {
    if reasons.is_empty() {
        json(StatusCode::OK, &Health { status: good, reasons })
    } else {
        json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: bad, reasons })
    }
}

fn json(code: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => (code, typed("application/json", body)).into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "an HTTP answer could not be made");
    (StatusCode::INTERNAL_SERVER_ERROR, typed("text/plain; charset=utf-8", "see the log\n")).into_response()
}

fn typed(content_type: &'static str, body: impl IntoResponse) -> Response {
    ([(CONTENT_TYPE, content_type)], body).into_response()
}
