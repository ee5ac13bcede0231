use std::path::Path;
use std::time::Duration;

use super::{KafkaOptions, Role, Secured, Security};
use crate::port::Port;
use crate::{Error, Launch, install};

const CLUSTER_ID: &str = "bWlsbHBvbmQtaGFybmVzcw";

/// How long the storage tool may take.
const FORMAT: Duration = Duration::from_mins(2);

/// The text of `server.properties` for a broker with its data below `dir`.
pub(super) fn properties(
    dir: &Path,
    [broker, controller, proxied]: [&Port; 3],
    secured: Option<&Secured>,
    options: &KafkaOptions,
) -> String {
    let (broker, controller) = (broker.address(), controller.address());
    let mut listeners = format!("PLAINTEXT://{broker},CONTROLLER://{controller}");
    if let Some(secured) = secured {
        listeners = format!("{listeners},SSL://{},SASL_SSL://{}", secured.ssl, secured.sasl_ssl);
    }
    let mut advertised = listeners.clone();
    if let Some(proxy) = &options.proxied {
        listeners = format!("{listeners},PROXIED://{}", proxied.address());
        advertised = format!("{advertised},PROXIED://{proxy}");
    }
    let data = dir.join("data").display().to_string();
    let (mut roles, mut node, mut quorum) = ("broker,controller", "1".to_owned(), controller.clone());
    match &options.role {
        Role::Both => {}
        Role::Controller => {
            roles = "controller";
            (listeners, advertised) = (format!("CONTROLLER://{controller}"), format!("CONTROLLER://{controller}"));
        }
        Role::Broker { id, controller } => {
            (roles, node, quorum) = ("broker", id.to_string(), controller.clone());
            listeners = without_controller(&listeners);
            advertised = without_controller(&advertised);
        }
    }
    let own = [
        ("process.roles", roles),
        ("node.id", &node),
        ("controller.quorum.bootstrap.servers", &quorum),
        ("listeners", &listeners),
        ("advertised.listeners", &advertised),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,PROXIED:PLAINTEXT",
        ),
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", &data),
        ("auto.create.topics.enable", "false"),
        // Test records carry old timestamps; retention would delete them.
        ("log.retention.ms", "-1"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("min.insync.replicas", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1000"),
        ("num.network.threads", "2"),
        ("num.io.threads", "4"),
        ("log.cleaner.dedupe.buffer.size", "16777216"),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // Of two lines with one name, the later counts.
    let all = own.into_iter().chain(secured.zip(options.security.as_ref()).map(of_listeners).unwrap_or_default());
    let lines = all.chain(options.properties.iter().cloned()).map(|(name, value)| format!("{name}={value}\n"));
    lines.collect::<Vec<_>>().concat()
}

fn of_listeners((secured, security): (&Secured, &Security)) -> Vec<(String, String)> {
    secured.properties(security)
}

fn without_controller(listeners: &str) -> String {
    let rest: Vec<&str> = listeners.split(',').filter(|listener| !listener.starts_with("CONTROLLER:")).collect();
    rest.join(",")
}

/// Formats the storage that `dir/server.properties` describes, with the users that the options name.
pub(super) fn format_storage(dir: &Path, options: &KafkaOptions) -> Result<(), Error> {
    let log = dir.join("format.log");
    // Started as the broker is: nothing may go on formatting after this process, and Ctrl-C is not for it to hear.
    let mut launch = Launch::new(install::java()?, &log)
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &classpath()?])
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.tools.StorageTool"])
        .args(["format", "--cluster-id", CLUSTER_ID, "--config"])
        .arg(dir.join("server.properties"));
    if !matches!(options.role, Role::Broker { .. }) {
        launch = launch.arg("--standalone");
    }
    for (name, password) in options.security.iter().flat_map(|security| &security.users) {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            launch = launch.arg("--add-scram").arg(format!("{mechanism}=[name={name},password={password}]"));
        }
    }
    let mut format = launch.start()?;
    if format.wait(FORMAT)?.success() {
        return Ok(());
    }
    Err(Error::Tool { tool: "StorageTool format", output: format.log_tail() })
}

/// All of Kafka's jars.
pub(super) fn classpath() -> Result<String, Error> {
    Ok(format!("{}/*", install::kafka_lib()?.display()))
}
