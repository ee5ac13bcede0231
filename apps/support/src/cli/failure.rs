//! What a command could not do: a code for programs, what happened, why, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use millpond::broker::{BrokerError, BrokerErrorKind};
use millpond::http::HttpError;
use millpond::runtime::config::ConfigErrors;
use millpond::runtime::{self, InstanceError};
use millpond::state::StoreError;
use millpond::topology::TopologyError;
use serde_json::{Value, json};

use crate::startup::StartupError;

/// Exit code for a mistake in flags or configuration, as clap's.
pub(crate) const EXIT_USAGE: u8 = 2;

/// What to do where the error itself does not tell.
const LOOK: &str = "look at the log above this line for what came before it";

/// An error of a command, or of an application that has ended.
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

    /// Why an application did not start, or ended before it was asked to.
    pub(crate) fn of_application(error: &(dyn Error + 'static)) -> Self {
        match error.downcast_ref() {
            Some(StartupError::Signals(_) | StartupError::Print(_)) => return Self::told("system", error),
            Some(_) => return Self::configuration(error),
            None => {}
        }
        if error.is::<ConfigErrors>() {
            return Self::configuration(error);
        }
        if let Some(error) = error.downcast_ref::<BrokerError>() {
            return error.clone().into();
        }
        if let Some(error) = error.downcast_ref::<runtime::Error>() {
            return Self::of_runtime(error);
        }
        let code = match () {
            () if error.is::<InstanceError>() => "instance",
            () if error.is::<HttpError>() => "http-listen",
            () if error.is::<TopologyError>() => "topology",
            () => "application",
        };
        Self::told(code, error)
    }

    fn of_runtime(error: &runtime::Error) -> Self {
        let code = match error {
            runtime::Error::Broker(error) => return error.clone().into(),
            runtime::Error::Store(error) => return Self::told(code_of(error), error),
            runtime::Error::Task(_) => "task",
            runtime::Error::Topology(_) => "topology",
            runtime::Error::Instance(_) | runtime::Error::DuplicateInstance { .. } => "instance",
            runtime::Error::InputGone { .. } => "input-gone",
            runtime::Error::Panicked { .. } | runtime::Error::Bug { .. } => "bug",
            _ => "application",
        };
        Self::told(code, error)
    }

    /// An error whose text ends with what to do, behind a semicolon, as ours do.
    fn told(code: &'static str, error: &dyn Error) -> Self {
        let text = error.to_string();
        let (message, fix) = text.split_once("; ").unwrap_or((&text, LOOK));
        let failure = Self::new(code, message, fix);
        match error.source() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }

    /// The same as a mistake in the configuration.
    #[must_use]
    pub(crate) fn in_configuration(self) -> Self {
        Self { exit: EXIT_USAGE, ..self }
    }

    /// The output could not be written.
    pub fn output(error: &std::io::Error) -> Self {
        Self::new("output", "the output cannot be written", "check the disk, or where the output goes").because(error)
    }

    /// Tells it on standard error, as JSON for programs, and gives the exit code.
    pub(crate) fn tell(&self, json: bool) -> ExitCode {
        let text = if json { format!("{}\n", self.json()) } else { self.to_string() };
        // Standard error may be closed; the exit code still tells.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(self.exit)
    }

    #[cfg(test)]
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
        let fix = match &error {
            StoreError::Locked { .. } => "stop the process that has it",
            StoreError::Corrupt { .. } => {
                "start the application: it sets the state aside and restores it from the changelog"
            }
            StoreError::Format { .. } => "use the version that wrote it, or reset the application with `reset`",
            _ => "check state.dir, its permissions and the disk",
        };
        Self::new(code_of(&error), error.to_string(), fix)
    }
}

const fn code_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::Locked { .. } => "state-in-use",
        StoreError::Corrupt { .. } => "state-damaged",
        StoreError::Format { .. } => "state-format",
        _ => "state-unreadable",
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

    #[test]
    fn an_application_ends_with_the_same_form_of_error_as_a_command() {
        let of = |error: Box<dyn Error>| Failure::of_application(&*error);
        let broker = || BrokerError::new("poll", BrokerErrorKind::Unauthorized, "refused");
        for failure in [of(broker().into()), of(runtime::Error::from(broker()).into())] {
            assert_eq!(failure, Failure::from(broker()));
        }
        let running = InstanceError::Running { name: "0".into(), path: "/s/lock".into() };
        assert_eq!(
            of(running.into()).to_string(),
            "error[instance]: instance=0 is already running here (locked: /s/lock)\n  fix: stop it, or give this one another \
             `instance`\n"
        );
        let source = std::io::Error::other("no such file");
        let file = StartupError::ConfigFile { path: "shop.toml".into(), source };
        let failure = of(file.into());
        assert_eq!((failure.code, failure.exit()), ("configuration", EXIT_USAGE));
        assert!(failure.to_string().contains("  cause: no such file\n"), "{failure}");
        let signals = of(StartupError::Signals(std::io::Error::other("none")).into());
        assert_eq!((signals.code, signals.exit()), ("system", 1));
        assert_eq!(of("it went wrong".into()).json()["error"]["fix"], LOOK);
    }
}
