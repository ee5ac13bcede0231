//! What can be asked of the demo.

use std::num::{NonZeroU32, NonZeroU64};

use clap::Args;

/// How long a demo runs that was only asked to verify.
const VERIFIED_SECONDS: u64 = 20;

/// Options of `./dev demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Produce for that many seconds, then stop; without it until Ctrl-C, or 20 seconds with --verify or --json
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<NonZeroU64>,
    /// Events per second
    #[arg(long, value_name = "R", default_value = "5000")]
    pub(crate) rate: NonZeroU32,
    /// The same seed, rate and number of users produce the same events
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Users of the shop
    #[arg(long, value_name = "N", default_value = "100000")]
    pub(crate) users: NonZeroU32,
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) partitions: NonZeroU32,
    /// Stream threads of each application
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) threads: NonZeroU32,
    /// In the end compare every output with what the input in the topic asks for; not equal is an error
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print one JSON object in the end; everything else goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Your own Kafka: topics of this run get names of their own, and stay
    #[arg(long, value_name = "SERVERS")]
    pub(crate) bootstrap_servers: Option<String>,
    /// Your own PostgreSQL, `postgres://user:password@host:5432/database`; rows of this run are added, and stay
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
}

impl Options {
    /// How long events are produced; none: until Ctrl-C.
    pub(crate) fn seconds(&self) -> Option<u64> {
        let seconds = self.seconds.map(NonZeroU64::get);
        seconds.or_else(|| (self.verify || self.json).then_some(VERIFIED_SECONDS))
    }

    /// Whether some service is not ours, so that names must be.
    pub(crate) fn has_own_services(&self) -> bool {
        self.bootstrap_servers.is_some() || self.database_url.is_some()
    }

    pub(crate) fn partitions(&self) -> i32 {
        i32::try_from(self.partitions.get()).unwrap_or(i32::MAX)
    }
}
