//! What is wrong with a configuration, and where it was said.

use std::fmt;

/// Where a value comes from. Later ones override earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said it: the library's default.
    #[default]
    Default,
    /// The application's own default.
    Application,
    /// A line of the configuration file.
    File {
        /// The file's name as it was given.
        file: String,
        /// The line, counted from one.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name: `MILLPOND_COMMIT_INTERVAL_MS`.
        variable: String,
    },
    /// A flag on the command line.
    Flag {
        /// As it is typed: `--threads`.
        flag: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Application => f.write_str("application"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// The line of the file that is wrong, with the columns to point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line's text; what may be a secret is left out.
    pub text: String,
    /// The first column to point at, in characters from zero.
    pub column: usize,
    /// How many characters to point at, at least one.
    pub width: usize,
}

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file is not TOML.
    Syntax {
        /// What the parser said.
        reason: String,
    },
    /// There is no such key.
    UnknownKey {
        /// As it was written.
        key: String,
        /// The nearest key that exists.
        suggestion: Option<String>,
    },
    /// The value has another type than the key.
    WrongType {
        /// The key.
        key: String,
        /// What is expected: `a whole number of milliseconds`.
        expected: String,
        /// What was found; never the value of a secret.
        found: String,
    },
    /// The value has the right type and cannot work.
    Impossible {
        /// The key.
        key: String,
        /// Why not, and what can.
        reason: String,
    },
    /// A librdkafka property that exactly-once depends on.
    Refused {
        /// The property.
        property: String,
        /// Why it is not for the user to set.
        reason: &'static str,
    },
    /// A value that must be said was not.
    Missing {
        /// The key.
        key: String,
        /// How to say it.
        hint: String,
    },
    /// The application's own section does not fit its type.
    Application {
        /// What serde said, without the value of a secret.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { reason } => write!(f, "not valid TOML: {reason}"),
            Self::UnknownKey { key, suggestion: Some(known) } => {
                write!(f, "unknown key `{key}`; did you mean `{known}`?")
            }
            Self::UnknownKey { key, suggestion: None } => write!(f, "unknown key `{key}`"),
            Self::WrongType { key, expected, found } => write!(f, "`{key}` must be {expected}, found {found}"),
            Self::Impossible { key, reason } => write!(f, "`{key}` cannot be so: {reason}"),
            Self::Refused { property, reason } => write!(f, "`kafka.{property}` is not yours to set: {reason}"),
            Self::Missing { key, hint } => write!(f, "`{key}` is missing: {hint}"),
            Self::Application { reason } => f.write_str(reason),
        }
    }
}

/// One mistake in a configuration, with the place where it was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ConfigError {
    /// What is wrong.
    pub problem: Problem,
    /// Who said it.
    pub origin: Origin,
    /// The line, when a file said it.
    pub excerpt: Option<Excerpt>,
}

impl ConfigError {
    pub(super) const fn nowhere(problem: Problem) -> Self {
        Self { problem, origin: Origin::Default, excerpt: None }
    }
}

/// The problem on the first line; for a file, the line with a caret below, as compilers do.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        match (&self.origin, &self.excerpt) {
            (Origin::File { file, line }, Some(excerpt)) => {
                let number = line.to_string();
                let margin = " ".repeat(number.len());
                write!(f, "\n{margin}--> {file}:{line}:{}", excerpt.column + 1)?;
                write!(f, "\n{margin} |\n{number} | {}", excerpt.text)?;
                write!(f, "\n{margin} | {}{}", " ".repeat(excerpt.column), "^".repeat(excerpt.width.max(1)))
            }
            (Origin::Default, _) => Ok(()),
            (Origin::Application, _) => f.write_str("\n --> the application's defaults"),
            (Origin::Environment { variable }, _) => write!(f, "\n --> environment variable {variable}"),
            (origin, _) => write!(f, "\n --> {origin}"),
        }
    }
}

/// Everything that is wrong with a configuration, so that it can be corrected in one go. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Err` with these mistakes, `Ok` when there are none.
    pub(super) fn or_ok(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// One by one, in the order of the sources.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// What the caller must do: a person must correct the configuration.
    pub const fn recovery(&self) -> crate::error::Recovery {
        crate::error::Recovery::Shutdown
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

/// The nearest of `known` to `word`, when it is near enough to be a slip of the hand.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let limit = (word.len() / 4).clamp(1, 4);
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein's distance, in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut before = i + 1;
        next.push(before);
        for (pair, to) in row.windows(2).zip(&right) {
            let &[diagonal, above] = pair else { continue };
            before = (before + 1).min(above + 1).min(diagonal + usize::from(from != *to));
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_a_slip_of_the_hand_away() {
        let known = ["commit.interval.ms", "poll.ms", "state.dir"];
        assert_eq!(nearest("comit.interval.ms", known.into_iter()).as_deref(), Some("commit.interval.ms"));
        assert_eq!(nearest("commit.interval", known.into_iter()).as_deref(), Some("commit.interval.ms"));
        assert_eq!(nearest("state.dri", known.into_iter()).as_deref(), Some("state.dir"));
        assert_eq!(nearest("something.else", known.into_iter()), None);
    }

    #[test]
    fn distance_counts_insertions_deletions_and_changes() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("poll.ms", "poll.ms"), 0);
    }
}
