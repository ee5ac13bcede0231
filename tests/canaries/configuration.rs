//! Mistakes in a configuration, in all places where a secret may stand.

use std::fs;

use millpond_harness::Scratch;

use super::canary::secret;
use super::shop::{APPLICATIONS, Variables, command, talkative};
use super::sinks::Sinks;

/// Lines of files that are wrong in or beside a secret.
fn files() -> Vec<(&'static str, String)> {
    let secret = secret("file");
    vec![
        ("a slip of the hand in the key", format!("sasl.pasword = \"{secret}\"")),
        ("the quotes forgotten", format!("sasl.password = {secret}")),
        ("the quotes not closed", format!("sasl.password = \"{secret}")),
        ("a list", format!("sasl.password = [\"{secret}\"]")),
        ("a table", format!("[sasl.password]\nvalue = \"{secret}\"")),
        ("twice", format!("sasl.password = \"{secret}\"\nsasl.password = \"{secret}\"")),
        ("without a use", format!("sasl.password = \"{secret}\"\nssl.key.password = \"{secret}\"")),
        ("passed on and refused", format!("[kafka]\nsasl.password = \"{secret}\"")),
        ("passed on and unknown", format!("[kafka]\nssl.keystore.passwort = \"{secret}\"")),
        ("a URL that is none", format!("[app]\ndatabase_url = \"postgres//loader:{secret}@h/d\"")),
        ("a URL with a port that is none", format!("[app]\ndatabase_url = \"postgres://loader:{secret}@h:port/d\"")),
        (
            "a URL with an unknown parameter",
            format!("[app]\ndatabase_url = \"postgres://loader:{secret}@h/d?a={secret}\""),
        ),
        ("a URL with the password in the query", format!("[app]\ndatabase_url = \"postgres://h/d?password={secret}\"")),
        ("key and value", format!("[app]\ndatabase_url = \"host=h user=u password={secret}\"")),
        ("a number in its place", "[app]\ndatabase_url = 5".to_owned()),
        ("an unknown secret of the application", format!("[app]\napi_token = \"{secret}\"")),
        ("of a client", format!("[kafka]\nsasl.oauthbearer.client.secret = \"{secret}\"")),
        ("a collector with a password", format!("otlp.endpoint = \"http://user:{secret}@h:4318\"")),
        ("a collector with a token", format!("otlp.endpoint = \"http://h:4318?token={secret}\"")),
        ("a slip of the hand in the admin's token", format!("http.admin.tokens = \"{secret}\"")),
        (
            "a key in the file",
            format!("[kafka]\nssl.key.pem = \"\"\"\n-----BEGIN PRIVATE KEY-----\n{secret}\n\"\"\"\nlinger = "),
        ),
    ]
}

#[test]
fn no_canary_shows_in_what_is_said_of_a_wrong_configuration() {
    let scratch = Scratch::new("canaries-configuration").unwrap();
    let file = scratch.path().join("app.toml");
    let mut variables = talkative();
    variables.insert("MILLPOND_BOOTSTRAP_SERVERS".into(), "127.0.0.1:1".into());
    variables.insert("MILLPOND_STATE_DIR".into(), scratch.path().display().to_string());
    let mut sinks = Sinks::default();
    for application in APPLICATIONS.into_iter().chain(["millpond"]) {
        for (mistake, text) in files() {
            fs::write(&file, format!("{text}\n")).unwrap();
            let flag = format!("--config={}", file.display());
            for line in [&["config", "check"][..], &["config", "show"], &["config", "show", "--json"], &["topology"]] {
                let name = format!("{application} {}: {mistake}", line.join(" "));
                sinks.command(name, command(application, line, &variables).arg(&flag));
            }
            let shown = format!("{application} --show-config: {mistake}");
            sinks.command(shown, command(application, &["--show-config"], &variables).arg(&flag));
        }
        for (name, value) in mistaken() {
            let wrong: Variables = [(name.to_owned(), value)].into_iter().chain(variables.clone()).collect();
            let output = sinks.command(format!("{application}: {name}"), &mut command(application, &[], &wrong));
            assert_eq!(output.status.code(), Some(2), "{application}: {name}: {output:?}");
        }
        let flags =
            [format!("--set=sasl.pasword={}", secret("flag")), format!("--set=sasl.password{}", secret("flag"))];
        for flag in &flags {
            sinks.command(format!("{application}: a wrong flag"), &mut command(application, &[flag], &variables));
        }
    }
    sinks.report();
    assert!(sinks.count() > 300, "{}", sinks.count());
}

/// Variables that do not fit.
fn mistaken() -> Vec<(&'static str, String)> {
    vec![
        ("MILLPOND_SASL_PASWORD", secret("variable")),
        ("MILLPOND_SASL_PASSWORD", secret("variable")),
        ("MILLPOND_KAFKA_SASL_PASSWORD", secret("variable")),
        ("MILLPOND_SASL_PASWORD", secret("variable")),
        ("MILLPOND_APP_PASSWORD", secret("variable")),
        ("MILLPOND_HTTP_ADMIN_TOKENS", secret("variable")),
        ("MILLPOND_OTLP_ENDPOINT", format!("http://user:{}@h:4318", secret("variable"))),
    ]
}
