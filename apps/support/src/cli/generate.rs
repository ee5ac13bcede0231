//! `completions` and `man`: made from the flags themselves.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use super::Failure;
use super::output::Output;

/// For which shell.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Where the pages go.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory, instead of the first to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs, mut command: Command, out: &mut Output<'_>) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    out.write(&String::from_utf8_lossy(&script))
}

pub(crate) fn man(args: &ManArgs, command: Command, out: &mut Output<'_>) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(|error| Failure::output(&error))?;
        return out.write(&String::from_utf8_lossy(&page));
    };
    write_pages(dir, command).map_err(|error| {
        let fix = "name a directory in which you may write";
        Failure::new("output", format!("the pages cannot be written to {}", dir.display()), fix).because(&error)
    })
}

fn write_pages(dir: &Path, command: Command) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(command, dir)
}
