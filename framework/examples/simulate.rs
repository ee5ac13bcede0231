//! Runs seeds of a simulation in bulk; `./dev simulate` calls it.
//!
//! ```text
//! cargo run --release -p millpond --example simulate --no-default-features --features testing -- --seeds 10000
//! ```
//!
//! Exits with an error when a seed fails, or when a kind of fault never struck in ten thousand seeds or more.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a program for developers")]
#![allow(clippy::disallowed_methods, reason = "it measures its own speed")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use millpond::runtime::Breakage;
use millpond::testing::Simulation;
use millpond::testing::simulation::{Outcome, Run, Summary};

#[path = "../tests/simulation/topologies.rs"]
mod topologies;

const USAGE: &str = "\
./dev simulate [--topology copy|counts|memory|table] [--seeds N] [--from SEED] [--tearing] [--mistakes] [--json]
               [--instances N] [--partitions N]
./dev simulate [--topology …] [--tearing] [--mistakes] --report SEED   the whole story of one seed
./dev simulate --mutations   breaks the protocol in each way there is, and tells which seed finds it
  --tearing   also lets transactions be torn: a run may then stop, and say so
  --mistakes  also lets an operator make a mistake once: the same";

/// How many seeds let every kind of fault strike.
const SEEDS_FOR_EVERY_FAULT: u64 = 10_000;
/// How many failing seeds are told in full.
const REPORTS_MAX: usize = 3;

/// How long a breakage may stay unfound.
const MUTATION_MAX: Duration = Duration::from_mins(1);

#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Options {
    topology: String,
    seeds: u64,
    from: u64,
    tearing: bool,
    mistakes: bool,
    json: bool,
    mutations: bool,
    instances: usize,
    partitions: usize,
    report: Option<u64>,
}

impl Options {
    fn parse() -> Option<Self> {
        let mut options = Self {
            topology: "counts".to_owned(),
            seeds: 10_000,
            from: 0,
            tearing: false,
            mistakes: false,
            json: false,
            mutations: false,
            instances: 3,
            partitions: 3,
            report: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--topology" => options.topology = arguments.next()?,
                "--seeds" => options.seeds = arguments.next()?.parse().ok()?,
                "--from" => options.from = arguments.next()?.parse().ok()?,
                "--tearing" => options.tearing = true,
                "--mistakes" => options.mistakes = true,
                "--json" => options.json = true,
                "--mutations" => options.mutations = true,
                "--instances" => options.instances = arguments.next()?.parse().ok()?,
                "--partitions" => options.partitions = arguments.next()?.parse().ok()?,
                "--report" => options.report = Some(arguments.next()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(options)
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // A panic is a failure of its seed, and is told there.
    std::panic::set_hook(Box::new(|_| {}));
    if options.mutations {
        return mutations();
    }
    let Some(simulation) = topologies::by_name(&options.topology) else {
        eprintln!("there is no topology {}\n{USAGE}", options.topology);
        return ExitCode::from(2);
    };
    let simulation = simulation.instances(options.instances).partitions(options.partitions);
    let simulation = if options.tearing { simulation.tearing() } else { simulation };
    let simulation = if options.mistakes { simulation.mistaken() } else { simulation };
    if let Some(seed) = options.report {
        println!("{}", simulation.report(seed));
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let summary = run(&simulation, &options, started);
    let missed = summary.never_hit(options.tearing);
    tell(&summary, &options, started.elapsed(), &missed);
    for seed in summary.failed.iter().take(REPORTS_MAX) {
        eprintln!("{}", simulation.report(*seed));
    }
    let missed = options.seeds >= SEEDS_FOR_EVERY_FAULT && !missed.is_empty() && options.topology != "copy";
    if summary.failed.is_empty() && !missed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Breaks the protocol, one step at a time, and looks for the seed that finds it.
fn mutations() -> ExitCode {
    let mut all = true;
    for breakage in Breakage::ALL {
        let started = Instant::now();
        let simulation = topologies::broken(breakage);
        let tried = (0..).take_while(|_| started.elapsed() < MUTATION_MAX);
        let found = tried.map(|seed| simulation.run(seed)).find(Run::failed);
        let seconds = started.elapsed().as_secs_f64();
        all &= found.is_some();
        match found {
            Some(Run { seed, outcome: Outcome::Failed(wrong), .. }) => {
                let first: String = wrong.first().map(|wrong| wrong.chars().take(100).collect()).unwrap_or_default();
                println!("{breakage:?} seed={seed} seconds={seconds:.2} {first}");
            }
            _ => println!("{breakage:?} not found, seconds={seconds:.2}"),
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(simulation: &Simulation, options: &Options, started: Instant) -> Summary {
    let mut summary = Summary::default();
    let mut told = started;
    for seed in options.from..options.from + options.seeds {
        summary.add(&simulation.run(seed));
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{summary} seeds/s={:.0}", rate(&summary, started.elapsed()));
        }
    }
    summary
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(summary: &Summary, elapsed: Duration) -> f64 {
    summary.seeds as f64 / elapsed.as_secs_f64()
}

fn tell(summary: &Summary, options: &Options, elapsed: Duration, missed: &[String]) {
    let per_hour = rate(summary, elapsed) * 3600.0;
    if options.json {
        let line = serde_json::json!({
            "topology": options.topology,
            "from": options.from,
            "seeds": summary.seeds,
            "exact": summary.exact,
            "stopped": summary.stopped,
            "failed": summary.failed,
            "seconds": elapsed.as_secs(),
            "seeds_per_hour": per_hour.round(),
            "hits": summary.hits,
            "never_hit": missed,
        });
        println!("{line}");
        return;
    }
    for (fault, hits) in &summary.hits {
        println!("{hits:>10} {fault}");
    }
    println!("topology={} {summary} seconds={} seeds_per_hour={per_hour:.0}", options.topology, elapsed.as_secs());
    println!("never_hit={missed:?}");
}
