//! Kafka and PostgreSQL of a run, which may be killed.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use millpond_harness::{Error, Kafka, KafkaOptions, Postgres, Proxy, Role};

/// Brokers and a database server.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Where the brokers listen.
    pub(crate) brokers: String,
    /// Copies of each topic.
    pub(crate) replicas: i32,
    /// Through which alone the broker is reached, if so.
    pub(crate) proxy: Option<Proxy>,
    /// What is killed in its turn.
    nodes: Vec<Mutex<Kafka>>,
    /// What is not. Where there is none, the last of the nodes is the controller.
    controller: Option<Kafka>,
    postgres: Mutex<Postgres>,
}

impl Servers {
    /// One broker, or three, and the controller beside them.
    pub(crate) fn start(dir: &Path, count: u32) -> Result<Self, Error> {
        Self::start_with(dir, count, &[])
    }

    /// The same with more lines of `server.properties`.
    pub(crate) fn start_with(dir: &Path, count: u32, more: &[(&str, &str)]) -> Result<Self, Error> {
        let controller = controller(dir, count)?;
        let mut nodes = Vec::new();
        for id in 2..count + 2 {
            let role = Role::Broker { id, controller: controller.controller().to_owned() };
            let mut options = KafkaOptions { role, ..options(count) };
            options.properties.extend(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
            nodes.push(Kafka::start_with(dir.join(format!("kafka-{id}")), options)?);
        }
        let brokers: Vec<&str> = nodes.iter().map(Kafka::bootstrap_servers).collect();
        let brokers = brokers.join(",");
        if count > 1 {
            // Brokers go on without it; it has its turn, too.
            nodes.push(controller);
            return Self::with(dir, (brokers, None), count, (nodes, None));
        }
        Self::with(dir, (brokers, None), count, (nodes, Some(controller)))
    }

    /// One broker that is reached through a proxy alone.
    pub(crate) fn behind_proxy(dir: &Path) -> Result<Self, Error> {
        let proxy = Proxy::start()?;
        let controller = controller(dir, 1)?;
        let role = Role::Broker { id: 2, controller: controller.controller().to_owned() };
        let options = KafkaOptions { proxied: Some(proxy.address().to_owned()), role, ..options(1) };
        let kafka = Kafka::start_with(dir.join("kafka-2"), options)?;
        proxy.forward_to(kafka.behind_proxy());
        Self::with(dir, (proxy.address().to_owned(), Some(proxy)), 1, (vec![kafka], Some(controller)))
    }

    fn with(
        dir: &Path,
        (brokers, proxy): (String, Option<Proxy>),
        replicas: u32,
        (nodes, controller): (Vec<Kafka>, Option<Kafka>),
    ) -> Result<Self, Error> {
        Ok(Self {
            brokers,
            replicas: i32::try_from(replicas).unwrap_or(1),
            proxy,
            nodes: nodes.into_iter().map(Mutex::new).collect(),
            controller,
            postgres: Mutex::new(Postgres::start(dir.join("postgres"))?),
        })
    }

    pub(crate) fn database(&self) -> Result<String, Error> {
        self.postgres(|postgres| postgres.create_database())
    }

    /// Does something with the node whose turn it is, and tells whether that is the controller; nobody else does so meanwhile.
    pub(crate) fn node<T>(&self, number: usize, work: impl FnOnce(&mut Kafka) -> T) -> Option<(T, bool)> {
        let (turn, is_controller) = turn(number, self.nodes.len(), self.controller.is_some());
        let mut node = self.nodes.get(turn)?.lock().unwrap_or_else(PoisonError::into_inner);
        Some((work(&mut node), is_controller))
    }

    /// Transactions that Kafka has left open for ever, by partition.
    pub(crate) fn left_open(&self) -> Vec<String> {
        let nodes = self.nodes.iter().map(|node| node.lock().unwrap_or_else(PoisonError::into_inner));
        // One that is away, or is the controller, has none to tell.
        nodes.filter_map(|node| node.hanging_transactions().ok()).flatten().collect()
    }

    /// Does something with the database server; nobody else does so meanwhile.
    pub(crate) fn postgres<T>(&self, work: impl FnOnce(&mut Postgres) -> T) -> T {
        work(&mut self.postgres.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which of so many nodes a number means, and whether that is the controller: the last one, unless that stands apart.
const fn turn(number: usize, nodes: usize, apart: bool) -> (usize, bool) {
    let Some(turn) = number.checked_rem(nodes) else { return (0, false) };
    (turn, !apart && turn + 1 == nodes)
}

/// A controller in a process of its own, as in every cluster for production. It decides how many copies a topic gets.
fn controller(dir: &Path, count: u32) -> Result<Kafka, Error> {
    let options = KafkaOptions { heap_mib: 256, role: Role::Controller, ..options(count) };
    Kafka::start_with(dir.join("controller"), options)
}

fn options(count: u32) -> KafkaOptions {
    // Compiled for long: a run is minutes of load.
    KafkaOptions { heap_mib: 768, long_running: true, properties: properties(count), ..KafkaOptions::default() }
}

fn properties(count: u32) -> Vec<(String, String)> {
    let (copies, in_sync) = (count.to_string(), count.div_ceil(2).to_string());
    let lines = [
        // Transactions that have timed out are looked for every ten seconds. More often is a trap: a broker that was killed
        // then aborts them while it starts, does not know yet who leads their partitions, and leaves them open there for
        // ever (Kafka 4.3.1).
        ("default.replication.factor", &copies),
        ("offsets.topic.replication.factor", &copies),
        ("transaction.state.log.replication.factor", &copies),
        ("transaction.state.log.min.isr", &in_sync),
        ("min.insync.replicas", &in_sync),
    ];
    lines.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fourth_kill_of_three_brokers_and_their_controller_is_the_controllers() {
        let turns: Vec<(usize, bool)> = (1..=8).map(|number| turn(number, 4, false)).collect();
        let round = [(1, false), (2, false), (3, true), (0, false)];
        assert_eq!(turns, [round, round].concat());
        assert!((1..=8).all(|number| turn(number, 1, true) == (0, false)), "a controller apart has no turn");
    }
}
