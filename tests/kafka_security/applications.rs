//! An application that must not trust whom it is sent to ends with an error that says what is wrong and what to do.

use millpond_harness::{Launch, built};

use super::*;

/// Starts an application, which ends in time, with the error of somebody who has to be trusted and is not.
fn ends(name: &str, bootstrap: &str, ca: &Path) {
    let scratch = Scratch::new(&format!("security-{name}")).unwrap();
    let launch = Launch::new(built("fraud").unwrap(), scratch.path().join("log"))
        .args(["--http=none", "--set=security.protocol=SSL"])
        .arg(format!("--bootstrap-servers={bootstrap}"))
        .arg(format!("--set=ssl.ca.location={}", ca.display()))
        .arg(format!("--state-dir={}", scratch.path().display()));
    let mut process = launch.start().unwrap();
    let ended = process.wait(LIMIT).unwrap_or_else(|error| panic!("{name}: {error}: {}", process.log_tail()));
    let log = process.log();
    assert_eq!(ended.code(), Some(1), "{name}: {log}");
    let (_, told) = log.split_once("error[not-authorized]: ").unwrap_or_else(|| panic!("{name}: {log}"));
    let fix = told.lines().find(|line| line.starts_with("  fix: ")).unwrap_or_default();
    for said in [
        "the broker's certificate is not trusted",
        "ssl.ca.location must hold the authority that signed it",
        "its names must have the host of bootstrap.servers",
        "today must lie within its dates",
    ] {
        assert!(fix.contains(said), "{name}: {said}: {log}");
    }
    assert!(told.contains("  cause: "), "{name}: {log}");
}

#[test]
fn an_application_ends_at_a_broker_whose_certificate_is_of_another_authority_host_or_time() {
    let there = secured();
    ends("authority", &there.ssl, &there.client_certificate);
    ends("host", &forwarded(&there.ssl), &there.ca);
    let (_scratch, kafka) = certified("application-expired", (2020, 2021));
    let expired = kafka.secured().unwrap();
    ends("expired", &expired.ssl, &expired.ca);
}
