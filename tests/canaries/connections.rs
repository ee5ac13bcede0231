//! Connections that are refused, for each application at the same time: what it says before it ends.

use std::fs;
use std::path::PathBuf;

use millpond_harness::{Process, wait_for};

use super::canary::secret;
use super::services::Services;
use super::shop::{APPLICATIONS, LIMIT, Shop, Variables};
use super::sinks::Sinks;

/// A case: what is wrong, and the variables that make it so.
type Case = (&'static str, Vec<(&'static str, String)>);

/// A private key under a pass phrase that is another one than the canary.
const LOCKED_KEY: &str = include_str!("locked.key");

const NOBODY: &str = "nobody there";

/// An IAM token instead of a password.
fn iam() -> Vec<(&'static str, String)> {
    vec![
        ("MILLPOND_AUTH", "msk-iam".to_owned()),
        ("MILLPOND_AWS_REGION", "eu-west-1".to_owned()),
        ("MILLPOND_SASL_MECHANISM", String::new()),
        ("MILLPOND_SASL_USERNAME", String::new()),
        ("MILLPOND_SASL_PASSWORD", String::new()),
        ("MILLPOND_SECURITY_PROTOCOL", String::new()),
    ]
}

/// An IAM token by keys that come from there: none of the environment's own.
fn by_iam(name: &'static str, source: Vec<(&'static str, String)>) -> Case {
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let away = keys.map(|name| (name, String::new()));
    (name, iam().into_iter().chain(away).chain(source).collect())
}

/// Each source of keys besides the environment: keys arrive, and the brokers refuse the token that is made with them.
fn of_sources(shop: &Shop, services: &Services) -> Vec<Case> {
    let identity = shop.token_file("identity", &secret("identity"));
    let keys = format!(
        "[shop]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {}\naws_session_token = {}\n",
        secret("profile"),
        secret("profile-session"),
    );
    let profile = shop.token_file("credentials", &keys);
    vec![
        by_iam(
            "token by a web identity",
            vec![
                ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/shop".to_owned()),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", identity.display().to_string()),
                ("AWS_ENDPOINT_URL_STS", services.sts()),
            ],
        ),
        by_iam("token by an agent", vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", services.agent())]),
        by_iam(
            "token by a profile",
            vec![
                ("AWS_PROFILE", "shop".to_owned()),
                ("AWS_SHARED_CREDENTIALS_FILE", profile.display().to_string()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", String::new()),
            ],
        ),
    ]
}

fn of_kafka(shop: &Shop) -> Vec<Case> {
    let locked = shop.scratch.path().join("locked.key");
    fs::write(&locked, LOCKED_KEY).unwrap();
    let opaque = shop.token_file("opaque-token", &secret("opaque"));
    vec![
        ("wrong password", vec![("MILLPOND_SASL_PASSWORD", secret("wrong"))]),
        ("refused token", iam()),
        (
            "refused token of a file",
            vec![
                ("MILLPOND_SASL_MECHANISM", "OAUTHBEARER".to_owned()),
                ("MILLPOND_SASL_OAUTHBEARER_TOKEN_FILE", opaque.display().to_string()),
                ("MILLPOND_SASL_USERNAME", String::new()),
                ("MILLPOND_SASL_PASSWORD", String::new()),
            ],
        ),
        ("wrong pass phrase", vec![("MILLPOND_SSL_KEY_LOCATION", locked.display().to_string())]),
        (NOBODY, vec![("MILLPOND_BOOTSTRAP_SERVERS", "127.0.0.1:1".to_owned())]),
    ]
}

fn of_the_database(shop: &Shop) -> Vec<Case> {
    let database = &shop.database;
    let of = |password: &str| format!("loader:{password}");
    let case = |name, url| (name, vec![("MILLPOND_APP_DATABASE_URL", url)]);
    let encrypted = |mode: &str| database.plain(&of(&secret("database")), "shop").replace("=disable", mode);
    // Neither a comment nor an entry.
    let passwords = database.file("pgpass-wrong", &format!("127.0.0.1:{0}\n{0}\n", secret("pgpass")));
    let by_file = |url: String, file: PathBuf| {
        // The variable would be taken instead.
        let file = ("PGPASSFILE", file.display().to_string());
        vec![("MILLPOND_APP_DATABASE_URL", url), file, ("PGPASSWORD", String::new())]
    };
    vec![
        case("wrong database password", database.plain(&of(&secret("wrong")), "shop")),
        case("no such database", database.plain(&of(&secret("database")), "nowhere")),
        case("unknown authority", encrypted("=verify-full")),
        case("no certificate", encrypted("=require")),
        ("password file", by_file(database.plain("loader", "shop"), passwords)),
        ("a key that is none", by_file(database.verified("broken.key"), database.password_file())),
        (
            "token of RDS",
            vec![
                ("MILLPOND_APP_DATABASE_URL", database.plain("loader", "shop").replace("=disable", "=require")),
                ("MILLPOND_APP_DATABASE_AUTH", "rds-iam".to_owned()),
                ("MILLPOND_AWS_REGION", "eu-west-1".to_owned()),
            ],
        ),
    ]
}

/// Every application refuses to go on, and says why without a secret.
pub(crate) fn refused(shop: &Shop, sinks: &mut Sinks) {
    let mut started: Vec<(String, Process)> = Vec::new();
    let services = Services::start();
    for application in APPLICATIONS {
        let mut cases = of_kafka(shop);
        // They have this in common.
        if application == "fraud" {
            cases.extend(of_sources(shop, &services));
        }
        if application == "loader" {
            cases.extend(of_the_database(shop));
        }
        for (number, (name, changes)) in cases.into_iter().enumerate() {
            let dir = shop.dir(&format!("refused-{application}-{number}"));
            let mut variables = shop.variables(application);
            variables.insert("MILLPOND_STATE_DIR".into(), dir.display().to_string());
            change(&mut variables, changes);
            let log = dir.join("log");
            started.push((format!("{application}, {name}"), Shop::start(application, &log, &variables)));
        }
    }
    for (name, mut process) in started {
        if name.ends_with(NOBODY) {
            // Who was never there may come: an application may wait for it.
            let told = || process.log().contains("Connection refused");
            wait_for(LIMIT, format!("{name} is told"), told).unwrap();
            process.stop().unwrap();
            sinks.file(name, process.log_path());
            continue;
        }
        let ended = process.wait(LIMIT).unwrap_or_else(|error| panic!("{name}: {error}: {}", process.log_tail()));
        assert_eq!(ended.code(), Some(1), "{name}: {}", process.log_tail());
        assert!(process.log().contains("\nerror["), "{name} says why: {}", process.log_tail());
        sinks.file(name, process.log_path());
    }
    services.assert_asked();
}

fn change(variables: &mut Variables, changes: Vec<(&'static str, String)>) {
    for (name, value) in changes {
        if value.is_empty() {
            variables.remove(name);
        } else {
            variables.insert(name.to_owned(), value);
        }
    }
}
