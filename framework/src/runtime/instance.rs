//! The identity of a process: given, or made once and kept in the state directory under a lock.
//!
//! `transactional.id` and `group.instance.id` are made from it. Two processes of one name would fence each other for
//! ever, so the name is locked on this machine; across machines the broker's fencing tells.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A name, locked for as long as this value lives.
#[derive(Debug)]
pub struct Instance {
    name: String,
    _lock: File,
}

/// Why a name cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// Another process on this machine has it.
    #[error("instance={name} is already running here (locked: {}); stop it, or give this one another `instance`", path.display())]
    Running {
        /// The name.
        name: String,
        /// The lock file.
        path: PathBuf,
    },
    /// The directory cannot be used.
    #[error("state.dir {} cannot be used; create it, or correct its permissions", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The name does not fit into ids and paths.
    #[error("instance={name} is not a legal name; use letters, digits, '.', '_' and '-'")]
    Illegal {
        /// The name.
        name: String,
    },
}

impl Instance {
    /// Locks the given name, or the one kept in `directory`; makes one from `fresh` when there is none.
    ///
    /// # Errors
    /// [`InstanceError`].
    pub fn acquire(
        directory: &Path,
        given: Option<&str>,
        fresh: impl FnOnce() -> String,
    ) -> Result<Self, InstanceError> {
        let io = |source| InstanceError::Io { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(io)?;
        let name = match given {
            Some(name) => name.to_owned(),
            None => kept(&directory.join("instance"), fresh).map_err(io)?,
        };
        if !crate::topology::is_legal_name(&name) {
            return Err(InstanceError::Illegal { name });
        }
        let path = directory.join(format!("{name}.lock"));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { name, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(InstanceError::Running { name, path }),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The name in the file; made and written when there is none. The file appears whole: it is renamed into place.
fn kept(path: &Path, fresh: impl FnOnce() -> String) -> std::io::Result<String> {
    let mut text = String::new();
    match File::open(path) {
        Ok(mut file) => {
            file.read_to_string(&mut text)?;
            Ok(text.trim().to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = fresh();
            let temporary = path.with_extension(format!("{name}.tmp"));
            let mut file = File::create(&temporary)?;
            writeln!(file, "{name}")?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            Ok(name)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let first = Instance::acquire(directory.path(), None, || "one".to_owned()).unwrap();
        assert_eq!(first.name(), "one");
        drop(first);
        let again = Instance::acquire(directory.path(), None, || unreachable!("it is kept")).unwrap();
        assert_eq!(again.name(), "one");
    }

    #[test]
    fn a_second_process_of_the_same_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Instance::acquire(directory.path(), Some("pod-0"), String::new).unwrap();
        let second = Instance::acquire(directory.path(), Some("pod-0"), String::new);
        assert!(matches!(second, Err(InstanceError::Running { .. })));
        assert!(Instance::acquire(directory.path(), Some("pod-1"), String::new).is_ok());
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let refused = Instance::acquire(directory.path(), Some("../x"), String::new);
        assert!(matches!(refused, Err(InstanceError::Illegal { .. })));
    }
}
