//! What went wrong at PostgreSQL, without anything that was in a row: its messages and details quote values.

use std::path::PathBuf;

use millpond::aws::CredentialError;
use millpond::error::Recovery;
use sqlx::postgres::PgDatabaseError;

/// What went wrong at PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not reachable, restarting, read only, out of resources, or a deadlock or time limit: it may be tried again on a
    /// new connection. Nothing was committed.
    #[error("PostgreSQL cannot {operation} now: {reason}; it is tried again")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// What the connection or server said.
        reason: String,
    },
    /// No clean answer to COMMIT: only the offsets in the database can tell.
    #[error("the connection was lost at COMMIT: {reason}; the offsets are read again to learn the outcome")]
    CommitUnknown {
        /// What the connection or server said.
        reason: String,
    },
    /// The server refuses what no repetition helps: a missing table, column or right, or another type.
    #[error("PostgreSQL refuses to {operation}: {message} (SQLSTATE {sqlstate}); correct the database or the routes")]
    Setup {
        /// What was tried.
        operation: &'static str,
        /// PostgreSQL's five-character code.
        sqlstate: String,
        /// What the server said about names and rights.
        message: String,
    },
    /// The server refuses the user.
    #[error(
        "PostgreSQL refuses the log-in: {message} (SQLSTATE {sqlstate}); correct user and password of app.database_url or \
         of the password file, or the server's pg_hba.conf; on RDS with IAM, grant rds_iam to the user and rds-db:connect \
         to the role, and see that this machine's clock is right: a token of another time is refused"
    )]
    LogIn {
        /// PostgreSQL's five-character code.
        sqlstate: String,
        /// What the server said, with the user's name.
        message: String,
    },
    /// The connection cannot be encrypted as the URL demands, or the certificate is not to be trusted.
    #[error("no TLS with PostgreSQL: {reason}; {advice}")]
    Tls {
        /// What is wrong.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// No password can be made.
    #[error("no password for PostgreSQL: {0}")]
    Credentials(#[from] CredentialError),
    /// A token would go to a server that has not shown who it is.
    #[error("app.database_auth = rds-iam needs sslmode=verify-full in app.database_url: the token is a password")]
    Unencrypted,
    /// Whether the connection is encrypted would be the server's choice.
    #[error(
        "app.database_url leaves it to the server whether the password and the rows are encrypted; say \
         sslmode=verify-full and sslrootcert=FILE, or sslmode=disable where nobody else is on the network"
    )]
    PerhapsPlainText,
    /// A parameter of the URL means nothing.
    #[error("app.database_url has a parameter that means nothing; these do: {known}")]
    UnknownParameter {
        /// Those that do.
        known: String,
    },
    /// A file cannot be used.
    #[error("{what} cannot be read: {reason}: path={}", path.display())]
    File {
        /// What names it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The data of some row is refused.
    #[error("PostgreSQL refuses a row: SQLSTATE {sqlstate}")]
    Row {
        /// PostgreSQL's five-character code.
        sqlstate: String,
        /// The constraint.
        constraint: Option<String>,
    },
    /// The database was migrated by a newer program.
    #[error("the database has migration {version}, which this program does not know: run a program that is as new")]
    NewerDatabase {
        /// The unknown migration.
        version: i64,
    },
    /// A migration that was applied is not the one in this program.
    #[error("migration {version} of the database is not the one of this program: it was changed after it was applied")]
    ChangedMigration {
        /// The migration.
        version: i64,
    },
    /// The URL cannot be read.
    #[error("the database URL cannot be read; it looks like postgres://user:password@host:5432/database")]
    BadUrl,
    /// The partition's topic is another one than when it was read last.
    #[error(
        "topic {topic} was deleted and made again since it was read last; to read it from its beginning, stop all loaders and \
         say `loader reset --input-topics={topic}`"
    )]
    TopicRecreated {
        /// The topic.
        topic: String,
    },
    /// The runtime of the connection cannot be started.
    #[error("no runtime for the connection: {reason}")]
    Runtime {
        /// What the system said.
        reason: String,
    },
    /// What cannot be, if this program is right.
    #[error("a bug: {invariant} does not hold")]
    Bug {
        /// The invariant.
        invariant: &'static str,
    },
}

impl Error {
    /// What the caller must do.
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Unavailable { .. } => Recovery::Retry,
            Self::CommitUnknown { .. } => Recovery::AbortTransaction,
            Self::Row { .. } => Recovery::SkipRecord,
            Self::Credentials(error) => error.recovery(),
            _ => Recovery::Shutdown,
        }
    }

    pub(super) fn of(operation: &'static str, error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => of_server(operation, database.as_ref()),
            sqlx::Error::Configuration(_) => Self::BadUrl,
            sqlx::Error::Tls(error) => Self::tls(error.to_string()),
            // What the TLS library refuses comes as data that are not valid.
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Self::tls(error.to_string()),
            // Io, Protocol, a closed worker: the connection is of no more use, another may be.
            other => Self::Unavailable { operation, reason: without_values(other) },
        }
    }

    fn tls(reason: String) -> Self {
        let advice = if reason.contains("UnknownIssuer") {
            "say the file of the authority that signed its certificate as sslrootcert in app.database_url"
        } else if reason.contains("not valid for") {
            "say the host in app.database_url by a name that its certificate has"
        } else if reason.contains("expired") || reason.contains("not valid yet") {
            "renew its certificate, or set this machine's clock"
        } else if reason.contains("does not support TLS") {
            "turn ssl on in the server; there is no way back to plain text while sslmode demands TLS"
        } else {
            "look at the certificates of both sides"
        };
        Self::Tls { reason, advice }
    }

    pub(super) fn timed_out(operation: &'static str) -> Self {
        Self::Unavailable { operation, reason: "no answer within the time limit".to_owned() }
    }

    /// The same at COMMIT: whatever was said, it may have been said after the commit.
    pub(super) fn at_commit(self) -> Self {
        let reason = match self {
            Self::Unavailable { reason, .. } => reason,
            other => other.to_string(),
        };
        Self::CommitUnknown { reason }
    }
}

fn of_server(operation: &'static str, error: &dyn sqlx::error::DatabaseError) -> Error {
    let sqlstate = error.code().unwrap_or_default().into_owned();
    match class(&sqlstate) {
        Class::Row => Error::Row { sqlstate, constraint: error.constraint().map(str::to_owned) },
        Class::Passing => Error::Unavailable { operation, reason: format!("SQLSTATE {sqlstate}: {}", message(error)) },
        Class::LogIn => Error::LogIn { sqlstate, message: message(error) },
        Class::Setup => Error::Setup { operation, sqlstate, message: message(error) },
    }
}

/// Only for classes whose messages speak of names, rights and resources, not of values.
fn message(error: &dyn sqlx::error::DatabaseError) -> String {
    error.try_downcast_ref::<PgDatabaseError>().map_or_else(String::new, |error| error.message().to_owned())
}

fn without_values(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(io) => io.to_string(),
        sqlx::Error::Protocol(_) => "the server broke the protocol".to_owned(),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "closed".to_owned(),
        sqlx::Error::ColumnDecode { index, .. } => format!("column {index} cannot be decoded"),
        _ => "unexpected answer".to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Some row of the statement is to blame.
    Row,
    /// It may pass.
    Passing,
    /// The user or the password is wrong.
    LogIn,
    /// A person must correct something.
    Setup,
}

/// By SQLSTATE (PostgreSQL's appendix A).
fn class(sqlstate: &str) -> Class {
    match sqlstate.get(..2).unwrap_or_default() {
        // Cardinality (a key twice under a collation of the table's), data, constraints, WITH CHECK OPTION, a row too
        // large for an index, and what triggers raise.
        "21" | "22" | "23" | "44" | "54" | "P0" => Class::Row,
        "28" => Class::LogIn,
        "3D" | "3F" | "42" | "0A" => Class::Setup,
        // Connection, read only (a failover), deadlock, resources, locks, operator intervention, system.
        _ => Class::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, class};

    #[test]
    fn data_blames_the_row_and_names_blame_the_setup() {
        for row in ["22021", "22003", "23514", "23505", "21000", "54000", "P0001", "44000"] {
            assert_eq!(class(row), Class::Row, "{row}");
        }
        for setup in ["42P01", "42703", "42501", "3D000"] {
            assert_eq!(class(setup), Class::Setup, "{setup}");
        }
        assert_eq!((class("28P01"), class("28000")), (Class::LogIn, Class::LogIn));
        for passing in ["57P01", "57P03", "40P01", "55P03", "53100", "25006", "08006", "57014", "XX000", ""] {
            assert_eq!(class(passing), Class::Passing, "{passing}");
        }
    }
}
