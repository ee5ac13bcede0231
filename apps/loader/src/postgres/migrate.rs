//! The schema's migrations, compiled in.

use sqlx::migrate::{MigrateError, Migrator};

use super::{Database, Error};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

impl Database {
    /// Brings the schema up to this program's, under sqlx's advisory lock: of several processes one migrates and the
    /// others wait. Forward only.
    ///
    /// # Errors
    /// [`Error::NewerDatabase`] and [`Error::ChangedMigration`] when the database is not one of ours;
    /// [`Error::Unavailable`]: try again.
    pub fn migrate(&mut self) -> Result<(), Error> {
        let mut failed = None;
        let result = self.call("migrate the schema", async |connection| {
            MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| split(error, &mut failed))
        });
        // The lock belongs to the session and is only given back after success.
        if result.is_err() {
            self.disconnect();
        }
        failed.map_or(result, Err)
    }
}

fn split(error: MigrateError, failed: &mut Option<Error>) -> sqlx::Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        MigrateError::VersionMissing(version) => {
            *failed = Some(Error::NewerDatabase { version });
            sqlx::Error::WorkerCrashed
        }
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            *failed = Some(Error::ChangedMigration { version });
            sqlx::Error::WorkerCrashed
        }
        _ => sqlx::Error::WorkerCrashed,
    }
}
