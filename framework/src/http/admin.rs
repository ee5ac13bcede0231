//! What may be changed over HTTP: for whoever shows the token, and for nobody when there is none.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Query, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::refused::Refused;
use crate::runtime::config::Secret;

/// Wrong tokens are told of in the log, but not more often.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// So many wrong tokens in a minute close the gate for the rest of it, to whoever asks: the shortest token that is allowed
/// then takes longer to guess than anything lasts.
const GUESSES_MAX: usize = 20;
const GUESSES_WITHIN: Duration = Duration::from_mins(1);

/// What is logged, by a filter in the words of `RUST_LOG`. The program that has set its logs up implements it.
pub trait LogFilter: fmt::Debug + Send + Sync {
    /// The filter as it is.
    fn filter(&self) -> String;

    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// What is wrong with it, for a person: say another one.
    fn change(&self, filter: &str) -> Result<(), String>;
}

/// The token that opens what may be changed, and what that is.
#[derive(Debug, Clone)]
pub struct Admin {
    token: Secret,
    logs: Arc<dyn LogFilter>,
}

impl Admin {
    /// Whoever shows this token may change the filter of the logs.
    pub fn new(token: Secret, logs: Arc<dyn LogFilter>) -> Self {
        Self { token, logs }
    }
}

/// The routes below `/admin`; none without a token.
pub(super) fn routes(admin: Option<Admin>) -> Router {
    let Some(Admin { token, logs }) = admin else { return Router::new() };
    let gate = Arc::new(Gate { digest: digest(token.expose().as_bytes()), wrong: Mutex::default() });
    Router::new()
        .route("/admin/log-level", get(log_filter).put(change_log_filter))
        // Asked before anything of the request is looked at, its method too.
        .route_layer(from_fn_with_state(gate, ask_for_token))
        .with_state(logs)
}

type Logs = State<Arc<dyn LogFilter>>;

#[derive(Serialize)]
struct Filter {
    filter: String,
}

#[derive(Deserialize)]
struct FilterQuery {
    filter: String,
}

async fn log_filter(State(logs): Logs) -> Response {
    Json(Filter { filter: logs.filter() }).into_response()
}

async fn change_log_filter(State(logs): Logs, Query(FilterQuery { filter }): Query<FilterQuery>) -> Response {
    let before = logs.filter();
    match logs.change(&filter) {
        Ok(()) => {
            // Not below: also whoever has just turned the logs down must find it.
            tracing::error!(%before, now = filter, "the filter of the logs was changed over HTTP; a restart undoes it");
            Json(Filter { filter }).into_response()
        }
        Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    }
}

/// Keeps the token's digest: digests are of one length, so that a comparison does not tell the token's.
struct Gate {
    digest: [u8; 32],
    wrong: Mutex<Wrong>,
}

#[derive(Default)]
struct Wrong {
    count: u64,
    told: Option<Instant>,
    /// When the last of them came.
    lately: VecDeque<Instant>,
}

impl Gate {
    fn opens(&self, headers: &HeaderMap) -> bool {
        let mut said = headers.get_all(AUTHORIZATION).iter();
        let (Some(said), None) = (said.next(), said.next()) else { return false };
        let Some((scheme, token)) = said.as_bytes().split_at_checked("Bearer ".len()) else { return false };
        let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
        bool::from(digest(token).as_slice().ct_eq(self.digest.as_slice())) && is_bearer
    }

    /// How long nobody is let in, because too many have guessed.
    fn closed_for(&self, now: Instant) -> Option<Duration> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.lately.retain(|at| now.saturating_duration_since(*at) < GUESSES_WITHIN);
        let first = wrong.lately.front().filter(|_| wrong.lately.len() >= GUESSES_MAX)?;
        Some(GUESSES_WITHIN.saturating_sub(now.saturating_duration_since(*first)))
    }

    /// Counts a request without the right token, and tells of it now and then.
    fn refuse(&self, now: Instant) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.count = wrong.count.saturating_add(1);
        wrong.lately.push_back(now);
        if wrong.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY) {
            wrong.told = Some(now);
            tracing::warn!(refused = wrong.count, "requests to /admin without the right token were refused");
        }
    }
}

async fn ask_for_token(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let now = Instant::now();
    if let Some(left) = gate.closed_for(now) {
        let seconds = left.as_secs().saturating_add(1).to_string();
        let text = "too many wrong tokens: nobody is let in for a while\n";
        let refused = Extension(Refused::Guesses);
        return (StatusCode::TOO_MANY_REQUESTS, refused, [(RETRY_AFTER, seconds)], text).into_response();
    }
    if gate.opens(request.headers()) {
        return next.run(request).await;
    }
    gate.refuse(now);
    let text = "show the token of http.admin.token: Authorization: Bearer <token>\n";
    (StatusCode::UNAUTHORIZED, Extension(Refused::Token), [(WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn whoever_guesses_closes_the_gate_for_a_minute() {
        let gate = Gate { digest: digest(b"0123456789abcdef"), wrong: Mutex::default() };
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for guess in 0..20 {
            assert_eq!(gate.closed_for(at(guess)), None, "{guess}");
            gate.refuse(at(guess));
        }
        assert_eq!(gate.closed_for(at(20)), Some(Duration::from_secs(40)));
        assert_eq!(gate.closed_for(at(59)), Some(Duration::from_secs(1)));
        assert_eq!(gate.closed_for(at(60)), None, "the first is a minute old");
        gate.refuse(at(60));
        assert_eq!(gate.closed_for(at(60)), Some(Duration::from_secs(1)), "one for each that has become old");
        assert_eq!(gate.closed_for(at(200)), None);
    }

    #[test]
    fn only_the_whole_token_opens() {
        let gate = Gate { digest: digest(b"0123456789abcdef"), wrong: Mutex::default() };
        let headers = |values: &[&'static str]| -> HeaderMap {
            values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
        };
        assert!(gate.opens(&headers(&["Bearer 0123456789abcdef"])));
        assert!(gate.opens(&headers(&["bearer 0123456789abcdef"])), "schemes have no case");
        for values in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer 0123456789abcde"],
            &["Bearer 0123456789abcdef "],
            &["Bearer 0123456789ABCDEF"],
            &["Basic 0123456789abcdef"],
            &["0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ] {
            assert!(!gate.opens(&headers(values)), "{values:?}");
        }
    }
}
