//! Finding and opening the state that a command is about.

use std::path::{Path, PathBuf};

use millpond::record::TaskId;
use millpond::runtime::config::StreamsConfig;
use millpond::state::rocksdb::{InstanceState, TaskView, instances};

use super::{Selection, held};
use crate::cli::Failure;

/// The selected instances. Tasks are opened one at a time.
pub(super) struct Opened {
    pub(super) instances: Vec<InstanceState>,
    task: Option<String>,
    scratch: tempfile::TempDir,
}

impl Opened {
    pub(super) fn find(config: &StreamsConfig, selection: &Selection) -> Result<Self, Failure> {
        let mut found = instances(&config.state_dir, &config.application_id)?;
        let root = config.state_dir.join(&config.application_id);
        let known = names(&found);
        if let Some(wanted) = &selection.instance {
            found.retain(|instance| instance.instance == *wanted);
        }
        if let Some(task) = &selection.task {
            for instance in &mut found {
                instance.tasks.retain(|found| found.to_string() == *task);
            }
            found.retain(|instance| !instance.tasks.is_empty());
        }
        if found.is_empty() {
            return Err(nothing(&root, &known));
        }
        let scratch = tempfile::Builder::new().prefix("millpond-state-").tempdir().map_err(|error| {
            let fix = "make room there, or name another directory in TMPDIR";
            Failure::new("scratch", "no temporary directory can be made", fix).because(&error)
        })?;
        Ok(Self { instances: found, task: selection.task.clone(), scratch })
    }

    /// The tasks with the directories of their instances.
    pub(super) fn tasks(&self) -> impl Iterator<Item = (&InstanceState, TaskId)> {
        self.instances.iter().flat_map(|instance| instance.tasks.iter().map(move |&task| (instance, task)))
    }

    pub(super) fn view(&self, instance: &InstanceState, task: TaskId) -> Result<TaskView, Failure> {
        let scratch = self.scratch.path().join(&instance.instance).join(task.to_string());
        std::fs::create_dir_all(&scratch).map_err(|error| Failure::output(&error))?;
        Ok(TaskView::open(&instance.path, task, &scratch)?)
    }

    /// Views of all tasks that have the store.
    pub(super) fn with_store(&self, store: &str) -> Result<Vec<(String, TaskView)>, Failure> {
        let (mut found, mut known) = (Vec::new(), std::collections::BTreeSet::new());
        for (instance, task) in self.tasks() {
            let view = self.view(instance, task)?;
            known.extend(view.stores().iter().cloned());
            if view.stores().iter().any(|name| name == store) {
                found.push((instance.instance.clone(), view));
            }
        }
        if found.is_empty() {
            let known: Vec<String> = known.into_iter().collect();
            let fix = format!("name one of these: {}; stores in memory are not on disk", known.join(", "));
            let of = self.task.as_ref().map_or_else(String::new, |task| format!(" of task {task}"));
            return Err(Failure::new("unknown-store", format!("there is no store {store}{of} here"), fix));
        }
        Ok(found)
    }
}

/// Whether a process has the task open; `None` when the system does not tell.
pub(super) fn in_use(instance: &InstanceState, task: TaskId) -> Option<bool> {
    held::is_held(&lock_of(&instance.path, task))
}

fn lock_of(instance: &Path, task: TaskId) -> PathBuf {
    instance.join(format!("{task}.lock"))
}

fn names(instances: &[InstanceState]) -> Vec<String> {
    let tasks = |instance: &InstanceState| {
        let tasks: Vec<String> = instance.tasks.iter().map(ToString::to_string).collect();
        format!("{} ({})", instance.instance, tasks.join(", "))
    };
    instances.iter().map(tasks).collect()
}

fn nothing(root: &Path, known: &[String]) -> Failure {
    let message = format!("there is no such state in {}", root.display());
    let fix = if known.is_empty() {
        "say --state-dir and --application-id as the application has them; one without stores has no state".to_owned()
    } else {
        format!("these instances and tasks are there: {}", known.join(", "))
    };
    Failure::new("no-state", message, fix)
}
