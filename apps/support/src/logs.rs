//! Logs: to standard error, by a filter that can be changed while the application runs.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use millpond::http::LogFilter;
use tracing_subscriber::EnvFilter;

/// What is logged when nobody says: life-cycle changes, but not each time that a table is there already.
const USUAL: &str = "info,sqlx::postgres::notice=warn";

/// What is never logged, whatever the filter says: lines of a password file that cannot be read, values of a URL, and requests
/// byte by byte, with the headers that carry tokens.
const QUIET: [&str; 4] = [
    "sqlx_postgres::options::pgpass=off",
    "sqlx_postgres::options::parse=off",
    "ureq_proto=off",
    "ureq_proto::util=off",
];

/// The filter in force, and how it is changed.
struct Reloading {
    now: Mutex<String>,
    reload: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

impl std::fmt::Debug for Reloading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloading").field("now", &self.now).finish_non_exhaustive()
    }
}

impl LogFilter for Reloading {
    fn filter(&self) -> String {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, filter: &str) -> Result<(), String> {
        let parsed = parse(filter)?;
        // Held over the change, so that what is told is what is in force.
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (self.reload)(parsed)?;
        filter.clone_into(&mut now);
        Ok(())
    }
}

/// A filter without what is never logged.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    if filter.trim().is_empty() {
        return Err("say a filter, such as info or info,millpond=debug".to_owned());
    }
    let wrong = |error: &dyn std::error::Error| format!("{error}; say a filter such as info or info,millpond=debug");
    let parsed = EnvFilter::builder().parse(filter).map_err(|error| wrong(&error))?;
    Ok(QUIET.iter().filter_map(|quiet| quiet.parse().ok()).fold(parsed, EnvFilter::add_directive))
}

/// `RUST_LOG` chooses what is logged, `info` by default. Tells how it can be changed; a program that has set up logs before
/// keeps them, and cannot.
pub(crate) fn set_up_logs(format: Option<&str>) -> Option<Arc<dyn LogFilter>> {
    let said = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let (now, filter) = said
        .and_then(|said| parse(&said).ok().map(|filter| (said, filter)))
        .or_else(|| Some((USUAL.to_owned(), parse(USUAL).ok()?)))?;
    let terminal = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(terminal).with_env_filter(filter);
    let reload: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync> =
        if format.map_or(!terminal, |format| format == "json") {
            let logs = logs.json().flatten_event(true).with_filter_reloading();
            let handle = logs.reload_handle();
            logs.try_init().ok()?;
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        } else {
            let logs = logs.with_filter_reloading();
            let handle = logs.reload_handle();
            logs.try_init().ok()?;
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        };
    Some(Arc::new(Reloading { now: Mutex::new(now), reload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_what_is_never_logged_and_a_mistake_in_it_is_told() {
        for filter in ["trace", USUAL, "sqlx_postgres::options::pgpass=trace"] {
            let parsed = parse(filter).unwrap().to_string();
            assert!(QUIET.iter().all(|quiet| parsed.contains(quiet)), "{filter}: {parsed}");
            assert!(!parsed.contains("pgpass=trace"), "{parsed}");
        }
        for filter in ["", " ", "millpond=loud", "a=b=c"] {
            assert!(parse(filter).unwrap_err().contains("info,millpond=debug"), "{filter}");
        }
    }

    #[test]
    fn a_filter_that_is_refused_changes_nothing() {
        let logs = Reloading { now: Mutex::new("info".into()), reload: Box::new(|_| Ok(())) };
        assert!(logs.change("millpond=loud").is_err());
        assert_eq!(logs.filter(), "info");
        logs.change("debug").unwrap();
        assert_eq!(logs.filter(), "debug");
    }
}
