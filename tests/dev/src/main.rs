//! The program behind `./dev`; run it through that script, which sets up what it needs.

mod services;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "./dev", about = "Local services, demo and measurements")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a local Kafka and PostgreSQL that stay up, with their data under .millpond/.
    Up,
    /// Stop what `up` has started; the data stays.
    Down,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Up => services::up(),
        Command::Down => services::down(),
    }
}
