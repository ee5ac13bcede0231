//! One request to another instance.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Connecting included; longer than the other side waits for its stream thread.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The longest answer: the bytes of rows are bounded, their JSON is a few times as long, and one row may be large.
const BYTES_MAX: usize = 64 << 20;

/// Asks once. What cannot be reached is unavailable: its owner is gone or going, and another one will be told.
pub(super) async fn get(address: &str, path: &str) -> Result<(StatusCode, Bytes), Problem> {
    let failed = |reason: &dyn std::fmt::Display| {
        Problem::unavailable(format!("the owner at {address} does not answer: {reason}"))
    };
    match timeout(TIMEOUT, exchange(address, path)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&"it takes too long")),
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(address: &str, path: &str) -> Result<(StatusCode, Bytes), Failed> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| "it cannot be reached")??;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().uri(path).header(HOST, address).body(Body::empty())?;
    let driver = tokio::spawn(connection);
    let answer = send(sender, request).await;
    driver.abort();
    answer
}

async fn send(mut sender: http1::SendRequest<Body>, request: Request<Body>) -> Result<(StatusCode, Bytes), Failed> {
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, to_bytes(Body::new(answer.into_body()), BYTES_MAX).await?))
}
