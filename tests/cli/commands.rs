//! Every command and flag, in every binary and in the tool for any application of the library.

use super::*;

const BINARIES: [&str; 5] = ["redaction", "fraud", "attribution", "loader", "millpond"];

/// Commands with flags of their own.
const COMMANDS: [(&[&str], &[&str]); 17] = [
    (&["topology"], &["--format", "--from"]),
    (&["doctor"], &["--no-probe"]),
    (&["state", "ls"], &["--instance", "--task"]),
    (&["state", "get"], &["<STORE>", "<KEY>", "--instance", "--task"]),
    (&["state", "scan"], &["<STORE>", "--prefix", "--limit"]),
    (&["state", "stats"], &["--instance", "--task"]),
    (&["state", "verify"], &["--changelog", "--instance", "--task"]),
    (&["state", "export"], &["[STORE]", "--file"]),
    (
        &["reset"],
        &[
            "--input-topics",
            "--internal-topics",
            "--to-earliest",
            "--to-latest",
            "--to-offset",
            "--shift-by",
            "--to-datetime",
            "--by-duration",
            "--from-file",
            "--dry-run",
            "--yes",
        ],
    ),
    (&["dead-letters", "list"], &["--limit"]),
    (&["dead-letters", "show"], &[]),
    (&["dead-letters", "replay"], &["--yes"]),
    (&["metrics"], &[]),
    (&["config", "check"], &[]),
    (&["config", "show"], &[]),
    (&["completions"], &["<SHELL>"]),
    (&["man"], &["--dir"]),
];

/// What every command takes, besides.
const EVERYWHERE: [&str; 6] = ["--json", "--application-id", "--bootstrap-servers", "--state-dir", "--config", "--set"];

fn help(binary: &str, line: &[&str]) -> Answer {
    let output = Command::new(built(binary).unwrap()).args(line).arg("--help").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn every_binary_has_every_command_with_its_flags() {
    for binary in BINARIES {
        for (command, flags) in COMMANDS {
            let told = help(binary, command);
            assert_eq!(told.code, 0, "{binary} {command:?}: {told:?}");
            let missing: Vec<&&str> =
                flags.iter().chain(&EVERYWHERE).filter(|flag| !told.out.contains(**flag)).collect();
            assert!(missing.is_empty(), "{binary} {command:?} lacks {missing:?}:\n{}", told.out);
        }
    }
}

#[test]
fn what_needs_no_cluster_answers_without_one_in_every_binary() {
    let scratch = Scratch::new("cli-commands").unwrap();
    for binary in BINARIES {
        let ask = |line: &[&str]| {
            let mut command = Command::new(built(binary).unwrap());
            // Not whatever the machine has.
            let output = command.args(line).env("HOME", scratch.path()).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (code, metrics) = ask(&["metrics", "--json"]);
        let metrics: Value = serde_json::from_str(&metrics).unwrap();
        assert!(code == Some(0) && metrics.to_string().contains("millpond_commit_seconds"), "{binary}");
        assert!(ask(&["completions", "bash"]).1.contains("dead-letters"), "{binary}");
        assert!(ask(&["man"]).1.contains(&format!(".TH {binary} 1")), "{binary}");
        if binary != "millpond" {
            assert_eq!(ask(&["topology", "--json"]).0, Some(0), "{binary}");
        }
    }
}
