//! What a process does that stands still.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Writes the stacks of all threads of a process into a file: by gdb where there is one, or else what the kernel tells. What it
/// said is put beside them. Both outlive the run, whose own directory goes with it.
pub(crate) fn dump(pid: u32, label: &str, log: &str) -> PathBuf {
    let dir = std::env::temp_dir().join("millpond-stuck");
    let _ = fs::create_dir_all(&dir);
    let path = dir.join(format!("{label}.{pid}.stacks"));
    let _ = fs::write(path.with_extension("log"), log);
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
