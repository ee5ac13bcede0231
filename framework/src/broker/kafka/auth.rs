//! Tokens for SASL OAUTHBEARER.

use std::fmt;
use std::path::PathBuf;

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
    /// The file of tokens cannot be read.
    #[error(
        "the file of sasl.oauthbearer.token.file cannot be read: path={}: {reason}; correct the path or its permissions, or \
         mount the token there", path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// There is nothing in it.
    #[error(
        "the file of sasl.oauthbearer.token.file is empty: path={}; whoever writes it must put the token there, best by a \
         rename", path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// There is something else in it.
    #[error(
        "the file of sasl.oauthbearer.token.file holds no token, which is one line without spaces: path={}; correct the path",
        path.display()
    )]
    NoToken {
        /// The file.
        path: PathBuf,
    },
    /// The token in it is not good any more.
    #[error(
        "the token in the file of sasl.oauthbearer.token.file ended {seconds} s ago: path={}; see that whoever writes it \
         renews it in time, and that this machine's clock is right", path.display()
    )]
    Expired {
        /// The file.
        path: PathBuf,
        /// For how long.
        seconds: u64,
    },
}
