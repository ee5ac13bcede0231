//! What a command could not do: a code for programs, what happened, why, and what to do about it.

use std::error::Error;
use std::fmt;

use millpond::broker::{BrokerError, BrokerErrorKind};
use millpond::state::StoreError;
use serde_json::{Value, json};

use crate::startup::StartupError;

/// Exit code for a mistake in flags or configuration, as clap's.
pub(crate) const EXIT_USAGE: u8 = 2;

/// An error of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) code: &'static str,
    message: String,
    causes: Vec<String>,
    fix: String,
    exit: u8,
}

impl Failure {
    /// An error with its code, which never changes, what happened, and what to do.
    pub fn new(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), fix: fix.into(), exit: 1 }
    }

    /// A mistake in the flags of a command.
    pub fn usage(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { exit: EXIT_USAGE, ..Self::new("usage", message, fix) }
    }

    /// The same with an error and its causes as the reason.
    #[must_use]
    pub fn because(mut self, error: &dyn Error) -> Self {
        self.causes.push(error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            self.causes.push(cause.to_string());
            source = cause.source();
        }
        self
    }

    /// Any error of the configuration or of a topology.
    pub fn configuration(error: &dyn Error) -> Self {
        let failure = Self::new("configuration", error.to_string(), "correct what is shown, and try again");
        let causes = error.source().map(|cause| Self::new("", "", "").because(cause).causes);
        Self { causes: causes.unwrap_or_default(), exit: EXIT_USAGE, ..failure }
    }

    /// The output could not be written.
    pub fn output(error: &std::io::Error) -> Self {
        Self::new("output", "the output cannot be written", "check the disk, or where the output goes").because(error)
    }

    pub(crate) const fn exit(&self) -> u8 {
        self.exit
    }

    /// What to do about it.
    pub(crate) fn fix(&self) -> &str {
        &self.fix
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "error": self.details() })
    }

    pub(crate) fn details(&self) -> Value {
        json!({ "code": self.code, "message": self.message, "causes": self.causes, "fix": self.fix })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code, self.message)?;
        for cause in &self.causes {
            writeln!(f, "  cause: {cause}")?;
        }
        writeln!(f, "  fix: {}", self.fix)
    }
}

impl From<StartupError> for Failure {
    fn from(error: StartupError) -> Self {
        Self::configuration(&error)
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        let code = match error.kind {
            BrokerErrorKind::Retriable => "broker-unreachable",
            BrokerErrorKind::Unauthorized => "not-authorized",
            BrokerErrorKind::Configuration => "broker-configuration",
            _ => "broker",
        };
        Self::new(code, format!("{} failed", error.operation), error.advice).because(&Said(error.reason))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (code, fix) = match &error {
            StoreError::Locked { .. } => ("state-in-use", "stop the process that has it"),
            StoreError::Corrupt { .. } => {
                ("state-damaged", "start the application: it sets the state aside and restores it from the changelog")
            }
            StoreError::Format { .. } => {
                ("state-format", "use the version that wrote it, or reset the application with `reset`")
            }
            _ => ("state-unreadable", "check state.dir, its permissions and the disk"),
        };
        Self::new(code, error.to_string(), fix)
    }
}

/// What somebody else said, as an error.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Said {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_its_code_its_cause_and_what_to_do() {
        let error = BrokerError::new("describe_topics", BrokerErrorKind::Unauthorized, "TopicAuthorizationFailed");
        let failure = Failure::from(error);
        assert_eq!(
            failure.to_string(),
            "error[not-authorized]: describe_topics failed\n  cause: TopicAuthorizationFailed\n  fix: check the \
             credentials and the ACLs of this principal\n"
        );
        assert_eq!(failure.json()["error"]["code"], "not-authorized");
    }
}
