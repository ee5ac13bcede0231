//! Kafka and PostgreSQL of a run, which may be killed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use millpond_harness::{Error, Kafka, KafkaOptions, Postgres};

/// One broker and one database server.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Where they listen.
    pub(crate) brokers: String,
    kafka: Mutex<Kafka>,
    postgres: Mutex<Postgres>,
}

impl Servers {
    pub(crate) fn start(dir: &Path) -> Result<Self, Error> {
        let mut options = KafkaOptions { heap_mib: 768, ..KafkaOptions::default() };
        // A transaction that has timed out is aborted at once, not within ten seconds.
        let interval = ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500");
        options.properties.push((interval.0.to_owned(), interval.1.to_owned()));
        let kafka = Kafka::start_with(dir.join("kafka"), options)?;
        let postgres = Postgres::start(dir.join("postgres"))?;
        let brokers = kafka.bootstrap_servers().to_owned();
        Ok(Self { brokers, kafka: Mutex::new(kafka), postgres: Mutex::new(postgres) })
    }

    pub(crate) fn database(&self) -> Result<String, Error> {
        self.postgres(|postgres| postgres.create_database())
    }

    /// Does something with the broker; nobody else does so meanwhile.
    pub(crate) fn kafka<T>(&self, work: impl FnOnce(&mut Kafka) -> T) -> T {
        work(&mut self.kafka.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something with the database server; nobody else does so meanwhile.
    pub(crate) fn postgres<T>(&self, work: impl FnOnce(&mut Postgres) -> T) -> T {
        work(&mut self.postgres.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
