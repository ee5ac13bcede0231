//! Doing what a plan says. Its order is what makes a reset that was cut short harmless; it is kept.

use std::path::Path;

use millpond::broker::BrokerError;
use millpond::broker::kafka::KafkaBroker;
use millpond::runtime::config::StreamsConfig;
use millpond::runtime::reset::{ResetPlan, ResetStep};
use millpond::runtime::{Instance, InstanceError};
use millpond::state::rocksdb::instances;

use crate::cli::Failure;
use crate::cli::progress::Progress;

/// Takes the names of all instances on this machine, so that none starts meanwhile.
pub(super) fn lock(config: &StreamsConfig) -> Result<Vec<Instance>, Failure> {
    let directory = config.state_dir.join(&config.application_id);
    let names = instances(&config.state_dir, &config.application_id)?;
    let taken = names.into_iter().map(|of| Instance::acquire(&directory, Some(&of.instance), String::new));
    taken.collect::<Result<_, InstanceError>>().map_err(|error| {
        let fix = "stop every process of the application, and try again";
        Failure::new("group-is-live", "an instance runs on this machine", fix).because(&error)
    })
}

pub(super) fn carry_out(broker: &KafkaBroker, application_id: &str, plan: &ResetPlan) -> Result<(), Failure> {
    let progress = Progress::waiting("moving state aside");
    for step in &plan.steps {
        if let ResetStep::SetAside { from, to } = step {
            move_aside(from, to)?;
        }
    }
    progress.now("forgetting offsets of internal topics");
    broker.delete_group_offsets(application_id, &plan.forgotten()).map_err(|error| half_done(&error))?;
    progress.now("deleting internal topics");
    broker.delete_topics(&plan.topics()).map_err(|error| half_done(&error))?;
    progress.now("setting offsets");
    broker.set_group_offsets(application_id, &plan.offsets()).map_err(|error| half_done(&error))
}

fn half_done(error: &BrokerError) -> Failure {
    let fix =
        format!("{}; then run the same command again: until it is done the application refuses to start", error.advice);
    Failure::new("reset-interrupted", "the reset is not complete", fix).because(error)
}

fn move_aside(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::rename(from, to).map_err(|error| {
        let fix = "correct the permissions of state.dir, and run the same command again";
        Failure::new("reset-interrupted", format!("{} cannot be moved", from.display()), fix).because(&error)
    })
}
