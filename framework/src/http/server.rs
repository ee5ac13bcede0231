//! The listener on a small runtime of its own: no stream thread ever waits for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{FromRef, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::StatusSource;
use super::admin;
use super::guard::{Guard, guard};
use super::history::{History, STEP};
use super::listen::serve;
use super::live::{Streams, events};
use super::page::{self, Sort, View};
use super::query;
use super::refused::Refusals;
use super::status::{Status, now};
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
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens on exactly that address; port 0 takes a free one, see [`address`](Self::address). It answers when this
    /// returns.
    ///
    /// # Errors
    /// [`HttpError`]: say another address.
    pub fn start(address: SocketAddr, source: StatusSource) -> Result<Self, HttpError> {
        Self::bind(address)?.start(source)
    }

    /// Takes the address without answering yet: whoever connects waits. For those who must know the address before there is
    /// anything to tell.
    ///
    /// # Errors
    /// [`HttpError::Bind`]: say another address.
    pub fn bind(address: SocketAddr) -> Result<HttpBound, HttpError> {
        let bind = |source| HttpError::Bind { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(HttpBound { listener, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// An address that is taken.
#[derive(Debug)]
pub struct HttpBound {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl HttpBound {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on.
    ///
    /// # Errors
    /// [`HttpError::Start`] when the system gives no thread.
    pub fn start(self, source: StatusSource) -> Result<HttpServer, HttpError> {
        let Self { listener, address } = self;
        if !address.ip().is_loopback() {
            tracing::info!(%address, "metrics and status page are open to other machines, and ask nobody who they are");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HttpError::Start)?;
        let (stop, stopped) = watch::channel(());
        let serving = async move {
            let refusals = Refusals::default();
            let source = Arc::new(Watched { source, history: Mutex::default(), refusals: refusals.clone() });
            let looking = tokio::spawn(source.clone().look_on());
            serve(listener, router(source, stopped.clone()), refusals, stopped).await;
            looking.abort();
        };
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || runtime.block_on(serving))
            .map_err(HttpError::Start)?;
        Ok(HttpServer { address, stop: Some(stop), thread: Some(thread) })
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

/// The application, and what it looked like lately.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) source: StatusSource,
    history: Mutex<History>,
    refusals: Refusals,
}

impl Watched {
    async fn look_on(self: Arc<Self>) {
        let mut steps = tokio::time::interval(STEP);
        loop {
            steps.tick().await;
            let threads = self.source.board.snapshots();
            self.history.lock().unwrap_or_else(PoisonError::into_inner).look(&threads, now());
        }
    }

    pub(super) fn status(&self) -> Status {
        Status::read(&self.source, &self.history.lock().unwrap_or_else(PoisonError::into_inner), now())
    }
}

#[derive(Debug, Clone)]
struct Shared {
    watched: Arc<Watched>,
    streams: Streams,
}

impl FromRef<Shared> for Arc<Watched> {
    fn from_ref(shared: &Shared) -> Self {
        shared.watched.clone()
    }
}

impl FromRef<Shared> for Streams {
    fn from_ref(shared: &Shared) -> Self {
        shared.streams.clone()
    }
}

fn router(watched: Arc<Watched>, stopped: watch::Receiver<()>) -> Router {
    let admin = admin::routes(watched.source.admin.clone());
    let guarding = Guard { hosts: watched.source.hosts.clone().into(), refusals: watched.refusals.clone() };
    let queries = query::routes(watched.source.queries.clone(), &watched.source.application_id);
    Router::new()
        .route("/", get(status_page))
        .route("/events", get(events))
        .route("/style.css", get(|| async { typed("text/css; charset=utf-8", page::STYLE) }))
        .route("/live.js", get(|| async { typed("text/javascript; charset=utf-8", page::SCRIPT) }))
        .route("/icon.svg", get(|| async { typed("image/svg+xml", page::ICON) }))
        .route("/metrics", get(scrape))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/topology", get(topology))
        .route("/api/status", get(api_status))
        .with_state(Shared { watched, streams: Streams::until(stopped) })
        .merge(admin)
        .merge(queries)
        .layer(from_fn_with_state(guarding, guard))
}

type Source = State<Arc<Watched>>;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    reasons: Vec<String>,
}

/// What the page may be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct PageQuery {
    pub(super) sort: Option<String>,
}

#[derive(Deserialize)]
struct TopologyQuery {
    format: Option<String>,
}

async fn status_page(State(watched): Source, Query(query): Query<PageQuery>) -> Response {
    let view = View::new(watched.status(), &watched.source.topology, Sort::named(query.sort.as_deref()));
    match page::render(&view) {
        Ok(html) => typed("text/html; charset=utf-8", html),
        Err(error) => failed(&error),
    }
}

async fn api_status(State(watched): Source) -> Response {
    json(StatusCode::OK, &watched.status())
}

async fn scrape(State(watched): Source) -> Response {
    let source = &watched.source;
    let (threads, mut process) = (source.board.snapshots(), source.probe.read());
    process.refused = watched.refusals.read();
    let view = metrics::View {
        application_id: &source.application_id,
        version: &source.version,
        threads: &threads,
        process: &process,
        own: source.own.as_deref(),
        now: now(),
        silence_max: source.silence_max,
    };
    match metrics::render(&view) {
        Ok(text) => typed("text/plain; version=0.0.4; charset=utf-8", text),
        Err(error) => failed(&error),
    }
}

async fn live(State(watched): Source) -> Response {
    let source = &watched.source;
    health(health::dead(&source.board.snapshots(), now(), source.silence_max), "live", "dead")
}

async fn ready(State(watched): Source) -> Response {
    let source = &watched.source;
    health(health::unready(&source.board.snapshots(), now(), source.silence_max), "ready", "not ready")
}

async fn topology(State(watched): Source, Query(query): Query<TopologyQuery>) -> Response {
    let topology = &watched.source.topology;
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
