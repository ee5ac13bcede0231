//! The program behind `./dev`; run it through that script, which sets up what it needs.

mod bench;
mod boards;
mod coverage;
mod demo;
mod sbom;
mod services;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "./dev", bin_name = "./dev", about = "Local services, demo and measurements")]
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
    /// Run the four applications under load while they and the services are killed, frozen and damaged; compare results.
    Chaos(millpond_chaos::Options),
    /// Measure the library beside Kafka Streams: the same work, topics and broker.
    Bench(bench::Options),
    /// Write Grafana's boards and the references of metrics and of the configuration from the tables in the code.
    Boards,
    /// Write the bill of materials of the applications, with what is compiled from C.
    Sbom(sbom::Options),
    /// Show which lines of the library the tests reach.
    Coverage(coverage::Options),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Up => services::up().map(|()| ExitCode::SUCCESS),
        Command::Down => services::down().map(|()| ExitCode::SUCCESS),
        Command::Demo(options) => demo::run(&options),
        Command::Chaos(options) => chaos(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Boards => boards::write().map(|()| ExitCode::SUCCESS),
        Command::Sbom(options) => sbom::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Coverage(options) => coverage::run(&options),
    }
}

fn chaos(options: &millpond_chaos::Options) -> anyhow::Result<ExitCode> {
    let report = millpond_chaos::run(options)?;
    let text = if options.json { report.json().to_string() } else { format!("{:#}", report.json()) };
    std::io::Write::write_all(&mut std::io::stdout().lock(), format!("{text}\n").as_bytes())?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
