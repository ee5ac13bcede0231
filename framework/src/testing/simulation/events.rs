//! What happens out of the ordinary.

use std::cell::RefCell;
use std::time::Duration;

use super::machine::Machine;
use super::schedule::{Disk, Event, Step};
use super::world::{APPLICATION, Note, Slot, World};
use super::zombie::Zombie;
use crate::state::StateDirectory;

impl World {
    /// One step, but for input.
    pub(super) fn step(&self, step: &Step) {
        match step {
            Step::Round(thread) => {
                self.round(*thread);
            }
            Step::Wait(ms) => self.broker.advance(Duration::from_millis(*ms)),
            Step::Input(_) => {}
            Step::Event(event) => {
                *self.facts.borrow_mut().events.entry(event.name()).or_default() += 1;
                self.happen(event);
            }
        }
        self.run_zombies();
    }

    fn happen(&self, event: &Event) {
        match event {
            Event::LongWait(ms) => self.broker.advance(Duration::from_millis(*ms)),
            Event::Freeze(thread, rounds) => self.freeze(*thread, *rounds),
            Event::Kill(thread, disk) => self.kill(*thread, *disk),
            Event::Close(thread, leave) => self.close(*thread, *leave),
            Event::Twin(thread) => self.twin(*thread),
            Event::Skew(thread, ms) => {
                // State whose time is an hour ahead, or half a day behind, is wiped.
                if ms.abs() > 3_600_000 {
                    self.note(Note::OldState);
                }
                if let Some(slot) = self.slots.get(*thread) {
                    slot.borrow_mut().skew = *ms;
                }
            }
            Event::Image(thread) => self.on_machine(*thread, Machine::keep_image),
            Event::Compact => self.compact(false),
            Event::Day => {
                self.note(Note::OldState);
                self.broker.advance(Duration::from_hours(25));
                self.compact(true);
            }
            Event::Retain => {
                for (at, offset) in self.broker.committed_offsets(APPLICATION) {
                    self.broker.delete_records_before(&at, offset.next);
                }
            }
            Event::DiskFault(thread, fault, batches) => self.on_machine(*thread, |machine| {
                machine.directory.fail_after(*fault, *batches);
            }),
            Event::Mistake(mistake) => self.mistake(*mistake),
            Event::Corrupt(thread) => {
                self.note(Note::OldState);
                self.on_machine(*thread, |machine| {
                    let tasks = machine.directory.tasks().unwrap_or_default();
                    tasks.first().into_iter().for_each(|&task| machine.directory.corrupt(task));
                });
            }
        }
    }

    fn compact(&self, drop_tombstones: bool) {
        if !self.is_spoilt() {
            self.check_commits();
        }
        self.note(Note::Compacted);
        for topic in self.compacted_topics() {
            self.broker.compact(&topic, drop_tombstones);
        }
    }

    fn freeze(&self, thread: usize, rounds: u32) {
        for slot in self.on_the_machine_of(thread) {
            let mut slot = slot.borrow_mut();
            slot.frozen = rounds;
            self.broker.freeze(APPLICATION, &slot.config.instance_id);
        }
    }

    pub(super) fn kill(&self, thread: usize, disk: Disk) {
        self.end_process(thread);
        self.on_machine(thread, |machine| machine.lose(disk));
    }

    /// All threads of the process stop in order; an error means that the next start repeats something.
    fn close(&self, thread: usize, leave: bool) {
        for slot in self.on_the_machine_of(thread) {
            let mut slot = slot.borrow_mut();
            let now = slot.now(&self.broker);
            if let Some(thread) = slot.thread.take() {
                self.retire(&thread);
                drop(thread.close(leave, now));
            }
            if self.broker.take_crash().is_some() {
                break;
            }
        }
        // Whatever became of the one, the process is gone.
        self.end_process(thread);
    }

    /// The process stands still, and is taken for dead: another one starts under its name, on a new machine.
    fn twin(&self, thread: usize) {
        let Some(slot) = self.slots.get(thread) else { return };
        if self.on_the_machine_of(thread).count() > 1 || slot.borrow().thread.is_none() {
            return;
        }
        let mut slot = slot.borrow_mut();
        self.broker.freeze(APPLICATION, &slot.config.instance_id);
        let machine = self.machines.borrow().len();
        self.machines.borrow_mut().push(Machine::default());
        let config = slot.config.clone();
        let place = Slot { config, machine, thread: None, skew: slot.skew, down: 0, frozen: 0, asker: None, rounds: 0 };
        let zombie = std::mem::replace(&mut *slot, place);
        self.zombies.borrow_mut().push(Zombie::new(zombie));
        self.note(Note::Twins);
    }

    fn on_machine(&self, thread: usize, change: impl FnOnce(&mut Machine)) {
        let Some(number) = self.slots.get(thread).map(|slot| slot.borrow().machine) else { return };
        if let Some(machine) = self.machines.borrow_mut().get_mut(number) {
            change(machine);
        }
    }

    pub(super) fn on_the_machine_of(&self, thread: usize) -> impl Iterator<Item = &RefCell<Slot>> {
        let number = self.slots.get(thread).map(|slot| slot.borrow().machine);
        // Whoever cannot be borrowed stands still in a round, alone on its machine or with others that must wait for it.
        self.slots.iter().filter(move |slot| slot.try_borrow().is_ok_and(|slot| Some(slot.machine) == number))
    }
}
