//! The sidecar's script, with a stand-in for AWS's CLI: what it writes is what the applications read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use millpond_harness::process::Signal;
use millpond_harness::{Launch, Process, Scratch, wait_for};

use super::files::{deployed, text};

const LIMIT: Duration = Duration::from_secs(20);

/// A directory with a program `aws` that does what `body` says, and the script started with it.
fn started(scratch: &Scratch, body: &str, database: bool) -> Process {
    let programs = scratch.path().join("bin");
    fs::create_dir_all(&programs).unwrap();
    let aws = programs.join("aws");
    fs::write(&aws, format!("#!/bin/bash\n{body}\n")).unwrap();
    fs::set_permissions(&aws, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut launch = Launch::new("/bin/bash", scratch.path().join("log"))
        .arg(deployed("kubernetes/components/msk/credentials.sh"))
        .env("PATH", path)
        .env("CREDENTIALS_DIRECTORY", scratch.path());
    if database {
        let set = [("REGION", "eu-central-1"), ("HOST", "db.example"), ("PORT", "5432"), ("USER", "loader")];
        for (name, value) in set {
            launch = launch.env(format!("DATABASE_{name}"), value);
        }
    }
    launch.start().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

const ROLE: &str = r#"case "$1 $2" in
    'configure export-credentials') printf 'AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY=s/=+\nAWS_SESSION_TOKEN=t==\n' ;;
    'rds generate-db-auth-token') echo "db.example:5432/?Action=connect&user=${10}\\" ;;
esac"#;

#[test]
fn it_writes_a_profile_and_a_password_file_that_nobody_else_may_read() {
    let scratch = Scratch::new("credentials").unwrap();
    let mut process = started(&scratch, ROLE, true);
    let written = scratch.path().join("written");
    wait_for(LIMIT, "the files are written", || written.exists()).unwrap();
    let (credentials, password) = (scratch.path().join("credentials"), scratch.path().join("pgpass"));
    let profile = "[default]\naws_access_key_id = A\naws_secret_access_key = s/=+\naws_session_token = t==\n";
    assert_eq!(text(&credentials), profile);
    // A colon and a backslash of the token have a backslash before them.
    let line = "db.example:5432:*:loader:db.example\\:5432/?Action=connect&user=loader\\\\\n";
    assert_eq!(text(&password), line);
    assert_eq!((mode(&credentials), mode(&password)), (0o600, 0o600), "sqlx ignores a file that others may read");
    // Asked to end, it ends at once, in the middle of its pause.
    assert!(process.stop_with(Signal::TERM, LIMIT).unwrap().success());
}

#[test]
fn while_the_role_cannot_be_had_nothing_is_written_and_the_log_says_so() {
    let scratch = Scratch::new("credentials").unwrap();
    let process = started(&scratch, "echo 'no role' >&2; exit 255", true);
    wait_for(LIMIT, "it has tried", || process.log().contains("could not be written; trying again")).unwrap();
    assert!(!scratch.path().join("written").exists() && !scratch.path().join("credentials").exists());
}

#[test]
fn credentials_without_a_session_are_not_those_of_a_role() {
    let scratch = Scratch::new("credentials").unwrap();
    let process = started(&scratch, "printf 'AWS_ACCESS_KEY_ID=A\\nAWS_SECRET_ACCESS_KEY=s\\n'", false);
    wait_for(LIMIT, "it has tried", || process.log().contains("could not be written; trying again")).unwrap();
    assert!(!scratch.path().join("credentials").exists());
}
