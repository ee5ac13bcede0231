//! The application's own section of the configuration, `[app]`.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use serde::Deserialize;

use crate::rule::Rule;

/// Topics and rule, as they are configured; what is absent is as in [`Rule::default`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The topic to read.
    pub input: String,
    /// The topic to write.
    pub output: String,
    window_ms: Option<NonZeroU64>,
    count: Option<NonZeroUsize>,
    grace_ms: Option<u64>,
    distinct_items: Option<bool>,
    idle_ms: Option<u64>,
    /// Whether the page shows users and items as they are, to everybody who reaches it.
    #[serde(default)]
    pub page_unmasked: bool,
}

impl Settings {
    /// The rule that they describe.
    pub fn rule(&self) -> Rule {
        let default = Rule::default();
        let millis = |given: Option<u64>, default| given.map_or(default, Duration::from_millis);
        Rule {
            window: millis(self.window_ms.map(NonZeroU64::get), default.window),
            count: self.count.unwrap_or(default.count),
            grace: millis(self.grace_ms, default.grace),
            distinct_items: self.distinct_items.unwrap_or(default.distinct_items),
            idle: millis(self.idle_ms, default.idle),
        }
    }
}
