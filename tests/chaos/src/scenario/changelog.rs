//! Changelogs that are not what they were. Whatever was lost is not made up: the application refuses, by name.

use millpond::record::{Partition, TaskId};
use millpond::state::changelog::commit_key;
use millpond_harness::{Error, Outgoing};
use millpond_scene::PARTITIONS;

use super::{BINARY, Stage, io};

const STORE: &str = "first-visits";

fn changelog(stage: &Stage<'_>) -> String {
    format!("{}-{STORE}-changelog", stage.scene.topic(BINARY))
}

/// Deleted and made again under its name.
pub(super) fn recreated(stage: &mut Stage<'_>) -> Result<(), Error> {
    stage.app.start()?;
    stage.flow()?;
    stage.app.stop()?;
    let topic = changelog(stage);
    let client = stage.scene.client();
    client.delete_topics(&[&topic])?;
    millpond_harness::wait_for(millpond_scene::LIMIT, "the changelog is gone", || {
        client.topics().is_ok_and(|topics| !topics.contains(&topic))
    })?;
    client.create_topics(&[&topic], PARTITIONS, &[("cleanup.policy", "compact")])?;
    stage.struck();
    stage.refuses("was deleted and created again although input is committed")?;
    stage.judge_outputs()
}

/// Cut off up to its end: harmless as long as the disk has the state, and refused without it.
pub(super) fn truncated(stage: &mut Stage<'_>) -> Result<(), Error> {
    stage.app.start()?;
    stage.flow()?;
    stage.app.stop()?;
    let topic = changelog(stage);
    stage.scene.client().delete_all_records(&topic)?;
    stage.struck();
    stage.app.start()?;
    stage.flow()?;
    stage.app.stop()?;
    let outputs = stage.scene.verify(BINARY)?;
    stage.enter(outputs);
    stage.scene.client().delete_all_records(&topic)?;
    stage.struck();
    std::fs::remove_dir_all(stage.app.state_dir()).map_err(io("remove a state"))?;
    stage.refuses("records were deleted from it")
}

/// A commit record that nobody can read, behind the last one.
pub(super) fn garbage(stage: &mut Stage<'_>) -> Result<(), Error> {
    stage.app.start()?;
    stage.flow()?;
    stage.app.stop()?;
    let task = TaskId { subtopology: 1, partition: Partition(2) };
    let record = Outgoing::value(b"\x00\xffgarbage".to_vec()).key(commit_key(task).to_vec()).partition(2);
    stage.scene.client().produce(&changelog(stage), [record])?;
    stage.struck();
    stage.refuses("its commit record is unreadable")?;
    stage.judge_outputs()
}
