//! `config check` finds what a start would refuse, without a broker and without a database.

use super::*;

/// A binary in a directory of its own, which nobody answers.
fn ask(scratch: &Scratch, binary: &str, line: &[&str]) -> Answer {
    let state = format!("--state-dir={}", scratch.path().display());
    let mut command = Command::new(built(binary).unwrap());
    let output = command.args(line).args(["--bootstrap-servers=127.0.0.1:1", &state]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_check_finds_what_a_start_would_refuse_and_connects_to_nobody() {
    let scratch = Scratch::new("cli-configuration").unwrap();
    let token = scratch.path().join("token");
    std::fs::write(&token, "").unwrap();
    let token = format!("--set=sasl.oauthbearer.token.file={}", token.display());
    let ssl = "--set=security.protocol=SSL";
    let bearer = ["--set=security.protocol=SASL_PLAINTEXT", "--set=sasl.mechanism=OAUTHBEARER"];
    for (flags, code, said) in [
        (&["--set=kafka.lingre.ms=5"][..], "broker-configuration", "lingre.ms"),
        (&["--set=kafka.linger.ms=canary"], "broker-configuration", "linger.ms"),
        (&[ssl, "--set=ssl.ca.location=/nowhere/ca.pem"], "broker-configuration", "ssl.ca.location"),
        (&[bearer[0], bearer[1]], "configuration", "sasl.oauthbearer.token.file"),
        (&[bearer[0], bearer[1], &token], "configuration", "is empty"),
        (&["--set=app.count=many"], "configuration", "app.count"),
    ] {
        let answer = ask(&scratch, "fraud", &[&["config", "check", "--json"], flags].concat());
        assert_eq!((answer.code, answer.error().as_str()), (2, code), "{flags:?}: {answer:?}");
        assert!(answer.err.contains(said) && !answer.err.contains("canary"), "{said}: {answer:?}");
    }
    let right = ask(&scratch, "fraud", &["config", "check", "--json", "--set=kafka.linger.ms=7"]).json();
    assert_eq!(right["ok"], true, "{right}");
}

#[test]
fn a_check_of_the_loader_reads_the_databases_url() {
    let scratch = Scratch::new("cli-configuration-loader").unwrap();
    let check = |flags: &[&str]| ask(&scratch, "loader", &[&["config", "check", "--json"], flags].concat());
    for (url, said) in [
        ("postgres//u:canary@h/d", "cannot be read"),
        ("postgres://u:canary@h/d", "sslmode=verify-full"),
        ("postgres://localhost/d?pasword=canary", "a parameter that means nothing"),
    ] {
        let answer = check(&[&format!("--set=app.database_url={url}")]);
        assert_eq!((answer.code, answer.error().as_str()), (2, "configuration"), "{url}: {answer:?}");
        assert!(answer.err.contains(said) && !answer.err.contains("canary"), "{said}: {answer:?}");
    }
    let url = "--set=app.database_url=postgres://u@localhost/d";
    assert_eq!(check(&[url]).json()["ok"], true, "nobody asks whether the database is there");
    // Tokens are sent to a server with the right certificate only.
    let answer = check(&[url, "--set=app.database_auth=rds-iam", "--set=aws.region=eu-west-1"]);
    assert!(answer.error() == "configuration" && answer.err.contains("needs sslmode=verify-full"), "{answer:?}");
}
