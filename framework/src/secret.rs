//! Text that must not be shown.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

/// A password, key or token: `Debug` and `Display` print `***`, and it cannot be serialised. Only
/// [`expose`](Self::expose) gives the text. Its memory is overwritten when it is dropped; what others have copied of it, such
/// as librdkafka, is theirs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "***";

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_in_no_format() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    /// What lies in memory afterwards only unsafe code could tell; that it is overwritten, the type promises.
    #[test]
    fn a_secret_is_overwritten_when_it_is_dropped() {
        const fn promises(_: &impl ZeroizeOnDrop) {}
        let mut secret = Secret::new("hunter2");
        promises(&secret);
        assert!(std::mem::needs_drop::<Secret>());
        secret.0.zeroize();
        assert_eq!(secret.expose(), "", "what is done at the end");
    }
}
