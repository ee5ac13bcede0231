//! Starts a Kafka and a PostgreSQL in a temporary directory, prints the directory and their process ids, and holds them
//! until its input ends: the victim of the test that nothing outlives a killed parent.

use std::io::{Write, stdin, stdout};

use millpond_harness::{Kafka, Postgres, Scratch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = Scratch::new("held")?;
    let kafka = Kafka::start(scratch.path().join("kafka"))?;
    let postgres = Postgres::start(scratch.path().join("postgres"))?;
    let pids = [kafka.process(), postgres.process()].into_iter().flatten().map(|process| process.pid().to_string());
    writeln!(stdout(), "{}", scratch.path().display())?;
    writeln!(stdout(), "{}", pids.collect::<Vec<_>>().join(" "))?;
    stdout().flush()?;
    stdin().read_line(&mut String::new())?;
    Ok(())
}
