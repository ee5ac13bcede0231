//! A process that stood still while another with the same name took its place.

use super::world::{Slot, World};
use crate::broker::sim::SimBroker;
use crate::error::Recovery;
use crate::runtime::Error;

/// It wakes after so many steps.
const SLEEP: u32 = 40;

/// The old process.
pub(super) struct Zombie {
    slot: Slot,
    asleep: u32,
}

impl Zombie {
    pub(super) const fn new(slot: Slot) -> Self {
        Self { slot, asleep: SLEEP }
    }

    pub(super) const fn wake(&mut self) {
        self.asleep = 0;
    }

    /// One round; the error that ends it.
    fn round(&mut self, broker: &SimBroker) -> Result<(), Error> {
        if self.asleep > 0 {
            self.asleep -= 1;
            return Ok(());
        }
        let now = self.slot.now(broker);
        self.slot.thread.as_mut().map_or(Ok(()), |thread| thread.run_once(now).map(drop))
    }
}

impl World {
    /// Lets the zombies run on. The first thing that they hear of the broker must end them.
    pub(super) fn run_zombies(&self) {
        let zombies = std::mem::take(&mut *self.zombies.borrow_mut());
        let mut kept = Vec::new();
        for mut zombie in zombies {
            let ended = zombie.round(&self.broker);
            let crashed = self.broker.take_crash().is_some();
            match ended {
                Ok(()) if !crashed => kept.push(zombie),
                Err(error) if !crashed && error.recovery() != Recovery::Shutdown => {
                    self.wrong(format!("a zombie ended with an error that it could have mended: {error}"));
                }
                _ => {}
            }
        }
        self.zombies.borrow_mut().extend(kept);
    }
}
