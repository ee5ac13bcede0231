//! Why there is no answer, for people and for programs.

use axum::Extension;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::http::refused::Refused;
use crate::record::Partition;
use crate::runtime::query::Refusal;

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: StatusCode,
    pub(super) body: Reason,
}

/// The body of such an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reason {
    pub(super) reason: String,
    /// The partition that could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<i32>,
}

impl Problem {
    fn new(code: StatusCode, reason: impl Into<String>) -> Self {
        Self { code, body: Reason { reason: reason.into(), partition: None } }
    }

    pub(super) fn off() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no queries are answered here; say queries = on, in an application that has stores",
        )
    }

    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(super) fn no_store(store: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no store {store} that can be asked; see /stores"))
    }

    pub(super) fn masked() -> Self {
        let reason = "rows of this store may tell something about a person; ask for one key, or for the count of the \
            whole store, or name the store in queries.unmasked.stores";
        Self::new(StatusCode::FORBIDDEN, reason)
    }

    pub(super) fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many queries are under way")
    }

    pub(super) fn misdirected(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, reason)
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// What a thread of this process has refused.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::NotHere => StatusCode::MISDIRECTED_REQUEST,
            Refusal::NoSuchStore => StatusCode::NOT_FOUND,
            Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(code, refusal.to_string())
    }

    /// What another instance has answered.
    pub(super) fn of_instance(address: &str, code: StatusCode, body: &[u8]) -> Self {
        let reason = serde_json::from_slice::<Reason>(body).map(|body| body.reason);
        let reason = reason.unwrap_or_else(|_| code.to_string());
        let code = match code {
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::TOO_MANY_REQUESTS => code,
            // Whoever had it when it was looked up has it no more: the next look-up finds the new owner.
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(code, format!("the owner at {address}: {reason}"))
    }

    pub(super) fn on(mut self, partition: Partition) -> Self {
        self.body.partition = Some(partition.0);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = (self.code, axum::Json(self.body));
        match self.code {
            StatusCode::TOO_MANY_REQUESTS => (Extension(Refused::Queries), [(RETRY_AFTER, "1")], body).into_response(),
            StatusCode::SERVICE_UNAVAILABLE => ([(RETRY_AFTER, "1")], body).into_response(),
            _ => body.into_response(),
        }
    }
}
