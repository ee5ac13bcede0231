//! What the examples share: on the simulated broker without arguments, on a real one with `--bootstrap-servers`.

use std::error::Error;

use millpond::topology::Topology;

const USAGE: &str = "usage: no arguments, or --bootstrap-servers HOST:PORT (with the features kafka and rocksdb)";

/// Runs an example. `simulate` shows it on the simulated broker, and gives lines to print.
///
/// # Errors
/// What went wrong, in words for a person.
#[allow(clippy::print_stdout, reason = "an example shows what happens")]
pub(crate) fn run(
    application_id: &str,
    topology: Topology,
    simulate: impl FnOnce(Topology) -> Vec<String>,
) -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            println!("{}", simulate(topology).join("\n"));
            Ok(())
        }
        [flag, servers] if flag == "--bootstrap-servers" => on_kafka(application_id, servers, topology),
        _ => Err(USAGE.into()),
    }
}

/// Until the process is stopped. A kill is safe at any moment: what was not committed is done again at the next start.
#[cfg(all(feature = "kafka", feature = "rocksdb"))]
fn on_kafka(application_id: &str, servers: &str, topology: Topology) -> Result<(), Box<dyn Error>> {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
    use millpond::broker::{Broker, NewTopic};
    use millpond::runtime::config::StreamsConfig;
    use millpond::runtime::{Instance, Streams};
    use millpond::state::rocksdb::{Options, RocksDirectory};

    let config = StreamsConfig::new(application_id, servers, std::env::temp_dir().join("millpond-examples"));
    // The lock on the name comes first: a second process must not get as far as fencing this one.
    let instance = Instance::acquire(&config.state_dir.join(application_id), Some("0"), String::new)?;
    let broker = KafkaBroker::connect(KafkaConfig::of(&config)?)?;
    for name in topology.external_topics() {
        broker.create_topic(&NewTopic { name, partitions: 2, replication_factor: -1, configs: BTreeMap::new() })?;
    }
    let directory = RocksDirectory::new(&config.state_dir, application_id, instance.name(), Options::default());
    let streams = Streams::start(&broker, &config, instance.name(), &Arc::new(topology), &directory)?;
    // Comes back when a thread has failed, with its error.
    Ok(streams.join()?)
}

#[cfg(not(all(feature = "kafka", feature = "rocksdb")))]
fn on_kafka(_application_id: &str, _servers: &str, _topology: Topology) -> Result<(), Box<dyn Error>> {
    Err("this build has no Kafka: build with the features kafka and rocksdb".into())
}
