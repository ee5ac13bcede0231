//! Credentials of AWS, as its own tools find them, and the tokens that are signed with them.
//!
//! [`DefaultChain`] looks where AWS's SDKs look, in their order: the environment, the profile, the web identity of a pod
//! (IRSA), the credentials of a container (ECS, EKS Pod Identity), the role of the instance (its metadata service). The
//! first place that is configured decides: when it fails, that is told, and no other credentials are taken in its stead.
//! [`Renewed`] keeps what was found, and renews it in the background before it ends.
//!
//! | File | One concept |
//! |---|---|
//! | `chain` | the order of the places |
//! | `variables`, `profile` | the environment; the two files of AWS |
//! | `container`, `instance`, `sts` | the services that give credentials |
//! | `http` | requests to them: with time limits, without redirects |
//! | `renewed` | the background |
//! | `sign` | AWS Signature Version 4 |
//! | `rds` | tokens for PostgreSQL on RDS |
//!
//! Every request has a time limit, every failure its own [`CredentialError`], and no error or log line holds a secret.

#![allow(
    clippy::disallowed_methods,
    reason = "an edge: credentials end by the real clock, are renewed on a thread, and AWS is configured by its variables"
)]

mod chain;
mod container;
mod document;
mod error;
mod http;
mod instance;
#[cfg(any(test, feature = "testing"))]
pub mod outside;
mod profile;
mod rds;
mod renewed;
pub(crate) mod sign;
mod sts;
#[cfg(test)]
mod tests;
mod variables;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::secret::Secret;

pub use chain::DefaultChain;
pub use error::{CredentialError, Service};
pub use rds::RdsToken;
pub use renewed::Renewed;
pub use variables::Variables;

/// AWS credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key's id; no secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session's token, of temporary credentials.
    pub session_token: Option<Secret>,
    /// When they end: seconds since the Unix epoch. `None`: never, or nobody knows.
    pub expires_at: Option<i64>,
}

/// Where AWS credentials come from.
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// Credentials that are valid now. May block for some seconds.
    ///
    /// # Errors
    /// [`CredentialError`], in words that hold no secret and say what to do.
    fn credentials(&self) -> Result<Credentials, CredentialError>;
}

/// Seconds since the Unix epoch; 0 on a machine that believes to be before it, whose tokens nobody takes.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
