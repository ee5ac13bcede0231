use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Error;

/// The path of a binary of this workspace, built if it is not up to date.
///
/// The first call of a process runs `cargo build --workspace --bins`, which does nothing after `./dev test` has built.
///
/// # Errors
/// [`Error::NoBinary`] when the build fails or has no such binary; the compiler's messages are on standard error.
pub fn built(name: &str) -> Result<PathBuf, Error> {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let binaries = BUILT.get_or_init(|| build("--bins"));
    binaries.get(name).cloned().ok_or_else(|| Error::NoBinary { name: name.to_owned() })
}

/// The path of an example of this workspace, built if it is not up to date, as [`built`] does it.
///
/// # Errors
/// As [`built`].
pub fn built_example(name: &str) -> Result<PathBuf, Error> {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let examples = BUILT.get_or_init(|| build("--examples"));
    examples.get(name).cloned().ok_or_else(|| Error::NoBinary { name: name.to_owned() })
}

fn build(targets: &str) -> BTreeMap<String, PathBuf> {
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command.args(["build", "--quiet", "--workspace", targets, "--message-format=json-render-diagnostics"]);
    // In the workspace that this runs in: a path from compile time is wrong once the checkout was moved.
    command.stderr(Stdio::inherit());
    // `cargo test` names the test's package here. The build script of `ring` watches these variables: with ours, cargo
    // would build it and all that needs it anew, and once more without them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let Ok(output) = command.output() else { return BTreeMap::new() };
    if !output.status.success() {
        return BTreeMap::new();
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let values = messages.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    values
        .filter_map(|message| {
            let name = message.pointer("/target/name")?.as_str()?.to_owned();
            Some((name, PathBuf::from(message.get("executable")?.as_str()?)))
        })
        .collect()
}

/// The path of a binary in the directory of the running program.
///
/// # Errors
/// [`Error::NoBinary`] when there is none.
pub fn beside_this_program(name: &str) -> Result<PathBuf, Error> {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(name));
    beside.filter(|path| path.is_file()).ok_or_else(|| Error::NoBinary { name: name.to_owned() })
}
