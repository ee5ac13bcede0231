//! What can be asked of the benchmark.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Addresses are redacted; no state.
    Redaction,
    /// Records of each key are counted; one store.
    Count,
    /// Bursts in carts; re-keyed, one store.
    Fraud,
    /// Orders get the channel of the first visit; re-keyed, one store.
    Attribution,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::Redaction, Self::Count, Self::Fraud, Self::Attribution];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redaction => "redaction",
            Self::Count => "count",
            Self::Fraud => "fraud",
            Self::Attribution => "attribution",
        }
    }

    pub(crate) const fn is_rekeyed(self) -> bool {
        matches!(self, Self::Fraud | Self::Attribution)
    }

    pub(crate) const fn has_state(self) -> bool {
        !matches!(self, Self::Redaction)
    }
}

/// Options of `./dev bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// At most five minutes: fewer events, one round
    #[arg(long)]
    pub(crate) quick: bool,
    /// What to measure, separated by commas; all if not said
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) works: Vec<Work>,
    /// Events in the input topic [3,000,000; quick: 600,000]
    #[arg(long, value_name = "N")]
    events: Option<NonZeroU64>,
    /// Users, which are the keys
    #[arg(long, value_name = "N", default_value = "200000")]
    pub(crate) users: NonZeroU32,
    /// Bytes of an event, at least
    #[arg(long, value_name = "N", default_value = "170")]
    pub(crate) record_bytes: usize,
    /// Runs of each program, alternating; medians are shown [3; quick: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<NonZeroU32>,
    /// Stream threads of each program
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) threads: NonZeroU32,
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) partitions: NonZeroU32,
    /// `commit.interval.ms` of each program
    #[arg(long, value_name = "MS", default_value = "100")]
    pub(crate) commit_ms: NonZeroU32,
    /// Leave Kafka Streams out
    #[arg(long)]
    pub(crate) alone: bool,
    /// Print one JSON object in the end; everything else goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Kafka Streams' jars; `./dev bench` says where
    #[arg(long, env = "MILLPOND_STREAMS_LIB", hide = true)]
    pub(crate) streams_lib: Option<PathBuf>,
}

impl Options {
    pub(crate) fn events(&self) -> u64 {
        self.events.map_or(if self.quick { 600_000 } else { 3_000_000 }, NonZeroU64::get)
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.map_or(if self.quick { 1 } else { 3 }, NonZeroU32::get)
    }

    pub(crate) fn works(&self) -> Vec<Work> {
        if self.works.is_empty() { Work::ALL.to_vec() } else { self.works.clone() }
    }

    pub(crate) fn partitions(&self) -> i32 {
        i32::try_from(self.partitions.get()).unwrap_or(i32::MAX)
    }
}
