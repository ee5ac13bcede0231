//! Mistakes in the command line, as clap finds them, in the form of every other error.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::Failure;

/// Whether `--json` stands there. Asked when the line could not be read.
pub(super) fn wants_json(line: &[OsString]) -> bool {
    line.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// What clap says: first what is wrong, then tips and the usage, with empty lines between.
pub(super) fn failure(error: &clap::Error) -> Failure {
    // That one is the whole help.
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("a command is missing", "say one; --help lists them");
    }
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = parts.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let tips: Vec<String> = parts.filter_map(|part| part.strip_prefix("tip: ").map(str::to_owned)).collect();
    let fix = if tips.is_empty() { "see --help for what may be said here".to_owned() } else { tips.join("; ") };
    Failure::usage(message, fix)
}
