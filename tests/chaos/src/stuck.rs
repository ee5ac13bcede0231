//! What a process does that stands still.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes the stacks of all threads of a process into a file: by gdb where there is one, or else what the kernel tells.
pub(crate) fn dump(pid: u32, label: &str, dir: &Path) -> PathBuf {
    let path = dir.join(format!("{label}.{pid}.stacks"));
    let gdb = Command::new("gdb").args(["-p", &pid.to_string(), "-batch", "-ex", "thread apply all bt 30"]).output();
    let text = match gdb {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => threads(pid),
    };
    let _ = fs::write(&path, text);
    path
}

fn threads(pid: u32) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let (name, place) = (read("comm"), read("wchan"));
        let _ = writeln!(text, "thread {} {}: {place}\n{}", entry.file_name().display(), name.trim(), read("stack"));
    }
    text
}
