//! An application that does not start tells it as commands tell their errors: code, cause, and what to do.

use super::*;

fn run(scratch: &Scratch, flags: &[&str]) -> Answer {
    let state = format!("--state-dir={}", scratch.path().display());
    let mut command = Command::new(built("fraud").unwrap());
    let command = command.args(["--bootstrap-servers=127.0.0.1:1", "--http=none", &state]).args(flags);
    let output = command.env_remove("RUST_LOG").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// The last line, behind those of the log.
fn last(answer: Answer) -> Answer {
    let err = answer.err.lines().last().unwrap_or_default().to_owned();
    Answer { err, ..answer }
}

#[test]
fn a_start_that_fails_tells_code_cause_and_fix() {
    let scratch = Scratch::new("cli-starting").unwrap();
    let ssl = ["--set=security.protocol=SSL", "--set=ssl.ca.location=/nowhere/ca.pem"];
    let failed = run(&scratch, &ssl);
    assert_eq!(failed.code, 1, "{failed:?}");
    let (_, told) = failed.err.split_once("\nerror[broker-configuration]: connect failed\n").unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("  cause: ") && lines[0].contains("ssl.ca.location"), "{failed:?}");
    assert_eq!(lines[1..], ["  fix: correct the configuration"], "{failed:?}");

    let failed = last(run(&scratch, &[&ssl[..], &["--json"]].concat()));
    assert_eq!((failed.code, failed.error().as_str()), (1, "broker-configuration"));
    let wrong = run(&scratch, &["--threads=none", "--json"]);
    assert_eq!((wrong.code, wrong.error().as_str()), (2, "configuration"));
    let missing = run(&scratch, &["--config=/nowhere/fraud.toml", "--json"]);
    assert!(missing.code == 2 && missing.error() == "configuration", "{missing:?}");
    assert!(missing.err.contains("No such file"), "the cause is there: {missing:?}");
    // Its own section is read by the application itself.
    let wrong = last(run(&scratch, &["--set=app.count=many", "--json"]));
    assert_eq!((wrong.code, wrong.error().as_str()), (2, "configuration"));
}

#[test]
fn a_name_that_is_taken_is_told_with_what_to_do() {
    let scratch = Scratch::new("cli-starting-twice").unwrap();
    let directory = scratch.path().join("fraud");
    let taken = millpond::runtime::Instance::acquire(&directory, Some("0"), String::new).unwrap();
    let failed = last(run(&scratch, &["--set=instance=0", "--json"]));
    assert_eq!((failed.code, failed.error().as_str()), (1, "instance"));
    assert!(failed.err.contains("already running here"), "{failed:?}");
    drop(taken);
}

#[test]
fn a_mistake_in_the_flags_is_json_where_that_is_asked_for() {
    let scratch = Scratch::new("cli-starting-flags").unwrap();
    for line in [&["--nonsense", "--json"][..], &["reset", "--json", "--to-offset=-1"], &["state", "get", "--json"]] {
        let failed = run(&scratch, line);
        assert_eq!((failed.code, failed.error().as_str(), failed.out.as_str()), (2, "usage", ""), "{line:?}");
    }
    let failed = run(&scratch, &["--nonsense"]);
    assert!(failed.code == 2 && failed.err.starts_with("error: unexpected argument '--nonsense'"), "{failed:?}");
    let help = run(&scratch, &["--help", "--json"]);
    assert!(help.code == 0 && help.out.contains("Usage: fraud"), "help is for people: {help:?}");
}
