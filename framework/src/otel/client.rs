//! The exporter's HTTP client: blocking, on the exporter's own thread, with time limits. It tells the log once when the
//! collector is away, and once when it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// For all of a request, names and TLS included.
const TOTAL: Duration = Duration::from_secs(2);
/// No answer that is meant for us is longer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A client of one collector.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    away: AtomicBool,
}

impl Client {
    pub(super) fn new(endpoint: &str) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(TOTAL))
            .http_status_as_error(false)
            // A token is not carried to where an answer points.
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("millpond/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, endpoint: endpoint.to_owned(), away: AtomicBool::new(false) }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(parts, &*body))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }

    fn note(&self, trouble: Option<&str>) {
        if let Some(reason) = trouble {
            tracing::debug!(endpoint = self.endpoint, reason, "spans were not taken");
        }
        let was_away = self.away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(reason) if !was_away => tracing::warn!(
                endpoint = self.endpoint,
                reason,
                "spans are dropped: the collector does not take them; all else goes on, and this is said once"
            ),
            None if was_away => tracing::info!(endpoint = self.endpoint, "the collector takes spans again"),
            _ => {}
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.send(request) {
            Ok(answer) => {
                let refused = (!answer.status().is_success()).then(|| format!("HTTP {}", answer.status()));
                self.note(refused.as_deref());
                Ok(answer)
            }
            Err(error) => {
                self.note(Some(&error.to_string()));
                Err(error.into())
            }
        }
    }
}
