//! This machine: room for state, and whether what is there can be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millpond::record::{TaskId, TopicName};
use millpond::runtime::config::StreamsConfig;
use millpond::state::rocksdb::{InstanceState, TaskView, instances};
use millpond::state::{Checkpoint, StoreError};
use millpond::time::Timestamp;

use super::age::{self, Kept};
use super::{Patient, settings};
use crate::cli::{Failure, time};
use crate::finding::Finding;

/// Below it a restore or a compaction may run out of room.
const ROOM_MIN: u64 = 1 << 30;

/// Below it nothing can be promised.
const ROOM_NONE: u64 = 64 << 20;

pub(super) fn examine(config: &StreamsConfig) -> Vec<Finding> {
    let mut findings = vec![room(&config.state_dir)];
    match views(config) {
        Err(finding) => findings.push(finding),
        Ok(views) => findings.extend(views.into_iter().map(|(instance, task, view)| {
            let name = name(&instance, task);
            match view {
                // What to do is what a command that meets the same state says.
                Err(error) => Finding::broken("state", format!("{name}: {error}"), Failure::from(error).fix()),
                Ok(_) => Finding::fine("state", format!("{name} can be read")),
            }
        })),
    }
    findings
}

/// Room in the file system in which the directory is, or will be.
fn room(state_dir: &Path) -> Finding {
    let existing =
        state_dir.ancestors().find(|path| path.exists()).map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let name = state_dir.display();
    match rustix::fs::statvfs(&existing) {
        Err(error) => {
            let what = format!("state.dir {name} cannot be looked at: {error}");
            Finding::broken("disk", what, "correct its permissions, or say --state-dir")
        }
        Ok(found) => judge_room(&name.to_string(), found.f_bavail.saturating_mul(found.f_frsize)),
    }
}

pub(super) fn judge_room(name: &str, bytes: u64) -> Finding {
    let what = format!("{} MiB are free for state.dir {name}", bytes >> 20);
    if bytes < ROOM_NONE {
        return Finding::broken("disk", what, "make room, or name a larger disk with --state-dir");
    }
    if bytes < ROOM_MIN {
        return Finding::warning("disk", what, "make room before the state grows");
    }
    Finding::fine("disk", what)
}

fn name(instance: &InstanceState, task: TaskId) -> String {
    format!("state of task {task} of instance {}", instance.instance)
}

type View = (InstanceState, TaskId, Result<TaskView, StoreError>);

fn views(config: &StreamsConfig) -> Result<Vec<View>, Finding> {
    let failed = |error: &dyn std::error::Error| Finding::broken("state", error.to_string(), "correct its permissions");
    let found = instances(&config.state_dir, &config.application_id).map_err(|error| failed(&error))?;
    let scratch = tempfile::tempdir().map_err(|error| failed(&error))?;
    let mut views = Vec::new();
    for instance in found {
        for &task in &instance.tasks {
            let notes = scratch.path().join(&instance.instance).join(task.to_string());
            std::fs::create_dir_all(&notes).map_err(|error| failed(&error))?;
            views.push((instance.clone(), task, TaskView::open(&instance.path, task, &notes)));
        }
    }
    Ok(views)
}

/// State against the cluster: of which topics it is, and whether it was away for too long.
pub(super) fn compare(patient: &Patient<'_>) -> Vec<Finding> {
    let (mut findings, mut told) = (Vec::new(), BTreeMap::new());
    for (name, checkpoint) in checkpoints(patient.config) {
        let changelogs = changelogs(&patient.config.application_id, &checkpoint);
        let kept = changelogs.iter().filter_map(|topic| kept(patient, topic, &mut told)).min();
        let kept = kept.map_or(Kept::NotTold, Kept::Told);
        findings.extend((!changelogs.is_empty()).then(|| age::judge(&name, &checkpoint, kept, time::now())));
        let topics: Vec<_> = checkpoint.topic_ids.keys().cloned().collect();
        let Ok(now) = patient.broker.inspect_topics(&topics) else { continue };
        for (topic, id) in &checkpoint.topic_ids {
            let what = match now.get(topic) {
                None => "is gone",
                Some(details) if details.id != *id => "was deleted and made again",
                Some(_) => continue,
            };
            let what = format!("topic {topic} {what} since {name} was written");
            findings.push(Finding::broken("state-topics", what, "reset the application with `reset`"));
        }
    }
    findings
}

/// What can be told of the state's age without a cluster.
pub(super) fn ages(config: &StreamsConfig, now: Timestamp) -> Vec<Finding> {
    let mut known = checkpoints(config);
    known.retain(|(_, checkpoint)| !changelogs(&config.application_id, checkpoint).is_empty());
    known.iter().map(|(name, checkpoint)| age::judge(name, checkpoint, Kept::NotAsked, now)).collect()
}

/// What the tasks whose state can be read know about themselves, by their names. Of the others `examine` tells.
fn checkpoints(config: &StreamsConfig) -> Vec<(String, Checkpoint)> {
    let views = views(config).unwrap_or_default().into_iter();
    let known = |(instance, task, view): View| Some((name(&instance, task), view.ok()?.checkpoint()?.clone()));
    views.filter_map(known).collect()
}

/// A task without any has nothing that could be too old.
fn changelogs<'a>(application_id: &str, checkpoint: &'a Checkpoint) -> Vec<&'a TopicName> {
    let prefix = format!("{application_id}-");
    let is_changelog = |topic: &&TopicName| topic.starts_with(&prefix) && topic.ends_with("-changelog");
    checkpoint.topic_ids.keys().filter(is_changelog).collect()
}

/// How long a changelog keeps deletions; `None` where the brokers do not tell. Each topic is asked for once.
fn kept(
    patient: &Patient<'_>,
    topic: &TopicName,
    told: &mut BTreeMap<TopicName, Option<Duration>>,
) -> Option<Duration> {
    let ask = || {
        let settings = patient.broker.topic_settings(topic).ok()?;
        let kept = settings::number(&settings, "delete.retention.ms")?;
        u64::try_from(kept).ok().map(Duration::from_millis)
    };
    *told.entry(topic.clone()).or_insert_with(ask)
}
