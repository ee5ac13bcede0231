//! The application's own section of the configuration, `[app]`.

use std::time::Duration;

use serde::Deserialize;

use crate::Rule;

/// Topics and rule, as they are configured; what is absent is as in [`Rule::default`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The topic to read.
    pub input: String,
    /// The topic to write.
    pub output: String,
    correction_ms: Option<u64>,
    /// Channels that are counted by their names in metrics, separated by commas; all others are `other` there.
    metric_channels: Option<String>,
}

/// Channels that have a metric of their own when nothing is said.
const CHANNELS: &str = "ads,affiliate,direct,display,email,facebook,google,instagram,mail,partner,referral,retargeting,search,social,tiktok";

/// So many may be named: each is a label of a metric.
const CHANNELS_MAX: usize = 64;

impl Settings {
    /// The rule that they describe.
    pub fn rule(&self) -> Rule {
        Rule { correction: self.correction_ms.map_or(Rule::default().correction, Duration::from_millis) }
    }

    /// Channels that are counted by their names.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        let named = self.metric_channels.as_deref().unwrap_or(CHANNELS).split(',').map(str::trim);
        named.filter(|channel| !channel.is_empty()).take(CHANNELS_MAX)
    }
}
