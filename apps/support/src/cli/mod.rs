//! The commands that every application has, and the `millpond` binary for any application of the library.
//!
//! Without a command the application runs. Answers go to standard output: text for people, with `--json` JSON for programs.
//! Errors go to standard error, with a code, the cause, and what to do; those of an application that runs as well. Exit codes: 0
//! done, 1 not done, or `doctor` and `verify` have found something, 2 the flags or the configuration are wrong.
//!
//! | File | One concept |
//! |---|---|
//! | `failure`, `usage`, `output` | errors, those in the flags; tables and JSON |
//! | `progress`, `time` | bars; times as Kafka's tools write them |
//! | `topology`, `metrics`, `config`, `generate` | what is known without a cluster |
//! | `state` | rows and checkpoints on disk, read only |
//! | `reset` | facts, plan, acts, end; `table` for offsets that are kept elsewhere |
//! | `dead_letters` | list, show, replay |
//! | `doctor` | checks, each with what to do |

mod config;
mod dead_letters;
mod doctor;
mod failure;
mod generate;
mod metrics;
mod output;
#[cfg(any(test, feature = "testing"))]
pub mod outside;
mod progress;
mod reset;
mod state;
mod time;
mod topology;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use millpond::runtime::config::StreamsConfig;

pub use failure::Failure;
pub(crate) use output::Output;

use crate::args::Args;
use crate::logs::set_up_logs;
use crate::program::{Described, Program};
use crate::startup::{App, environment};

/// The whole command line.
#[derive(Debug, Clone, Parser)]
#[command(disable_help_subcommand = true, args_conflicts_with_subcommands = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) args: Args,
    /// Answers and errors as JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do instead of running.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Shows the graph of the application: text, Mermaid or JSON
    Topology(topology::TopologyArgs),
    /// Checks or shows the configuration
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Checks whether the application can run here, and run as it promises; each finding says what to do
    Doctor(doctor::DoctorArgs),
    /// Looks into the state of a stopped or running instance on this machine, read only
    State {
        #[command(subcommand)]
        command: state::StateCommand,
    },
    /// Resets the application, so that it begins anew: shows the plan, and acts with --yes
    Reset(reset::ResetArgs),
    /// Looks at records that were set aside, and sends them again
    DeadLetters {
        #[command(subcommand)]
        command: dead_letters::DeadLettersCommand,
    },
    /// Lists the metrics that the application serves: the reference table
    Metrics(metrics::MetricsArgs),
    /// Prints the completions for a shell
    Completions(generate::CompletionsArgs),
    /// Prints the manual page, or writes all of them
    Man(generate::ManArgs),
}

impl Cli {
    /// Flags and commands of a program.
    pub(crate) fn command_of(program: &Program<'_>) -> clap::Command {
        let App { name, about, version, .. } = *program.app();
        let command = Self::command().name(name).about(about).version(version);
        if program.runs() {
            return command;
        }
        let alone = command.subcommand_required(true).arg_required_else_help(true);
        ["threads", "http", "input", "output", "log_format", "show_config"]
            .into_iter()
            .fold(alone, |command, id| command.mut_arg(id, |arg| arg.hide(true)))
    }

    /// The flags that this process was given. Help, the version and mistakes are told here, in the form that was asked for, and
    /// end the process with this code.
    pub(crate) fn of_process(program: &Program<'_>) -> Result<Self, ExitCode> {
        let line: Vec<OsString> = std::env::args_os().collect();
        Self::of_line(program, &line).map_err(|error| {
            if error.use_stderr() && usage::wants_json(&line) {
                return usage::failure(&error).tell(true);
            }
            // Where it goes may be closed; the exit code still tells.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        })
    }

    fn of_line(program: &Program<'_>, line: &[OsString]) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::command_of(program).try_get_matches_from(line)?)
    }
}

/// What commands work with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) args: &'a Args,
}

impl Context<'_> {
    /// The configuration, with all that running needs.
    pub(crate) fn config(&self) -> Result<StreamsConfig, Failure> {
        self.load(self.program.app())
    }

    /// The configuration for a command that needs no cluster: what only running needs may be missing.
    pub(crate) fn config_without_broker(&self) -> Result<StreamsConfig, Failure> {
        let app = self.program.app();
        let mut defaults = vec![("bootstrap.servers", "localhost:9092")];
        defaults.extend_from_slice(app.placeholders);
        defaults.extend_from_slice(app.defaults);
        self.load(&App { defaults: &defaults, ..*app })
    }

    fn load(&self, app: &App<'_>) -> Result<StreamsConfig, Failure> {
        Ok(app.configure(self.args, environment(std::env::vars_os())?)?)
    }

    /// The application's graph; `None` when this program does not know it.
    pub(crate) fn described(&self, config: &StreamsConfig) -> Result<Option<Described>, Failure> {
        self.program.describe(config).map_err(|error| Failure::configuration(&*error))
    }
}

/// Runs a command and tells how it went.
pub(crate) fn run(program: &Program<'_>, cli: &Cli, command: &Command) -> ExitCode {
    // Whoever asks for logs gets them; otherwise what librdkafka says would stand between the lines of the answer.
    if std::env::var_os("RUST_LOG").is_some() {
        set_up_logs(cli.args.log_format.as_deref());
    }
    let context = Context { program, args: &cli.args };
    let mut stdout = std::io::stdout().lock();
    match answer(command, context, &mut Output::new(cli.json, &mut stdout)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the answer has closed it.
        Err(failure) if failure.code == "output-closed" => ExitCode::SUCCESS,
        Err(failure) => failure.tell(cli.json),
    }
}

fn answer(command: &Command, context: Context<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    match command {
        Command::Topology(args) => topology::run(args, context, out),
        Command::Config { command } => config::run(command, context, out),
        Command::State { command } => state::run(command, context, out),
        Command::Reset(args) => reset::run(args, context, out),
        Command::DeadLetters { command } => dead_letters::run(command, context, out),
        Command::Doctor(args) => doctor::run(args, context, out),
        Command::Metrics(args) => metrics::run(args, context.program.own(), out),
        Command::Completions(args) => generate::completions(args, Cli::command_of(context.program), out),
        Command::Man(args) => generate::man(args, Cli::command_of(context.program), out),
    }
}

#[cfg(test)]
mod tests;
