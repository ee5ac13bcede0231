use std::path::{Path, PathBuf};

use crate::Error;
use crate::process::watcher;

/// A temporary directory that goes away with this process, however it ends; `MILLPOND_KEEP=1` keeps it.
///
/// It is removed after the processes that write to it have been ended, so it may also live in a `static`.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory whose name starts with `name`.
    ///
    /// # Errors
    /// [`Error::Io`] when the system's temporary directory is not writable.
    pub fn new(name: &str) -> Result<Self, Error> {
        let temporary = std::env::temp_dir();
        let dir = tempfile::Builder::new()
            .prefix(&format!("millpond-{name}-"))
            .tempdir()
            .map_err(Error::io("make a temporary directory", temporary))?;
        let path = dir.keep();
        if std::env::var_os("MILLPOND_KEEP").is_none() {
            watcher::remove_at_exit(&path)?;
        }
        Ok(Self { path })
    }

    /// Gives the directory another name, under which it stays: what has gone wrong can be looked into. Who writes to it goes
    /// on doing so.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be renamed.
    pub fn keep(&self) -> Result<PathBuf, Error> {
        let kept = self.path.with_extension("kept");
        std::fs::rename(&self.path, &kept).map_err(Error::io("rename", &self.path))?;
        Ok(kept)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
