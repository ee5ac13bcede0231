//! `./dev up` and `./dev down`: a Kafka and a PostgreSQL that outlive the command.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use millpond_harness::process::Signal;
use millpond_harness::{Kafka, KafkaOptions, Postgres, PostgresOptions};

const STOP: Duration = Duration::from_secs(30);

/// Starts both, unless they run, and prints and notes their addresses.
pub(crate) fn up() -> anyhow::Result<()> {
    let place = place()?;
    let env = place.join("env");
    let running = (Kafka::detached(&place.join("kafka")), Postgres::detached(&place.join("postgres")));
    if let (Some(_), Some(_)) = running {
        say(&format!("already running\n{}", fs::read_to_string(&env).context("read .millpond/env")?))?;
        return Ok(());
    }
    down()?; // one of the two alone is of no use
    say("starting Kafka and PostgreSQL")?;
    let options = KafkaOptions { heap_mib: 1024, long_running: true, ..KafkaOptions::default() };
    let kafka = Kafka::start_with(place.join("kafka"), options)?;
    let durable = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    let postgres = Postgres::start_with(place.join("postgres"), durable)?;
    let (servers, url) = (kafka.bootstrap_servers(), postgres.url());
    let mut text = format!("export MILLPOND_BOOTSTRAP_SERVERS={servers}\nexport DATABASE_URL={url}\n");
    // For Kafka's own tools, which are in those jars.
    for name in ["MILLPOND_JAVA", "MILLPOND_KAFKA_LIB"] {
        text.extend(std::env::var(name).map(|value| format!("export {name}='{value}'\n")));
    }
    fs::write(&env, &text).with_context(|| format!("write {}", env.display()))?;
    // Only now: interrupted before, nothing stays.
    kafka.detach()?;
    postgres.detach()?;
    say(&format!("{text}these lines are also in .millpond/env; ./dev down stops both"))
}

/// Stops what runs, PostgreSQL first; what does not run is no error.
pub(crate) fn down() -> anyhow::Result<()> {
    let place = place()?;
    if let Some(postgres) = Postgres::detached(&place.join("postgres")) {
        postgres.stop(Signal::INT, STOP)?;
        say("PostgreSQL is stopped")?;
    }
    if let Some(kafka) = Kafka::detached(&place.join("kafka")) {
        kafka.stop(Signal::TERM, STOP)?;
        say("Kafka is stopped")?;
    }
    Ok(())
}

/// The ignored directory of the clone that `./dev` runs in.
fn place() -> anyhow::Result<PathBuf> {
    let place = Path::new(".millpond");
    fs::create_dir_all(place).context("make the directory .millpond")?;
    place.canonicalize().context("find the directory .millpond")
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "{text}")?)
}
