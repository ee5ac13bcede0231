//! The wish to stop: from a signal, from a failure, or from a test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::startup::StartupError;

/// Says whether to stop. Clones share one wish.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    bell: Arc<(Mutex<()>, Condvar)>,
}

impl Stop {
    /// A wish that only [`request`](Self::request) makes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A wish that SIGINT (Ctrl-C) and SIGTERM make. A second signal ends the process at once: it is safe at any moment,
    /// nothing but the work since the last commit is done again.
    ///
    /// # Errors
    /// [`StartupError::Signals`] when the system refuses a handler or a thread.
    pub fn on_signals() -> Result<Self, StartupError> {
        let stop = Self::new();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(StartupError::Signals)?;
        // Handlers stand before this returns: no signal is missed between here and the thread's start.
        let (mut interrupt, mut terminate) = {
            let _context = runtime.enter();
            let install = |kind| signal(kind).map_err(StartupError::Signals);
            (install(SignalKind::interrupt())?, install(SignalKind::terminate())?)
        };
        let wish = stop.clone();
        let listen = move || {
            runtime.block_on(async {
                for exit in [None, Some(130)] {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if let Some(code) = exit {
                        tracing::warn!("a second signal: ending at once");
                        std::process::exit(code);
                    }
                    tracing::info!("asked to stop; committing what is done");
                    wish.request();
                }
            });
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(StartupError::Signals)?;
        Ok(stop)
    }

    /// Makes the wish.
    pub fn request(&self) {
        let (lock, bell) = &*self.bell;
        // The flag changes under the lock, so that nobody goes to sleep between looking at it and waiting.
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.flag.store(true, Ordering::Release);
        drop(guard);
        bell.notify_all();
    }

    /// True once somebody wished.
    pub fn is_requested(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// The wish as a plain flag, for loops that look at it each time round.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }

    /// Waits for the wish, at most that long. True when it was made.
    pub fn wait(&self, at_most: Duration) -> bool {
        let (lock, bell) = &*self.bell;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = bell.wait_timeout_while(guard, at_most, |()| !self.is_requested());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.is_requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_wakes_everybody_who_waits() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::ZERO));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || stop.wait(Duration::from_mins(1)))
            })
            .collect();
        stop.request();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
    }

    #[test]
    fn sigterm_is_a_wish_to_stop() {
        let stop = Stop::on_signals().unwrap();
        let killed = std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status();
        assert!(killed.unwrap().success());
        assert!(stop.wait(Duration::from_secs(30)));
    }
}
