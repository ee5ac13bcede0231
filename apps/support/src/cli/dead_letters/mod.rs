//! `dead-letters`: what was set aside, and sending it again.

mod read;
mod replay;
mod show;

use clap::{Args, Subcommand};
use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::runtime::config::StreamsConfig;

use super::output::Output;
use super::{Context, Failure};

/// What to do with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Lists them, the newest last, without their records
    List(ListArgs),
    /// Shows one: why, where from, and its record when asked for
    Show {
        /// Its partition and offset: 0@17
        at: String,
        /// Print the record's key, value and headers, which may be personal data
        #[arg(long)]
        payload: bool,
    },
    /// Sends their records again, to be processed as new input: shows which, and acts with --yes
    Replay(ReplayArgs),
}

/// Which to list.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Only those of this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// At most so many, the newest; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Which to send again, and where to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArgs {
    /// Partition and offset of each: 0@17 0@18
    at: Vec<String>,
    /// All of this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// All there are
    #[arg(long, conflicts_with_all = ["at", "reason"])]
    all: bool,
    /// Into this topic instead of the one where each was read
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Also those that were sent again before
    #[arg(long)]
    again: bool,
    /// Do it; without this it is shown what would be sent
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(command: &DeadLettersCommand, context: Context<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let config = context.config()?;
    let broker = KafkaBroker::connect(KafkaConfig::of(&config)?)?;
    let letters = read::all(&broker, &config.dead_letter_topic_name())?;
    match command {
        DeadLettersCommand::List(args) => show::list(args, &letters, out),
        DeadLettersCommand::Show { at, payload } => show::one(at, *payload, &letters, out),
        DeadLettersCommand::Replay(args) => {
            replay::run(args, &Cluster { broker: &broker, config: &config }, &letters, out)
        }
    }
}

/// Where letters are and go.
struct Cluster<'a> {
    broker: &'a KafkaBroker,
    config: &'a StreamsConfig,
}
