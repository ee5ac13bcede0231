//! What Kafka's own tools say of a broker.

use std::path::Path;
use std::time::Duration;

use super::config::classpath;
use crate::{Error, Launch, install};

/// How long a tool may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Partitions of a broker with a transaction that its coordinator knows nothing of, as `kafka-transactions.sh find-hanging`
/// prints them, a line each; none when there is none. The tool's log goes into `dir`.
pub(super) fn hanging_transactions(dir: &Path, servers: &str, broker: u32) -> Result<Vec<String>, Error> {
    let mut tool = Launch::new(install::java()?, dir.join("find-hanging.log"))
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &classpath()?])
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "org.apache.kafka.tools.TransactionsCommand"])
        .args(["--bootstrap-server", servers, "find-hanging", "--broker-id", &broker.to_string()])
        // Whatever its age: nobody asks before an application has stood still for longer than any transaction may last.
        .args(["--max-transaction-timeout", "0"])
        .start()?;
    if !tool.wait(LIMIT)?.success() {
        return Err(Error::Tool { tool: "kafka-transactions find-hanging", output: tool.log_tail() });
    }
    let table = tool.log_tail();
    let lines = table.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("Topic"));
    Ok(lines.map(str::to_owned).collect())
}
