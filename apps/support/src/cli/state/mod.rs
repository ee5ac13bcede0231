//! `state`: what a stopped or running instance has on disk, read only.

mod changelog;
mod held;
mod open;
mod rows;
mod summary;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::Output;
use super::{Context, Failure};
use open::Opened;

/// What to do with the state.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum StateCommand {
    /// Lists instances, tasks and stores that have state here
    Ls(Selection),
    /// Prints the value of a key
    Get {
        /// The store
        store: String,
        /// The key: a text, JSON for other types, or bytes as 0x…
        key: String,
        #[command(flatten)]
        selection: Selection,
    },
    /// Prints the rows of a store in the order of their keys, task by task
    Scan {
        /// The store
        store: String,
        /// Only keys whose bytes begin with this text, or with these bytes as 0x…
        #[arg(long, value_name = "PREFIX", default_value = "")]
        prefix: String,
        /// At most so many rows; 0 for all
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        selection: Selection,
    },
    /// Prints rows, bytes, and the checkpoint of each task
    Stats(Selection),
    /// Reads and decodes every row and checkpoint; exit code 1 when something is damaged
    Verify {
        /// Also compare each store with what its changelog says, read from the beginning; for instances that are stopped
        #[arg(long)]
        changelog: bool,
        #[command(flatten)]
        selection: Selection,
    },
    /// Writes all rows as lines of JSON
    Export {
        /// The store; all when it is not said
        store: Option<String>,
        /// Into this file instead of standard output
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        selection: Selection,
    },
}

/// Which part of the state.
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::doc_markdown, reason = "shown to people by --help, where backticks would stand")]
pub(crate) struct Selection {
    /// Only this instance
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only this task, such as 0_3
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
}

pub(crate) fn run(command: &StateCommand, context: Context<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let compares = matches!(command, StateCommand::Verify { changelog: true, .. });
    let config = if compares { context.config()? } else { context.config_without_broker()? };
    let formats = context.program.formats();
    let open = |selection: &Selection| Opened::find(&config, selection);
    match command {
        StateCommand::Ls(selection) => summary::ls(&open(selection)?, out),
        StateCommand::Stats(selection) => summary::stats(&open(selection)?, out),
        StateCommand::Get { store, key, selection } => rows::get(&open(selection)?, formats, (store, key), out),
        StateCommand::Scan { store, prefix, limit, selection } => {
            rows::scan(&open(selection)?, formats, &rows::Wanted { store, prefix, limit: *limit }, out)
        }
        StateCommand::Verify { changelog, selection } => {
            let opened = open(selection)?;
            verify::run(&opened, formats, Some(&config).filter(|_| *changelog), out)
        }
        StateCommand::Export { store, file, selection } => {
            rows::export(&open(selection)?, formats, (store.as_deref(), file.as_deref()), out)
        }
    }
}
