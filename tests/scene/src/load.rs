//! Events that flow at a rate while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millpond_harness::{Client, Error};

use crate::shop::Shop;

/// How often events are written.
const TICK: Duration = Duration::from_millis(50);
/// How many are written at a time when there is no rate to keep.
const HURRY: u64 = 5_000;
/// How long the brokers may take: they may be killed and started again meanwhile.
const PATIENCE: Duration = Duration::from_mins(4);

/// A thread that writes a shop's events until it is ended.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<u64, Error>>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    /// Events that there must be in the end.
    least: AtomicU64,
}

impl Load {
    /// `rate` events a second, `limit` at most; the nearer it comes to that, the slower.
    pub fn start(client: &Client, topic: &str, seed: u64, rate: u64, limit: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let (client, topic, told) = (client.clone(), topic.to_owned(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let mut events = Shop::new(seed);
            let writer = client.writer()?;
            let began = Instant::now();
            let mut sent = 0;
            loop {
                let batch = if told.ended.load(Ordering::Acquire) {
                    let least = told.least.load(Ordering::Acquire).min(limit);
                    if sent >= least {
                        return Ok(sent);
                    }
                    HURRY.min(least - sent)
                } else {
                    // The pace of the load; nothing waits for it.
                    std::thread::park_timeout(TICK);
                    due(began.elapsed(), rate, limit).saturating_sub(sent)
                };
                let records = events.by_ref().take(usize::try_from(batch).unwrap_or(0));
                writer.write_within(&topic, records, PATIENCE)?;
                sent += batch;
            }
        });
        Self { shared, thread }
    }

    /// Ends it, when there are so many events at least: what is missing comes at once. Yields how many there are.
    ///
    /// # Errors
    /// [`Error`] when the brokers did not take an event.
    pub fn end(self, least: u64) -> Result<u64, Error> {
        self.shared.least.store(least, Ordering::Release);
        self.shared.ended.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| Err(Error::Tool { tool: "the load", output: "it panicked".into() }))
    }
}

/// How many events there must be by then. The last tenth comes a hundred times slower: the events must not end before
/// what needs them.
fn due(elapsed: Duration, rate: u64, limit: u64) -> u64 {
    let due = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_mul(rate) / 1000;
    let knee = limit - limit / 10;
    if due <= knee { due } else { (knee + (due - knee) / 100).min(limit) }
}
