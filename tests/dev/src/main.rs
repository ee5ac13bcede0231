//! The program behind `./dev`; run it through that script, which sets up what it needs.

mod demo;
mod services;

use std::process::ExitCode;

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
    /// Run the four applications on a real Kafka and PostgreSQL, with a shop that produces events.
    Demo(demo::Options),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Up => services::up().map(|()| ExitCode::SUCCESS),
        Command::Down => services::down().map(|()| ExitCode::SUCCESS),
        Command::Demo(options) => demo::run(&options),
    }
}
