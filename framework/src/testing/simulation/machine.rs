//! Machines with disks, and the lives of the processes on them.

use std::rc::Rc;
use std::sync::Arc;

use super::mistakes;
use super::schedule::Disk;
use super::world::{APPLICATION, Note, Slot, World};
use crate::broker::BrokerErrorKind;
use crate::broker::sim::{Fault, Isolation, SimBroker};
use crate::error::Recovery;
use crate::runtime::{Application, Error, Progress, Refusal, StreamThread, TaskError, TaskState, Topics, query};
use crate::state::changelog::{ChangelogKey, classify};
use crate::state::{MemoryDirectory, StateDirectory, StoreError};

/// A machine is its disk, and whether a thread of its process is in the middle of a round.
#[derive(Default)]
pub(super) struct Machine {
    pub(super) directory: MemoryDirectory,
    /// An earlier content of the disk.
    image: Option<MemoryDirectory>,
    busy: bool,
}

impl Machine {
    pub(super) fn keep_image(&mut self) {
        self.image = Some(self.directory.image());
    }

    /// What becomes of the disk of a process that has died.
    pub(super) fn lose(&mut self, disk: Disk) {
        match disk {
            Disk::Kept => {}
            Disk::TailLost(batches) => {
                for task in self.directory.tasks().unwrap_or_default() {
                    self.directory.lose_since(task, batches);
                }
            }
            Disk::Lost => self.directory = MemoryDirectory::new(),
            Disk::Old => {
                if let Some(image) = &self.image {
                    self.directory = image.image();
                }
            }
        }
    }
}

/// A process stays down for less than so many rounds.
const DOWN_MAX: u64 = 8;

impl World {
    /// One round of a thread, or of its place. True when nothing happened.
    pub(super) fn round(&self, thread: usize) -> bool {
        // Whoever cannot be borrowed stands still in the middle of a round, and with it its process.
        let Some(Ok(mut slot)) = self.slots.get(thread).map(std::cell::RefCell::try_borrow_mut) else { return true };
        let number = slot.machine;
        if slot.frozen > 0 {
            slot.frozen -= 1;
            if slot.frozen == 0 {
                self.broker.thaw(APPLICATION, &slot.config.instance_id);
            }
            return false;
        }
        if slot.thread.is_none() && slot.down > 0 {
            slot.down -= 1;
            return false;
        }
        if self.set_busy(number, true) {
            return true;
        }
        let now = slot.now(&self.broker);
        let asked = Self::inquire(&mut slot, now);
        let result = match &mut slot.thread {
            Some(thread) => thread.run_once(now).map(Progress::is_idle),
            None => self.start(&mut slot).map(|()| false),
        };
        let starting = slot.thread.is_none();
        drop(slot);
        self.set_busy(number, false);
        let crashed = self.broker.take_crash().is_some() | self.disk_crashed(number);
        match result {
            Ok(idle) if !crashed => {
                self.check_answers(&asked);
                return idle;
            }
            // Whoever starts a process tries again when the broker asks to wait.
            Err(error) if !(crashed || starting && error.recovery() == Recovery::Retry) => {
                self.note_stop(thread, &error);
            }
            _ => {}
        }
        self.end_process(thread);
        false
    }

    /// Marks the process of a machine as being in the middle of a round, or not. Gives what it was.
    fn set_busy(&self, machine: usize, busy: bool) -> bool {
        let mut machines = self.machines.borrow_mut();
        machines.get_mut(machine).is_some_and(|machine| std::mem::replace(&mut machine.busy, busy))
    }

    fn disk_crashed(&self, machine: usize) -> bool {
        self.machines.borrow().get(machine).is_some_and(|machine| machine.directory.take_crash().is_some())
    }

    fn start(&self, slot: &mut Slot) -> Result<(), Error> {
        let dead_letters = slot.config.errors.topic.as_ref().map(|(name, _)| name);
        let topics = Arc::new(Topics::prepare(&self.broker, &self.topology, APPLICATION, 1, dead_letters)?);
        let directory = self.machines.borrow().get(slot.machine).map(|machine| machine.directory.clone());
        let directory = Rc::new(directory.unwrap_or_default());
        let application = Application { topology: Arc::clone(&self.topology), topics, directory };
        let now = slot.now(&self.broker);
        let mut thread = StreamThread::start(self.broker.clone(), slot.config.clone(), application, now)?;
        let (asker, questions) = query::queue();
        thread.answer(questions);
        slot.asker = Some(asker);
        slot.thread = Some(thread);
        Ok(())
    }

    /// The process of a thread is gone, with all its threads. It stays down for a while.
    pub(super) fn end_process(&self, thread: usize) {
        for slot in self.on_the_machine_of(thread) {
            let mut slot = slot.borrow_mut();
            slot.down = u32::try_from(self.rng.borrow_mut().below(DOWN_MAX)).unwrap_or(0);
            slot.frozen = 0;
            if let Some(thread) = slot.thread.take() {
                self.retire(&thread);
                self.check_replay(&slot, &thread);
            }
        }
    }

    /// Keeps the counters of a thread that goes.
    pub(super) fn retire(&self, thread: &StreamThread<SimBroker>) {
        self.facts.borrow_mut().wipes += thread.counters().state_wipes;
    }

    /// A task that was running is at most one commit behind its changelog: more would be replayed after a plain crash.
    fn check_replay(&self, slot: &Slot, thread: &StreamThread<SimBroker>) {
        if !self.replay_is_bounded() {
            return;
        }
        let machines = self.machines.borrow();
        let Some(machine) = machines.get(slot.machine) else { return };
        // Who was thrown out and does not know it yet is behind its successor.
        let assignments = self.broker.group(APPLICATION).assignments;
        let owned = assignments.get(&slot.config.instance_id).map(Vec::as_slice).unwrap_or_default();
        for task in thread.tasks().filter(|task| task.state() == TaskState::Running && task.stores().is_some()) {
            let id = task.id();
            if !task.inputs().all(|(input, _)| owned.contains(input)) {
                continue;
            }
            let checkpoint = machine.directory.checkpoint(id).unwrap_or_default();
            let newer = checkpoint.changelog.iter().flat_map(|(at, &from)| {
                let records = self.broker.records_from(at, from, Isolation::ReadCommitted);
                records
                    .into_iter()
                    .filter(|record| record.key.as_ref().is_some_and(|key| classify(key) == ChangelogKey::Commit(id)))
            });
            let behind = newer.count();
            if behind > 1 {
                self.wrong(format!(
                    "{}: task {id} died {behind} commits behind its changelog",
                    slot.config.instance_id
                ));
            }
        }
    }

    /// A delivery report without an offset leaves the older one, and the owner may have lost the task without knowing.
    fn replay_is_bounded(&self) -> bool {
        let excused = self.is_noted(Note::Tearing) || self.is_noted(Note::Twins);
        !excused && !self.broker.faults_hit().contains_key(&Fault::DeliveryOffsetUnknown)
    }

    /// A process has stopped by itself: the schedule must explain why.
    fn note_stop(&self, thread: usize, error: &Error) {
        let name = self.slots.get(thread).map(|slot| slot.borrow().config.instance_id.clone()).unwrap_or_default();
        self.facts.borrow_mut().stops.push(format!("{name}: {error}"));
        let torn = |refusal: &Refusal| {
            matches!(refusal, Refusal::TornTransaction { .. } | Refusal::OffsetsDiffer { moved_by_hand: false, .. })
        };
        let shared = self.on_the_machine_of(thread).count() > 1;
        let explained = match error {
            error if self.is_noted(Note::Mistaken) && mistakes::is_named(error) => {
                self.facts.borrow_mut().refused = Some(error.to_string());
                true
            }
            Error::Task(TaskError::Refused(refusal)) if self.is_noted(Note::Tearing) && torn(refusal) => {
                self.facts.borrow_mut().refused = Some(error.to_string());
                true
            }
            // A thread of the same process stood still for longer than a minute.
            Error::Store(StoreError::Locked { .. }) => shared,
            // The disk failed, as planned.
            Error::Store(StoreError::Io { .. }) | Error::Task(TaskError::Store(StoreError::Io { .. })) => true,
            Error::DuplicateInstance { .. } => self.is_noted(Note::Twins),
            Error::Broker(error) => error.kind == BrokerErrorKind::InstanceFenced && self.is_noted(Note::Twins),
            _ => false,
        };
        if !explained {
            self.wrong(format!("{name} stopped: {error}"));
        }
    }
}
