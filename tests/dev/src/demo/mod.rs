//! `./dev demo`: a Kafka, a PostgreSQL, the four applications and a shop that produces events, until somebody stops it.

mod applications;
mod database;
mod drain;
mod feed;
mod names;
mod options;
mod page;
mod picture;
mod report;
mod run;
mod samples;
mod scrape;
mod screen;
mod servers;
mod shop;
mod verify;

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use millpond_support::Stop;

pub(crate) use options::Options;
pub(crate) use shop::Random;

use run::Run;
use screen::Screen;
use servers::Place;

/// As shells say it of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Somebody wants the demo to stop before it is through.
#[derive(Debug)]
struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Runs the demo. Whatever it has started ends with it, at the latest when this process does.
///
/// Exit codes: 0 when all is well, 1 when something failed or was not as it must be, 130 when Ctrl-C cut it short.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let stop = Stop::on_signals()?;
    let mut screen = Screen::new(options.json);
    let place = Place::take()?;
    let report = Run::start(options, &stop, &mut screen, &place).and_then(|run| run.play(&mut screen, began));
    let report = match report {
        Err(error) if error.is::<Interrupted>() => {
            screen.say("interrupted; everything that the demo has started ends with it")?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
        report => report?,
    };
    if options.json {
        screen.json(&report)?;
    } else {
        screen.say(&report.lines().join("\n"))?;
    }
    let is_cut_short = stop.is_requested() && options.seconds().is_some();
    Ok(match (is_cut_short, report.is_good(options.verify)) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}
