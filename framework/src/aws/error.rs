//! Why there are no credentials, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use crate::error::Recovery;

/// A service that gives credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// AWS's Security Token Service.
    Sts,
    /// The agent of ECS or of EKS Pod Identity.
    Container,
    /// The metadata service of an EC2 instance.
    Instance,
}

impl Service {
    /// What to look at when it does not answer.
    const fn way(self) -> &'static str {
        match self {
            Self::Sts => "allow port 443 to it, or give the network an endpoint of STS",
            Self::Container => "look whether the agent runs on the node, and whether a network policy stands between",
            Self::Instance => "from within a container it needs a hop limit of 2",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sts => "AWS STS",
            Self::Container => "the container's credentials service",
            Self::Instance => "the instance metadata service",
        })
    }
}

/// Why there are no credentials. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Nothing is configured anywhere.
    #[error(
        "no AWS credentials: {}; give the pod, task or instance a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        looked.join("; ")
    )]
    NotFound {
        /// Each place, with what was found there.
        looked: Vec<String>,
    },
    /// A variable of the environment does not fit.
    #[error("{variable} {reason}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{what} cannot be read: {reason}: path={}", path.display())]
    File {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The profile has no credentials that can be used.
    #[error("AWS profile `{profile}` {reason}")]
    Profile {
        /// Its name.
        profile: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// No answer within the time limit.
    #[error("{service} does not answer: {reason}; {}: url={url}", service.way())]
    Unreachable {
        /// Who.
        service: Service,
        /// Where.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The service says no.
    #[error("{service} refuses: {reason} (HTTP status {status}); {advice}")]
    Refused {
        /// Who.
        service: Service,
        /// HTTP's code.
        status: u16,
        /// Its own code and message.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// An answer that is none.
    #[error("{service} answered what are no credentials: {reason}; another program may listen there: url={url}")]
    Malformed {
        /// Who.
        service: Service,
        /// Where.
        url: String,
        /// What is missing.
        reason: &'static str,
    },
    /// Credentials that have ended already.
    #[error("{service} gave credentials that ended {seconds} s ago; set this machine's clock, or look at the service")]
    Expired {
        /// Who.
        service: Service,
        /// How long ago.
        seconds: i64,
    },
    /// This machine's clock is wrong, so every signature is.
    #[error(
        "the clock of this machine is {} s {} that of {service}, and AWS takes no signature that is 5 minutes off; \
         set it right, for example by chrony",
        seconds.unsigned_abs(),
        if *seconds > 0 { "ahead of" } else { "behind" }
    )]
    ClockSkew {
        /// Who.
        service: Service,
        /// Ahead, or behind when negative.
        seconds: i64,
    },
    /// What cannot be, if this program is right.
    #[error("a bug: {0}")]
    Bug(&'static str),
}

impl CredentialError {
    /// What the caller must do.
    pub const fn recovery(&self) -> Recovery {
        if self.is_passing() { Recovery::Retry } else { Recovery::Shutdown }
    }

    /// The same request may succeed a moment later.
    pub(super) const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}
