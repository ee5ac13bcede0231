//! Tokens for SASL OAUTHBEARER.

use std::fmt;

use crate::secret::Secret;

/// Where OAUTHBEARER tokens come from. Called by librdkafka's refresh event when it connects and at 80 % of a token's
/// life; the call may block for a request or two, while the connection waits.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// A token that is valid now.
    ///
    /// # Errors
    /// [`TokenError`], in words that hold no secret; librdkafka asks again after ten seconds.
    fn token(&self) -> Result<Token, TokenError>;
}

/// A bearer token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub value: Secret,
    /// Whom it stands for; a name for logs.
    pub principal: String,
    /// When it ends: milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No credentials to make a token from.
    #[error("no credentials: {0}")]
    NoCredentials(String),
    /// AWS gave no credentials.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Aws(#[from] crate::aws::CredentialError),
    /// The token could not be made.
    #[error("the token could not be made: {0}")]
    Failed(String),
}
