//! The application's own section of the configuration, `[app]`.

use std::time::Duration;

use serde::Deserialize;

use crate::Rule;

/// Topics and rule, as they are configured; what is absent is as in [`Rule::default`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The topic to read.
    pub input: String,
    /// The topic to write.
    pub output: String,
    correction_ms: Option<u64>,
}

impl Settings {
    /// The rule that they describe.
    pub fn rule(&self) -> Rule {
        Rule { correction: self.correction_ms.map_or(Rule::default().correction, Duration::from_millis) }
    }
}
