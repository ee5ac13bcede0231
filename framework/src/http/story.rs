//! What an application tells about itself on its page, beside what the library knows.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::history::Traffic;
use crate::time::Timestamp;

/// An application's own section of the page. It is asked about once a second while somebody looks, on the server's thread: it
/// reads what the stream threads have left for it, and never waits for them.
///
/// Whoever reaches the page reads it: no key, value or header of a record belongs here unless somebody has asked for it by
/// the configuration.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use millpond::http::{Block, Section, Story, Traffic};
/// use millpond::time::Timestamp;
///
/// /// Shared with the processor, which adds to it.
/// #[derive(Debug, Default)]
/// struct Parcels(AtomicU64);
///
/// impl Story for Parcels {
///     fn tell(&self, _now: Timestamp, traffic: &Traffic) -> Section {
///         let sent = self.0.load(Ordering::Relaxed);
///         let facts = Block::facts([("Sent", sent.to_string()), ("Now", format!("{:.0}/s", traffic.written_total()))]);
///         Section::new("Parcels").with(facts)
///     }
/// }
/// # let _: Arc<dyn Story> = Arc::new(Parcels::default());
/// ```
pub trait Story: fmt::Debug + Send + Sync {
    /// The section as it is now. `traffic` has the rates of the last seconds.
    fn tell(&self, now: Timestamp, traffic: &Traffic) -> Section;
}

/// A section of the page. Texts are shown as they are; the page escapes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Section {
    /// Above it.
    pub heading: String,
    /// What it shows, one below the other.
    pub blocks: Vec<Block>,
}

impl Section {
    /// A section with nothing in it yet.
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), blocks: Vec::new() }
    }

    /// The same with a block below the others.
    #[must_use]
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }
}

/// A part of a [`Section`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Block {
    /// A sentence or two.
    Note(String),
    /// Single values, side by side.
    Facts(Vec<Fact>),
    /// Parts of a whole, with bars.
    Shares {
        /// What is shared out.
        caption: String,
        /// In the order in which they are shown.
        shares: Vec<Share>,
    },
    /// Rows and columns.
    Table {
        /// What it shows.
        caption: String,
        /// The names of the columns.
        head: Vec<String>,
        /// As many cells in each as there are columns; the first names the row.
        rows: Vec<Vec<String>>,
    },
    /// Moments within some spans of time, each span a line.
    Timelines {
        /// What it shows.
        caption: String,
        /// How long a line is.
        length: Duration,
        /// The newest first.
        timelines: Vec<Timeline>,
    },
    /// A text before and after something was done to it.
    Change {
        /// What was done.
        caption: String,
        /// What it was.
        before: String,
        /// What it became.
        after: String,
    },
}

impl Block {
    /// Values with their names, none of them striking.
    pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let fact = |(name, value): (&str, String)| Fact { name: name.to_owned(), value, tone: Tone::Plain };
        Self::Facts(facts.into_iter().map(fact).collect())
    }
}

/// A value with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// How much, or which.
    pub value: String,
    /// Whether somebody should look.
    pub tone: Tone,
}

/// How a value strikes the eye. The words must tell it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Somebody should look.
    Warning,
    /// Something is broken.
    Bad,
}

/// A part of a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Which part.
    pub label: String,
    /// How much of it.
    pub count: u64,
}

/// Moments in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Whose they are.
    pub label: String,
    /// When the line begins, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The moments in order.
    pub marks: Vec<Mark>,
}

/// A moment of a [`Timeline`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Milliseconds after the beginning of the line; `None` where only the order is known.
    pub after_ms: Option<u64>,
    /// What happened.
    pub label: String,
}
