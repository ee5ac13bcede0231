//! Names of topics, applications and consumer groups of one run.

use std::time::{SystemTime, UNIX_EPOCH};

/// The applications, in the order in which data flows through them.
pub(crate) const APPLICATIONS: [Application; 4] =
    [Application::Redaction, Application::Fraud, Application::Attribution, Application::Loader];

/// One of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Application {
    Redaction,
    Fraud,
    Attribution,
    Loader,
}

impl Application {
    /// Its binary's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redaction => "redaction",
            Self::Fraud => "fraud",
            Self::Attribution => "attribution",
            Self::Loader => "loader",
        }
    }
}

/// The names of one run: the plain ones on services of the demo's own, others where there may have been a run before.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
    pub(crate) events: String,
    pub(crate) processed: String,
    pub(crate) alerts: String,
    pub(crate) attributions: String,
}

impl Names {
    /// Names for services that this run has for itself.
    pub(crate) fn plain() -> Self {
        Self::with_prefix(String::new())
    }

    /// Names that no other run has: they hold the present second.
    pub(crate) fn of_this_run() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::with_prefix(format!("demo-{}-", now.as_secs()))
    }

    fn with_prefix(prefix: String) -> Self {
        let topic = |name: &str| format!("{prefix}{name}");
        Self {
            events: topic("events"),
            processed: topic("processed_events"),
            alerts: topic("fraud-detection"),
            attributions: topic("attributions"),
            prefix,
        }
    }

    /// The topics that the demo makes.
    pub(crate) fn topics(&self) -> [&str; 4] {
        [&self.events, &self.processed, &self.alerts, &self.attributions]
    }

    /// The application's id, which is its group's as well.
    pub(crate) fn id(&self, application: Application) -> String {
        format!("{}{}", self.prefix, application.name())
    }

    /// Where the application sends what it cannot process.
    pub(crate) fn dead_letters(&self, application: Application) -> String {
        format!("{}-dead-letters", self.id(application))
    }

    /// What the application reads, in the order in which it becomes empty.
    pub(crate) fn inputs(&self, application: Application) -> Vec<String> {
        let by_user = || format!("{}-by-user-repartition", self.id(application));
        match application {
            Application::Redaction => vec![self.events.clone()],
            Application::Fraud | Application::Attribution => vec![self.events.clone(), by_user()],
            Application::Loader => vec![self.processed.clone(), self.attributions.clone()],
        }
    }
}
