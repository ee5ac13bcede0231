//! The application's own section of the configuration, `[app]`.

use serde::Deserialize;

use crate::address::Mode;
use crate::policy::Policy;
use crate::record::Redactor;

/// Topics, and what counts as an address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The topic to read.
    pub input: String,
    /// The topic to write.
    pub output: String,
    mode: Option<ModeName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ModeName {
    Strict,
    Balanced,
}

impl Settings {
    /// The redactor that they describe; balanced when nothing is said.
    pub fn redactor(&self) -> Redactor {
        let mode = self.mode.map_or_else(Mode::default, |mode| match mode {
            ModeName::Strict => Mode::Strict,
            ModeName::Balanced => Mode::Balanced,
        });
        Redactor::new(mode, Policy::default())
    }
}
