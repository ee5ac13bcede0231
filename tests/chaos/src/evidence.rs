//! What shows that a fault has done something: a fault that was only asked for does not count.

use std::time::Duration;

use millpond_harness::{Client, Error, query, try_wait_for};

/// How long it may take until something shows.
const SHOWN_MAX: Duration = Duration::from_secs(30);

/// Ends the backends of everybody but of whoever looks, and tells how many have ended. PostgreSQL answers when they have.
const TERMINATE: &str = "select pg_terminate_backend(pid, 5000) from pg_stat_activity \
    where pid <> pg_backend_pid() and backend_type = 'client backend' and application_name <> 'psql'";

/// Terminates the backends of applications: so many have ended. None while the server is away.
pub(crate) fn terminate_backends(url: &str) -> usize {
    query(url, TERMINATE)
        .map_or(0, |rows| rows.iter().filter(|row| row.first().is_some_and(|ended| ended == "t")).count())
}

/// The application says that its producer was fenced: the advice of that error, and of no other.
pub(crate) fn tells_of_a_fencing(log: &str) -> bool {
    log.contains("another process uses the same instance name; give each its own")
}

/// The application says that the coordinator has ended its transaction for its age: its producer was fenced, and nobody else
/// has done that.
pub(crate) fn tells_of_a_time_out(log: &str) -> bool {
    log.contains("longer than transaction.timeout.ms, so the broker has ended it")
}

/// Waits until it shows in what was logged behind the first `seen` bytes. False when it does not.
pub(crate) fn shows(seen: usize, log: impl Fn() -> String, evidence: impl Fn(&str) -> bool) -> bool {
    let shown = || Ok(log().get(seen..).is_some_and(&evidence).then_some(()));
    try_wait_for(SHOWN_MAX, "the fault shows", shown).is_ok()
}

/// Waits until the group has given the member of an instance up and is at rest with another one. False when it does not.
pub(crate) fn is_replaced(client: &Client, group: &str, instance: &str) -> Result<bool, Error> {
    // A static member's id begins with the name of its instance.
    let own = format!("{instance}-");
    let replaced = || {
        let members = client.stable_members(group)?;
        Ok((!members.is_empty() && !members.iter().any(|member| member.starts_with(&own))).then_some(()))
    };
    match try_wait_for(SHOWN_MAX, "the group has replaced the member", replaced) {
        Ok(()) => Ok(true),
        Err(Error::Late { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::cell::Cell;

    use millpond::broker::{BrokerError, BrokerErrorKind};
    use millpond_harness::Postgres;

    use super::*;

    #[test]
    fn a_fencing_is_told_by_its_own_error_and_by_no_other() {
        let told = |kind| tells_of_a_fencing(&BrokerError::new("commit_transaction", kind, "for a test").to_string());
        assert!(told(BrokerErrorKind::ProducerFenced));
        let others = [BrokerErrorKind::Abortable, BrokerErrorKind::NotAMember, BrokerErrorKind::InstanceFenced];
        assert!(!others.into_iter().any(told));
    }

    #[test]
    fn only_what_is_logged_after_a_fault_shows_it() {
        let line = "the transaction was open for longer than transaction.timeout.ms, so the broker has ended it\n";
        let looks = Cell::new(0);
        let log = || {
            looks.set(looks.get() + 1);
            line.repeat(if looks.get() > 3 { 2 } else { 1 })
        };
        assert!(shows(line.len(), log, tells_of_a_time_out));
        assert_eq!(looks.get(), 4, "the line of before was not taken for it");
        assert!(!tells_of_a_time_out("the transaction is dropped, all tasks are restored"));
    }

    #[test]
    fn backends_count_when_they_have_ended() {
        let postgres = Postgres::shared().unwrap();
        let url = postgres.create_database().unwrap();
        assert_eq!(terminate_backends(&url), 0, "there is nobody");
        let asleep = format!("{url}?application_name=asleep");
        let victim = std::thread::spawn(move || query(&asleep, "select pg_sleep(60)"));
        let ended = || Ok(Some(terminate_backends(&url)).filter(|ended| *ended > 0));
        assert_eq!(try_wait_for(SHOWN_MAX, "a backend has ended", ended).unwrap(), 1);
        assert!(victim.join().unwrap().is_err(), "its query was cut off");
        assert_eq!(terminate_backends("postgres://nobody@127.0.0.1:1/none"), 0, "a server that is away has none");
    }
}
