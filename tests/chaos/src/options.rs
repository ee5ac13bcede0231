//! What can be asked of a run.

use clap::Args;

use crate::fault::Fault;

/// Options of `./dev chaos`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Processes of applications to kill, at failpoints and at random moments
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub kills: u64,
    /// No new round begins after that many seconds, and what is missing then is told
    #[arg(long, value_name = "S", default_value_t = 3_600)]
    pub seconds: u64,
    /// Kinds of faults, separated by commas; without it all of them
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub faults: Vec<Fault>,
    /// Chooses events, moments and places; the interleaving on a real machine differs all the same
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Events per second
    #[arg(long, value_name = "R", default_value_t = 2_000)]
    pub rate: u64,
    /// Events in all, at least; what the rounds have not needed comes at once in their ends
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub events: u64,
    /// Print one JSON object in the end; everything else goes to standard error
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// Whether that fault is asked for.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.is_empty() || self.faults.contains(&fault)
    }
}
