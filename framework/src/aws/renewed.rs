//! Credentials that are kept, and renewed in the background before they end.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{CredentialError, CredentialSource, Credentials, now};

/// New credentials are fetched when a quarter of their life is left, at most this long before their end.
const AHEAD_MAX_SECONDS: i64 = 600;
/// Credentials with less left are not given out: a signature takes a moment to arrive.
const LEFT_MIN_SECONDS: i64 = 1;
/// How long to wait after a failure, at most.
const RETRY_MAX_SECONDS: i64 = 10;
/// How long a caller waits for another's request: longer than all time limits of a request with its repetition.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Keeps the credentials of a source, and renews them on a thread of its own before they end: nobody who asks has to wait,
/// but for the first, and after a failure that outlasts the credentials. Credentials without an end are asked for each time.
#[derive(Debug)]
pub struct Renewed {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    source: Box<dyn CredentialSource>,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Held {
    credentials: Option<Credentials>,
    /// When to renew them: seconds since the Unix epoch.
    renew_at: i64,
    /// Somebody asks the source at this moment.
    is_fetching: bool,
    /// Why the last request failed; taken back by the next that succeeds.
    failure: Option<CredentialError>,
    /// The thread runs.
    is_renewing: bool,
    is_dropped: bool,
}

impl Renewed {
    /// Keeps the credentials of `source`; asks it when first asked.
    pub fn new(source: impl CredentialSource + 'static) -> Self {
        let shared = Shared { source: Box::new(source), held: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }
}

impl CredentialSource for Renewed {
    fn credentials(&self) -> Result<Credentials, CredentialError> {
        let begun = Instant::now();
        let mut held = self.shared.held();
        let mut has_waited = false;
        loop {
            if let Some(credentials) = held.valid(now()) {
                return Ok(credentials);
            }
            if !held.is_fetching {
                break;
            }
            // One request is enough for all who wait, and its failure as well.
            if begun.elapsed() >= WAIT_MAX {
                return Err(CredentialError::Bug("a request for credentials has an end"));
            }
            has_waited = true;
            held = self.shared.wait(held, WAIT_MAX);
        }
        if has_waited && let Some(error) = &held.failure {
            return Err(error.clone());
        }
        let (held, fetched) = self.shared.fetch(held);
        self.shared.clone().start(held);
        fetched
    }
}

impl Drop for Renewed {
    fn drop(&mut self) {
        self.shared.held().is_dropped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Every field is replaced whole, so a poisoned lock is as good as any.
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, held: MutexGuard<'a, Held>, limit: Duration) -> MutexGuard<'a, Held> {
        self.changed.wait_timeout(held, limit).map_or_else(|poisoned| poisoned.into_inner().0, |(held, _)| held)
    }

    /// Asks the source, without the lock.
    fn fetch<'a>(
        &'a self,
        mut held: MutexGuard<'a, Held>,
    ) -> (MutexGuard<'a, Held>, Result<Credentials, CredentialError>) {
        held.is_fetching = true;
        drop(held);
        let fetched = self.source.credentials();
        let mut held = self.held();
        held.is_fetching = false;
        held.note(&fetched, now());
        self.changed.notify_all();
        (held, fetched)
    }

    /// Starts the thread, where there is something to renew and no thread yet.
    fn start(self: Arc<Self>, mut held: MutexGuard<'_, Held>) {
        if held.is_renewing || held.credentials.is_none() {
            return;
        }
        held.is_renewing = true;
        drop(held);
        let shared = Arc::clone(&self);
        let started = std::thread::Builder::new().name("aws-credentials".to_owned()).spawn(move || shared.renew());
        if let Err(error) = started {
            // Whoever asks after the end fetches for himself.
            tracing::warn!(%error, "no thread to renew AWS credentials in the background");
            self.held().is_renewing = false;
        }
    }

    fn renew(&self) {
        let mut held = self.held();
        while !held.is_dropped {
            let left = held.renew_at.saturating_sub(now());
            if left > 0 || held.is_fetching {
                let left = Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1));
                held = self.wait(held, left);
                continue;
            }
            let (after, fetched) = self.fetch(held);
            held = after;
            match fetched {
                Ok(credentials) => {
                    tracing::debug!(access_key_id = credentials.access_key_id, "AWS credentials are renewed");
                }
                Err(error) => tracing::warn!(%error, "AWS credentials are not renewed yet; it is tried again"),
            }
        }
    }
}

impl Held {
    fn valid(&self, now: i64) -> Option<Credentials> {
        let credentials = self.credentials.as_ref()?;
        let left = credentials.expires_at?.saturating_sub(now);
        (left > LEFT_MIN_SECONDS).then(|| credentials.clone())
    }

    fn note(&mut self, fetched: &Result<Credentials, CredentialError>, now: i64) {
        match fetched {
            Ok(credentials) => {
                self.failure = None;
                self.credentials = credentials.expires_at.map(|_| credentials.clone());
                let left = credentials.expires_at.map_or(i64::MAX, |end| end.saturating_sub(now));
                let ahead = (left / 4).min(AHEAD_MAX_SECONDS);
                self.renew_at = now.saturating_add((left - ahead).max(1));
            }
            Err(error) => {
                self.failure = Some(error.clone());
                let end = self.credentials.as_ref().and_then(|credentials| credentials.expires_at);
                let left = end.map_or(RETRY_MAX_SECONDS, |end| end.saturating_sub(now) / 4);
                self.renew_at = now.saturating_add(left.clamp(1, RETRY_MAX_SECONDS));
            }
        }
    }
}

#[cfg(test)]
impl Renewed {
    /// For tests of the thread and of those who wait.
    pub(super) fn shared_for_tests(&self) -> &Arc<Shared> {
        &self.shared
    }
}
