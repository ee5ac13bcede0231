//! Waking a thread that waits for any of many queues.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A flag that stays up until it is taken down, so that no wake-up between looking and waiting is lost.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    up: Mutex<bool>,
    changed: Condvar,
}

impl Wakeup {
    /// Puts the flag up and wakes the waiting thread.
    pub(super) fn notify(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// Takes the flag down. Must come *before* looking at the queues: what arrives after it puts the flag up again.
    pub(super) fn clear(&self) {
        *self.lock() = false;
    }

    /// Waits until the flag is up, or for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        let guard = self.lock();
        drop(self.changed.wait_timeout_while(guard, timeout, |up| !*up).unwrap_or_else(PoisonError::into_inner));
    }

    /// A bool cannot be left half-written: a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
