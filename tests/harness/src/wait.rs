use std::time::{Duration, Instant};

use crate::Error;

/// How often a fact is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `fact` is true, at most `limit`; `what` names the fact in the error.
///
/// # Errors
/// [`Error::Late`] when the fact did not come true in time.
pub fn wait_for(limit: Duration, what: impl Into<String>, mut fact: impl FnMut() -> bool) -> Result<(), Error> {
    try_wait_for(limit, what, || Ok(fact().then_some(())))
}

/// Waits until `fact` yields a value, at most `limit`; `what` names the fact in the error.
///
/// # Errors
/// [`Error::Late`] when there was no value in time, and at once any error of `fact`.
pub fn try_wait_for<T>(
    limit: Duration,
    what: impl Into<String>,
    mut fact: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let began = Instant::now();
    loop {
        if let Some(value) = fact()? {
            return Ok(value);
        }
        if began.elapsed() >= limit {
            return Err(Error::Late { what: what.into(), limit });
        }
        std::thread::park_timeout(INTERVAL);
    }
}
