//! The `[app]` section: the application's own values, typed by its own struct.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::Setting;
use super::error::{ConfigError, ConfigErrors, Origin, Problem};
use super::security::{is_secret_name, masked};
use super::sources::{File, Place, Sources, VariableKey, variable_key};

/// The application's values from all sources, not typed yet. `Debug` masks what may be a secret.
#[derive(Clone, Default)]
pub struct AppConfig {
    defaults: Vec<Said>,
    file: Option<File>,
    overrides: Vec<Said>,
}

/// A value without a type, and who said it.
#[derive(Clone)]
struct Said {
    path: Vec<String>,
    value: String,
    origin: Origin,
}

/// A value at its place in the tree.
struct Leaf<'a> {
    path: Vec<String>,
    value: Spanned<DeValue<'a>>,
}

impl AppConfig {
    pub(super) fn collect(sources: &Sources, errors: &mut Vec<ConfigError>) -> Self {
        let path = |key: &str| key.strip_prefix("app.").map(|path| path.split('.').map(str::to_owned).collect());
        let defaults = sources.defaults.iter().filter_map(|(key, value)| {
            Some(Said { path: path(key)?, value: value.clone(), origin: Origin::Application })
        });
        let variables = sources.environment.iter().filter_map(|(variable, value)| match variable_key(variable) {
            VariableKey::App(path) => {
                Some(Said { path, value: value.clone(), origin: Origin::Environment { variable: variable.clone() } })
            }
            _ => None,
        });
        let flags = sources.flags.iter().filter_map(|flag| {
            let origin = Origin::Flag { flag: flag.flag.clone() };
            Some(Said { path: path(&flag.key)?, value: flag.value.clone(), origin })
        });
        let app = Self {
            defaults: defaults.collect(),
            file: sources.file.clone(),
            overrides: variables.chain(flags).collect(),
        };
        app.check_form(errors);
        app
    }

    /// The values as the application's struct. Give it `#[serde(deny_unknown_fields)]`, so that slips of the hand are
    /// found, and [`Secret`](super::Secret) for what nobody may see.
    ///
    /// # Errors
    /// [`ConfigErrors`] with the line, flag or variable that does not fit; show it, and stop.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, ConfigErrors> {
        // A flag or variable has no type: `5` is taken for a number first, and for a text when a number does not fit.
        let mut as_text = vec![false; self.defaults.len() + self.overrides.len()];
        let mut first: Option<toml::de::Error> = None;
        loop {
            let table = Spanned::new(0..0, self.tree(&as_text));
            let error = match T::deserialize(Deserializer::from(table)) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let said = error.span().and_then(|span| span.start.checked_sub(self.base()));
            match said.and_then(|index| as_text.get_mut(index)) {
                Some(tried) if !*tried => {
                    *tried = true;
                    first.get_or_insert(error);
                }
                _ => return Err(self.explain(&first.unwrap_or(error)).into()),
            }
        }
    }

    /// The values with their origins, for people to look at.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let as_text = vec![false; self.defaults.len() + self.overrides.len()];
        let mut settings = BTreeMap::new();
        for leaf in self.leaves(&as_text) {
            let key = format!("app.{}", leaf.path.join("."));
            let plain = shown(leaf.value.get_ref());
            let value = masked(&key, &plain);
            let is_text = matches!(leaf.value.get_ref(), DeValue::String(_)) || value != plain;
            let origin = self.place(&leaf.value.span()).origin;
            settings.insert(key.clone(), Setting { key, value, is_text, origin });
        }
        settings.into_values().collect()
    }

    fn check_form(&self, errors: &mut Vec<ConfigError>) {
        let Some(file) = &self.file else { return };
        // A file that is not TOML has been reported already.
        let Ok(table) = DeTable::parse(&file.text) else { return };
        let Some(app) = table.get_ref().get("app") else { return };
        if app.get_ref().as_table().is_none() {
            let problem = Problem::WrongType {
                key: "app".to_owned(),
                expected: "a section: [app]".to_owned(),
                found: format!("a {}", app.get_ref().type_str()),
            };
            errors.push(file.place(app.span()).error(problem));
        }
    }

    /// Spans from here on stand for values that no file said: one position each, defaults first.
    fn base(&self) -> usize {
        self.file.as_ref().map_or(0, |file| file.text.len()) + 1
    }

    fn said(&self) -> impl Iterator<Item = &Said> {
        self.defaults.iter().chain(&self.overrides)
    }

    /// All values in the order in which they override each other.
    fn leaves(&self, as_text: &[bool]) -> Vec<Leaf<'_>> {
        let said = self.said().zip(as_text).enumerate().map(|(index, (said, as_text))| {
            let at = self.base() + index;
            let value = if *as_text { DeValue::String(said.value.as_str().into()) } else { guess(&said.value) };
            Leaf { path: said.path.clone(), value: respan(value, at) }
        });
        let mut leaves: Vec<Leaf<'_>> = said.collect();
        let overrides = leaves.split_off(self.defaults.len());
        if let Some(Ok(table)) = self.file.as_ref().map(|file| DeTable::parse(&file.text)) {
            for (key, value) in table.into_inner() {
                if let ("app", DeValue::Table(app)) = (key.get_ref().as_ref(), value.into_inner()) {
                    flatten(&[], app, &mut leaves);
                }
            }
        }
        leaves.extend(overrides);
        leaves
    }

    fn tree(&self, as_text: &[bool]) -> DeTable<'_> {
        let mut root = DeTable::new();
        for leaf in self.leaves(as_text) {
            put(&mut root, &leaf.path, leaf.value);
        }
        root
    }

    fn place(&self, span: &std::ops::Range<usize>) -> Place {
        if let Some(index) = span.start.checked_sub(self.base()) {
            let origin = self.said().nth(index).map_or(Origin::Default, |said| said.origin.clone());
            return Place { origin, excerpt: None };
        }
        self.file.as_ref().map_or_else(Place::default, |file| file.place(span.clone()))
    }

    fn explain(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message();
        if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            let variable = field.to_ascii_uppercase();
            let hint = format!("say it in the [app] section of the file, or as MILLPOND_APP_{variable}");
            return ConfigError::nowhere(Problem::Missing { key: format!("app.{field}"), hint });
        }
        let Some(span) = error.span() else {
            return ConfigError::nowhere(Problem::Application { reason: message.to_owned() });
        };
        let place = self.place(&span);
        let path = self.leaves(&vec![false; self.defaults.len() + self.overrides.len()]);
        let secret =
            path.iter().any(|leaf| leaf.value.span() == span && leaf.path.iter().any(|key| is_secret_name(key)));
        let reason = if secret { "the value has the wrong type".to_owned() } else { message.to_owned() };
        place.error(Problem::Application { reason })
    }
}

impl fmt::Debug for AppConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.settings().into_iter().map(|setting| (setting.key, setting.value))).finish()
    }
}

/// A number, a truth value or a list when it looks like one, else a text.
fn guess(text: &str) -> DeValue<'_> {
    match DeValue::parse(text).map(Spanned::into_inner) {
        Ok(value @ (DeValue::Integer(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::String(_))) => value,
        Ok(value @ DeValue::Float(_)) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => value,
        _ => DeValue::String(text.into()),
    }
}

fn respan(value: DeValue<'_>, at: usize) -> Spanned<DeValue<'_>> {
    let value = match value {
        DeValue::Array(items) => {
            let mut moved = DeArray::new();
            for item in items {
                moved.push(respan(item.into_inner(), at));
            }
            DeValue::Array(moved)
        }
        DeValue::Table(table) => {
            let moved = table
                .into_iter()
                .map(|(key, value)| (Spanned::new(at..at, key.into_inner()), respan(value.into_inner(), at)));
            DeValue::Table(moved.collect())
        }
        other => other,
    };
    Spanned::new(at..at, value)
}

fn flatten<'a>(prefix: &[String], table: DeTable<'a>, leaves: &mut Vec<Leaf<'a>>) {
    for (key, value) in table {
        let mut path = prefix.to_vec();
        path.push(key.get_ref().to_string());
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => flatten(&path, table, leaves),
            // An unknown field is reported at its key, everything else at its value: the tree keeps the value's span for
            // both, so that a leaf is found again by it.
            other => leaves.push(Leaf { path, value: Spanned::new(span, other) }),
        }
    }
}

fn put<'a>(table: &mut DeTable<'a>, path: &[String], value: Spanned<DeValue<'a>>) {
    let Some((first, rest)) = path.split_first() else { return };
    let span = value.span();
    let key = || Spanned::new(span.clone(), first.clone().into());
    if rest.is_empty() {
        table.remove(first.as_str());
        table.insert(key(), value);
        return;
    }
    if !matches!(table.get(first.as_str()).map(Spanned::get_ref), Some(DeValue::Table(_))) {
        table.insert(key(), Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    }
    if let Some(DeValue::Table(inner)) = table.get_mut(first.as_str()).map(Spanned::get_mut) {
        put(inner, rest, value);
    }
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        // Tables within lists only; their keys could name secrets that nobody looks at here.
        DeValue::Table(_) => "{…}".to_owned(),
    }
}
