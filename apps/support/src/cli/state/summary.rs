//! `state ls` and `state stats`.

use std::collections::BTreeMap;

use millpond::record::{Offset, TaskId, TopicPartition};
use millpond::state::Checkpoint;
use millpond::state::rocksdb::{InstanceState, TaskView};
use serde_json::{Value, json};

use super::open::{Opened, in_use};
use crate::cli::Failure;
use crate::cli::output::{Output, lines, table};
use crate::cli::time::shown;

type Offsets = BTreeMap<TopicPartition, Offset>;

/// A task as far as it can be read.
struct Found<'a> {
    instance: &'a InstanceState,
    task: TaskId,
    in_use: Option<bool>,
    view: Result<TaskView, Failure>,
}

fn all(opened: &Opened) -> Vec<Found<'_>> {
    let tasks = opened.tasks();
    let found = tasks.map(|(instance, task)| Found {
        instance,
        task,
        in_use: in_use(instance, task),
        view: opened.view(instance, task),
    });
    found.collect()
}

fn used(in_use: Option<bool>) -> &'static str {
    match in_use {
        Some(true) => "running",
        Some(false) => "stopped",
        None => "unknown",
    }
}

pub(super) fn ls(opened: &Opened, out: &mut Output<'_>) -> Result<(), Failure> {
    let found = all(opened);
    let stores = |found: &Found<'_>| match &found.view {
        Ok(view) => view.stores().join(", "),
        Err(failure) => format!("not readable: {}", failure.code),
    };
    out.answer(
        || {
            let tasks = found.iter().map(|found| {
                json!({
                    "instance": found.instance.instance, "task": found.task.to_string(), "in_use": found.in_use,
                    "stores": found.view.as_ref().map(TaskView::stores).unwrap_or_default(),
                    "error": found.view.as_ref().err().map(Failure::details),
                })
            });
            let tasks: Vec<Value> = tasks.collect();
            let aside: Vec<String> = set_aside(opened).collect();
            json!({ "tasks": tasks, "set_aside": aside })
        },
        || {
            let rows = found.iter().map(|found| {
                let names = [found.instance.instance.clone(), found.task.to_string()];
                names.into_iter().chain([used(found.in_use).to_owned(), stores(found)]).collect()
            });
            let text = table(&["instance", "task", "process", "stores"], rows);
            text + &lines(set_aside(opened).map(|path| format!("set aside: {path}")))
        },
    )
}

fn set_aside(opened: &Opened) -> impl Iterator<Item = String> {
    let paths = opened.instances.iter().flat_map(|of| of.set_aside.iter().map(|name| of.path.join(name)));
    paths.map(|path| path.display().to_string())
}

pub(super) fn stats(opened: &Opened, out: &mut Output<'_>) -> Result<(), Failure> {
    let (mut rows, mut tasks, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
    for (instance, task) in opened.tasks() {
        let view = opened.view(instance, task)?;
        let mut stores = Vec::new();
        for store in view.stores() {
            let stats = view.stats(store)?;
            stores.push(json!({ "store": store, "rows": stats.rows, "disk_bytes": stats.disk_bytes }));
            let names = [instance.instance.clone(), task.to_string(), store.clone()];
            rows.push(names.into_iter().chain([stats.rows.to_string(), stats.disk_bytes.to_string()]).collect());
        }
        let checkpoint = view.checkpoint();
        checkpoints.push(format!("{} {task}: {}", instance.instance, checkpoint.map_or_else(never, line)));
        tasks.push(json!({
            "instance": instance.instance, "task": task.to_string(), "stores": stores,
            "checkpoint": checkpoint.map(checkpoint_json),
        }));
    }
    out.answer(
        || json!({ "tasks": tasks }),
        || {
            table(&["instance", "task", "store", "rows (about)", "bytes of tables"], rows)
                + "\ncheckpoints\n"
                + &lines(checkpoints)
        },
    )
}

fn never() -> String {
    "no commit yet".to_owned()
}

fn line(checkpoint: &Checkpoint) -> String {
    let offsets = |offsets: &Offsets| {
        let offsets: Vec<String> = offsets.iter().map(|(at, offset)| format!("{at}@{offset}")).collect();
        offsets.join(" ")
    };
    format!(
        "commit {}, stream time {}, owned until {}, input {}, changelog {}",
        checkpoint.sequence,
        shown(checkpoint.stream_time),
        shown(checkpoint.owned_until),
        offsets(&checkpoint.input),
        offsets(&checkpoint.changelog),
    )
}

fn checkpoint_json(checkpoint: &Checkpoint) -> Value {
    let offsets = |offsets: &Offsets| {
        let offsets = offsets
            .iter()
            .map(|(at, offset)| json!({ "topic": &*at.topic, "partition": at.partition.0, "offset": offset.0 }));
        offsets.collect::<Vec<_>>()
    };
    json!({
        "sequence": checkpoint.sequence, "stream_time_ms": checkpoint.stream_time.as_millis(),
        "owned_until_ms": checkpoint.owned_until.as_millis(), "partitions": checkpoint.partitions,
        "input": offsets(&checkpoint.input), "changelog": offsets(&checkpoint.changelog),
    })
}
