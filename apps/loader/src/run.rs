//! The loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millpond::broker::Broker;
use millpond::error::Recovery;

use crate::backoff::Backoff;
use crate::config::LoaderConfig;
use crate::error::Error;
use crate::loader::Loader;
use crate::status::SharedStatus;

/// Loads until `stop` is set: one group member, on this thread. Survives restarts of PostgreSQL and Kafka for as long
/// as [`LoaderConfig::give_up_after`]; polls Kafka meanwhile, so that the group keeps its partitions here.
///
/// On `stop` what was read is written, the group's offsets are brought up, and the member stays in the group (static
/// membership): a restart within the session time-out causes no rebalance.
///
/// # Errors
/// [`Error`] that repetition does not cure: the process should end and be started again by its supervisor. Nothing is
/// lost or doubled by that.
pub fn run<B: Broker>(config: &LoaderConfig, broker: B, status: &SharedStatus, stop: &AtomicBool) -> Result<(), Error> {
    let mut loader = Loader::new(config.clone(), broker, status.clone())?;
    let mut backoff = Backoff::new(config.retry_backoff, config.give_up_after);
    while !stop.load(Ordering::Relaxed) {
        match loader.join() {
            Ok(()) => break,
            Err(error) if error.recovery() == Recovery::Retry => {
                tracing::warn!(%error, "cannot start yet");
                backoff.failed(Instant::now(), error)?;
                wait(&backoff, stop);
            }
            Err(error) => return Err(error),
        }
    }
    while !stop.load(Ordering::Relaxed) {
        loader.run_once()?;
    }
    loader.close()
}

/// Before the group is joined there is nothing to poll.
fn wait(backoff: &Backoff, stop: &AtomicBool) {
    const STEP: Duration = Duration::from_millis(50);
    while !backoff.is_over(Instant::now()) && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(STEP);
    }
}
