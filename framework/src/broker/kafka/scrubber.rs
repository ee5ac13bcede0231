//! Texts of librdkafka are not ours: known secrets are taken out of them.

use crate::secret::Secret;

/// Removes known secrets from text on its way to a log or an error.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrubber(Vec<Secret>);

impl Scrubber {
    /// Short texts are not scrubbed: they would hit by chance, and tell which characters a secret has.
    const LENGTH_MIN: usize = 4;

    pub(super) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(secrets.into_iter().filter(|secret| secret.expose().len() >= Self::LENGTH_MIN).collect())
    }

    pub(super) fn scrub(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) { text.replace(secret.expose(), "***") } else { text }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_leaves_every_text() {
        assert_eq!(Scrubber::new(["hunter2".into()]).scrub("login as u:hunter2, hunter2"), "login as u:***, ***");
    }
}
