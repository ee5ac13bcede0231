//! What `doctor` has looked at, and what it says about it.

use serde_json::{Value, json};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Fine,
    /// It works, but not as well, or not for long.
    Warning,
    /// The application does not work, or not as it promises.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub health: Health,
    /// What it is about: a code that never changes, such as `topic-cleanup-policy`.
    pub code: &'static str,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where all is well.
    pub fix: String,
}

impl Finding {
    /// As it should be.
    pub fn fine(code: &'static str, what: impl Into<String>) -> Self {
        Self { health: Health::Fine, code, what: what.into(), fix: String::new() }
    }

    /// It works, but.
    pub fn warning(code: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { health: Health::Warning, code, what: what.into(), fix: fix.into() }
    }

    /// It does not work.
    pub fn broken(code: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { health: Health::Broken, code, what: what.into(), fix: fix.into() }
    }

    pub(crate) fn json(&self) -> Value {
        let health = match self.health {
            Health::Fine => "fine",
            Health::Warning => "warning",
            Health::Broken => "broken",
        };
        json!({ "health": health, "code": self.code, "what": self.what, "fix": self.fix })
    }
}
