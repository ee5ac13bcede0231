//! `doctor`: whether the application can run here, and run as it promises. Each finding says what to do.

mod age;
mod clock;
mod cluster;
mod machine;
mod rights;
mod settings;
mod topics;

use clap::Args;
use millpond::broker::kafka::{KafkaBroker, KafkaConfig, Resource, Right};
use millpond::runtime::config::StreamsConfig;
use millpond::topology::Topology;
use serde_json::json;

use super::output::{Output, lines};
use super::progress::Progress;
use super::{Context, Failure, time};
use crate::finding::{Finding, Health};

/// What to leave out.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// Only read: do not make the topic <application.id>-doctor, write one record to it in a transaction, and delete it,
    /// which is how transactions and the clock are tried
    #[arg(long)]
    no_probe: bool,
}

/// What the checks of a cluster look at.
struct Patient<'a> {
    broker: &'a KafkaBroker,
    config: &'a StreamsConfig,
    topology: Option<&'a Topology>,
    /// Topics that a program with a loop of its own reads.
    inputs: Vec<String>,
}

impl Patient<'_> {
    /// The command that grants what is missing.
    fn grant(&self, rights: &[Right], on: &Resource) -> String {
        self.broker.grant(rights, on)
    }
}

pub(crate) fn run(args: &DoctorArgs, context: Context<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let config = context.config()?;
    let described = context.described(&config)?;
    let progress = Progress::waiting("looking at this machine");
    let mut findings = machine::examine(&config);
    progress.now("asking the cluster");
    let broker = KafkaBroker::connect(kafka(&config)?)?;
    let inputs = described.as_ref().map(|described| described.inputs.clone()).unwrap_or_default();
    let topology = described.as_ref().and_then(|described| described.topology.as_ref());
    let patient = Patient { broker: &broker, config: &config, topology, inputs };
    match broker.describe_cluster() {
        Err(error) => {
            findings.push(Finding::broken("broker", error.to_string(), error.advice));
            findings.extend(machine::ages(&config, time::now()));
        }
        Ok(cluster) => {
            findings.extend(cluster::examine(&patient, &cluster));
            progress.now("looking at topics");
            findings.extend(topics::examine(&patient, &cluster));
            findings.extend(machine::compare(&patient));
            if !args.no_probe {
                progress.now("trying a transaction");
                findings.extend(clock::examine(&patient));
            }
        }
    }
    progress.now("asking the other side");
    findings.extend(context.program.examine(&config));
    drop(progress);
    report(&findings, out)
}

/// Nothing here may take long: a person waits for the answer.
fn kafka(config: &StreamsConfig) -> Result<KafkaConfig, Failure> {
    let mut kafka = KafkaConfig::of(config)?;
    kafka.request_timeout = kafka.request_timeout.min(std::time::Duration::from_secs(10));
    Ok(kafka)
}

fn report(findings: &[Finding], out: &mut Output<'_>) -> Result<(), Failure> {
    let with = |health: Health| findings.iter().filter(move |finding| finding.health == health);
    let (broken, warnings) = (with(Health::Broken).count(), with(Health::Warning).count());
    out.answer(
        || {
            let json = |health: &[Health]| {
                findings
                    .iter()
                    .filter(|finding| health.contains(&finding.health))
                    .map(Finding::json)
                    .collect::<Vec<_>>()
            };
            json!({
                "ok": broken == 0, "findings": json(&[Health::Broken, Health::Warning]), "fine": json(&[Health::Fine]),
            })
        },
        || {
            let told = findings.iter().flat_map(|finding| {
                let mark = match finding.health {
                    Health::Fine => "ok     ",
                    Health::Warning => "warning",
                    Health::Broken => "BROKEN ",
                };
                let fix = (!finding.fix.is_empty()).then(|| format!("         fix: {}", finding.fix));
                [format!("{mark}  [{}] {}", finding.code, finding.what)].into_iter().chain(fix)
            });
            lines(told.chain([format!("{broken} broken, {warnings} warnings")]))
        },
    )?;
    if broken == 0 {
        return Ok(());
    }
    Err(Failure::new("unhealthy", format!("{broken} things are broken"), "see above: each says what to do"))
}

#[cfg(test)]
mod tests;
