//! One small shell process that outlives this one and ends what is left of it.
//!
//! It reads commands from a pipe whose other end only this process holds. When this process ends, in whatever way, the
//! pipe closes, and the watcher kills the process groups that it was told of and removes the temporary directories.
//! `PR_SET_PDEATHSIG` would not do: it fires when the *thread* that started the child ends, and tests run on threads.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::Error;

const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
pids=''
while read -r verb argument; do
    case $verb in
        watch) pids="$pids $argument " ;;
        forget) pids=$(printf '%s' "$pids" | sed "s/ $argument //") ;;
        remove) set -- "$@" "$argument" ;;
    esac
done
for pid in $pids; do kill -s KILL -- "-$pid" 2>/dev/null; done
for directory; do rm -rf -- "$directory" || { sleep 1; rm -rf -- "$directory"; }; done
"#;

static PIPE: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();

/// Kills the process group `pid` when this process ends.
pub(super) fn watch(pid: u32) -> Result<(), Error> {
    tell(&format!("watch {pid}\n"))
}

/// The process group `pid` has ended and its number may be used again.
pub(super) fn forget(pid: u32) -> Result<(), Error> {
    tell(&format!("forget {pid}\n"))
}

/// Removes the directory when this process ends, after what was watched has been killed.
pub(crate) fn remove_at_exit(directory: &Path) -> Result<(), Error> {
    tell(&format!("remove {}\n", directory.display()))
}

fn tell(command: &str) -> Result<(), Error> {
    let pipe = PIPE.get_or_init(start).as_ref().ok_or(Error::WatcherGone)?;
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    pipe.write_all(command.as_bytes()).map_err(|_| Error::WatcherGone)
}

fn start() -> Option<Mutex<ChildStdin>> {
    let mut watcher = Command::new("sh");
    watcher.args(["-c", SCRIPT, "sh"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Its own group: a Ctrl-C at the terminal must not reach it.
    watcher.process_group(0).spawn().ok()?.stdin.map(Mutex::new)
}
