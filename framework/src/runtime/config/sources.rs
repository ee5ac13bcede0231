//! Where values come from, made into one list of entries in the order in which they override each other.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Excerpt, Origin, Problem, nearest};
use super::key;
use super::security::{MASK, is_secret_name};

/// What the edge has read for us: the core opens no file and reads no environment.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The application's own defaults: key and value.
    pub defaults: Vec<(String, String)>,
    /// The configuration file, if there is one.
    pub file: Option<File>,
    /// The whole environment. Names that begin with `MILLPOND_` are ours; `XDG_DATA_HOME` and `HOME` give `state.dir`.
    pub environment: Vec<(String, String)>,
    /// Values from the command line.
    pub flags: Vec<Flag>,
}

/// A configuration file, read.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name, for messages.
    pub name: String,
    /// Its text: TOML.
    pub text: String,
}

/// A value from the command line. (`Debug` does not show the value: it may be a secret.)
#[derive(Clone)]
pub struct Flag {
    /// As it is typed: `--threads`.
    pub flag: String,
    /// The key it sets: `num.stream.threads`, or `app.input`.
    pub key: String,
    /// The value.
    pub value: String,
}

impl std::fmt::Debug for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flag").field("flag", &self.flag).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Where a value was said, and the line to show for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) origin: Origin,
    pub(super) excerpt: Option<Excerpt>,
}

impl Place {
    pub(super) fn error(&self, problem: Problem) -> ConfigError {
        ConfigError { problem, origin: self.origin.clone(), excerpt: self.excerpt.clone() }
    }
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// From a flag, a variable or the application's defaults: without a type.
    Said(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float, as written.
    Float(String),
    /// A TOML boolean.
    Boolean(bool),
    /// An array, a date, or an integer beyond 64 bits.
    Other(&'static str),
}

impl Raw {
    fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number too large"), Self::Integer),
            DeValue::Float(number) => Self::Float(number.as_str().to_owned()),
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Array(_) => Self::Other("a list"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// For messages; never called for a secret.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Said(text) => format!("`{text}`"),
            Self::Text(text) => format!("the text \"{text}\""),
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Boolean(value) => value.to_string(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }
}

/// One key with its value and place.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) raw: Raw,
    pub(super) place: Place,
}

/// Prefix of our environment variables.
const PREFIX: &str = "MILLPOND_";
/// Variables that name the file itself, and those of the project's set-up script and tests.
const NOT_CONFIGURATION: &[&str] = &[
    "AXE",
    "CACHE",
    "CHROMIUM",
    "CONFIG",
    "FUZZ_TARGET",
    "JAVA",
    "KAFKA_LIB",
    "KEEP",
    "NO_BROWSER",
    "PICTURES",
    "POSTGRES_BIN",
    "PROMETHEUS",
];
const NOT_CONFIGURATION_PREFIXES: &[&str] = &["DEV_", "TEST_"];

impl Sources {
    /// Everything but the application's section, weakest first. Mistakes of form go to `errors`.
    pub(super) fn entries(&self, errors: &mut Vec<ConfigError>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        let said = |key: &str, value: &str, origin| Entry {
            key: key.to_owned(),
            raw: Raw::Said(value.to_owned()),
            place: Place { origin, excerpt: None },
        };
        entries.extend(self.defaults.iter().map(|(key, value)| said(key, value, Origin::Application)));
        if let Some(file) = &self.file {
            match DeTable::parse(&file.text) {
                Ok(table) => {
                    for (key, value) in table.get_ref() {
                        if key.get_ref() != "app" {
                            file.flatten("", key, value, &mut entries);
                        }
                    }
                }
                Err(error) => errors.push(file.syntax_error(&error)),
            }
        }
        for (variable, value) in &self.environment {
            let origin = Origin::Environment { variable: variable.clone() };
            match variable_key(variable) {
                VariableKey::Key(key) => entries.push(said(&key, value, origin)),
                VariableKey::Unknown(problem) => errors.push(ConfigError { problem, origin, excerpt: None }),
                VariableKey::App(_) | VariableKey::NotOurs => {}
            }
        }
        for flag in &self.flags {
            entries.push(said(&flag.key, &flag.value, Origin::Flag { flag: flag.flag.clone() }));
        }
        entries.retain(|entry| !entry.key.starts_with("app."));
        entries
    }

    /// `state.dir` when nobody says one: the user's data directory, so that the state stays the same from wherever the
    /// program is started, and survives a reboot, which `/tmp` does not.
    pub(super) fn default_state_dir(&self) -> Option<PathBuf> {
        let variable = |name: &str| {
            let found = self.environment.iter().rev().find(|(have, _)| have == name);
            found.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute())
        };
        let data = variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
        data.map(|data| data.join("millpond"))
    }
}

/// What a variable's name means.
pub(super) enum VariableKey {
    Key(String),
    /// A path in the application's section.
    App(Vec<String>),
    Unknown(Problem),
    NotOurs,
}

pub(super) fn variable_key(variable: &str) -> VariableKey {
    let Some(name) = variable.strip_prefix(PREFIX) else { return VariableKey::NotOurs };
    if NOT_CONFIGURATION.contains(&name) || NOT_CONFIGURATION_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return VariableKey::NotOurs;
    }
    if let Some(path) = name.strip_prefix("APP_") {
        return VariableKey::App(path.split("__").map(str::to_ascii_lowercase).collect());
    }
    let key = name.to_ascii_lowercase().replace('_', ".");
    if key.starts_with("kafka.") || key::KEYS.iter().any(|known| known.name == key) {
        return VariableKey::Key(key);
    }
    let suggestion = nearest(&key, key::KEYS.iter().map(|key| key.name)).map(|known| variable_name(&known));
    VariableKey::Unknown(Problem::UnknownKey { key: variable.to_owned(), suggestion })
}

fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

impl File {
    /// Joins dotted keys and tables to one name: `commit.interval.ms` is three tables in TOML's eyes.
    fn flatten(
        &self,
        prefix: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        entries: &mut Vec<Entry>,
    ) {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(table) if !table.is_empty() => {
                for (inner, value) in table {
                    self.flatten(&name, inner, value, entries);
                }
            }
            DeValue::Table(_) if name == "kafka" => {}
            other => {
                let known = name.starts_with("kafka.") || key::KEYS.iter().any(|known| known.name == name);
                let span = if known && !is_secret_name(&name) { value.span() } else { self.whole_key(key.span()) };
                let mut place = self.place(span);
                // The line alone does not tell: `value = …` in the table of a secret.
                if let Some(excerpt) = place.excerpt.as_mut().filter(|_| is_secret_name(&name)) {
                    excerpt.text = hidden(&excerpt.text);
                }
                entries.push(Entry { key: name, raw: Raw::from_toml(other), place });
            }
        }
    }

    /// The span of a dotted key from its first part on, of which the parser tells the last part only.
    fn whole_key(&self, last: Range<usize>) -> Range<usize> {
        let before = self.text.get(..last.start).unwrap_or("");
        let line = before.rsplit('\n').next().unwrap_or("").trim_start();
        let dotted = line.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '"' | ' '));
        if dotted { last.start - line.len()..last.end } else { last }
    }

    /// The line of a span, with the columns to point at.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let rest = self.text.get(line_start..).unwrap_or("");
        let text = rest.lines().next().unwrap_or("");
        let column = before.get(line_start..).unwrap_or("").chars().count();
        let width = self
            .text
            .get(start..span.end.min(self.text.len()))
            .map_or(1, |pointed| pointed.lines().next().unwrap_or("").chars().count().max(1));
        let origin = Origin::File { file: self.name.clone(), line };
        Place { origin, excerpt: Some(Excerpt { text: without_secret(text), column, width }) }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> ConfigError {
        let place = self.place(error.span().unwrap_or(0..0));
        place.error(Problem::Syntax { reason: error.message().to_owned() })
    }
}

/// A line of the file as it may be shown: without the value when the key tells of a secret, and without lines in the
/// middle of a longer text, which may be a key.
fn without_secret(line: &str) -> String {
    let Some((key, value)) = line.split_once('=') else {
        let harmless = line.trim_start().starts_with(['[', '#']) || line.len() < 24;
        return if harmless { line.to_owned() } else { MASK.to_owned() };
    };
    let name = key.trim().trim_matches(['"', '\'']);
    let url_with_password = line.contains("://") && line.contains('@');
    // What was meant as a URL and is none may hold a password anywhere.
    let may_be_url = name.to_ascii_lowercase().ends_with("url");
    if is_secret_name(name) || is_secret_name(value) || url_with_password || may_be_url {
        hidden(line)
    } else {
        line.to_owned()
    }
}

/// A line without its value.
fn hidden(line: &str) -> String {
    line.split_once('=').map_or_else(|| MASK.to_owned(), |(key, _)| format!("{key}= {MASK}"))
}
