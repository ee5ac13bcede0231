//! The environment, as far as it is AWS's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::{CredentialError, Credentials};

/// Variables by name. `Debug` shows no value.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of this process: `AWS_…` and `HOME`.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// A variable that is set, and not to nothing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// A file below the home directory.
    pub(super) fn at_home(&self, path: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.get("HOME")?).join(path))
    }

    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, CredentialError> {
        let missing = |variable| {
            let reason = "is missing beside the other key in the environment; set both, or neither".to_owned();
            Err(CredentialError::Variable { variable, reason })
        };
        match (self.get("AWS_ACCESS_KEY_ID"), self.get("AWS_SECRET_ACCESS_KEY")) {
            (None, None) => Ok(None),
            (None, Some(_)) => missing("AWS_ACCESS_KEY_ID"),
            (Some(_), None) => missing("AWS_SECRET_ACCESS_KEY"),
            (Some(id), Some(secret)) => Ok(Some(Credentials {
                access_key_id: id.to_owned(),
                secret_access_key: secret.into(),
                session_token: self.get("AWS_SESSION_TOKEN").map(Into::into),
                expires_at: None,
            })),
        }
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let ours = |name: &str| name.starts_with("AWS_") || name == "HOME";
        Self(variables.into_iter().filter(|(name, _)| ours(name)).collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
