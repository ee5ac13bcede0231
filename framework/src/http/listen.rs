//! Connections: how many, how long, and what is read of them.

use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::refused::{Refusals, Refused};

/// Connections at a time; more are closed at once. Probes, a scraper and some people need a tenth of it.
pub(super) const CONNECTIONS_MAX: usize = 128;
/// How long a request may take to arrive, and a connection may idle before the next one.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection lasts; whoever reads its answer too slowly loses it then.
pub(super) const CONNECTION_TIMEOUT: Duration =
    if cfg!(test) { Duration::from_secs(8) } else { Duration::from_mins(1) };
/// How long requests that are under way may take after the server was told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// The request line with all headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// After the system refused a connection, for want of files for example.
const PAUSE: Duration = Duration::from_millis(100);

/// When a connection was taken: an answer that goes on and on must end before the connection does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken(pub(super) Instant);

/// Answers until the sender of `stopped` is gone; then what is under way gets two seconds.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    refusals: Refusals,
    mut stopped: watch::Receiver<()>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the HTTP server cannot use its listener"),
    };
    let (stop, told) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                connections.spawn(answer(stream, router.clone(), told.clone()));
            }
            Ok(_) => {
                refusals.count(Refused::Connections);
                tracing::debug!(max = CONNECTIONS_MAX, "an HTTP connection is closed: there are too many");
            }
            Err(error) => {
                tracing::debug!(%error, "an HTTP connection was not accepted");
                sleep(PAUSE).await;
            }
        }
    }
    // First nobody else comes in, then those who are in are told.
    drop(listener);
    drop(stop);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_TIMEOUT, all).await.is_err() {
        tracing::debug!("requests under way were cut off at the stop");
    }
}

async fn answer(stream: TcpStream, router: Router, mut told: watch::Receiver<()>) {
    let router = router.layer(Extension(Taken(Instant::now())));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_header_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection ended early");
            }
            return;
        }
        // The sender's end means stop.
        _ = told.changed() => {}
        () = sleep(CONNECTION_TIMEOUT) => {}
    }
    connection.as_mut().graceful_shutdown();
    // What is cut off then is the other side's loss.
    let _ = timeout(STOP_TIMEOUT, connection).await;
}
