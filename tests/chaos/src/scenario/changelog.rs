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

/// Deletes the records before an offset. Kafka does not do so with a compacted topic: its policy is changed for it.
fn cut(stage: &Stage<'_>, topic: &str, before: fn(i64, i64) -> i64) -> Result<(), Error> {
    let client = stage.scene.client();
    client.set_topic_property(topic, "cleanup.policy", "compact,delete")?;
    millpond_harness::wait_for(millpond_scene::LIMIT, "the changelog is cut", || {
        client.delete_records(topic, before).is_ok()
    })?;
    stage.struck();
    client.set_topic_property(topic, "cleanup.policy", "compact")
}

/// Cut off up to its end, which is harmless as long as the disk has the state; and in the middle, which is refused without.
pub(super) fn truncated(stage: &mut Stage<'_>) -> Result<(), Error> {
    stage.app.start()?;
    stage.flow()?;
    stage.app.stop()?;
    let topic = changelog(stage);
    cut(stage, &topic, |_, end| end)?;
    stage.app.start()?;
    stage.flow()?;
    stage.app.stop()?;
    let outputs = stage.scene.verify(BINARY)?;
    stage.enter(outputs);
    cut(stage, &topic, i64::midpoint)?;
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
