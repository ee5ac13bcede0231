//! The database side: claims, and transactions that hold a batch's rows together with the offsets behind them.
//!
//! One connection, used by one thread. Anything but a clean answer drops the connection, and with it the transaction;
//! the claims are renewed on the next one, which also tells where the partitions stand. There is no other error path.

mod attempts;
mod claim;
mod copy;
mod error;
mod examine;
mod migrate;
mod move_offsets;
mod target;
mod transaction;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::runtime::Runtime;

pub use claim::{Claim, Claimant};
pub use error::Error;
pub use examine::{Examined, TableState};
pub use target::{PasswordSource, rds_tokens};
pub use transaction::{Advance, Loaded, RefusedRow, Transaction};

use attempts::CopyAttempts;
use target::Target;

/// Time limits towards PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For connecting, TLS and log-in included.
    pub connect: Duration,
    /// `statement_timeout`: for one statement. Our own limit for its answer is two seconds more.
    pub statement: Duration,
    /// `lock_timeout`: for waiting on a predecessor's open transaction; it is tried again after that.
    pub lock: Duration,
    /// `idle_in_transaction_session_timeout`: a frozen process holds its rows no longer than this. Longer than it takes
    /// to commit dead letters to Kafka, which happens inside.
    pub idle_in_transaction: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            statement: Duration::from_secs(30),
            lock: Duration::from_secs(10),
            idle_in_transaction: Duration::from_mins(1),
        }
    }
}

/// How much longer we wait for an answer than the server may take for it.
const GRACE: Duration = Duration::from_secs(2);

/// A PostgreSQL database, connected when needed. Works behind `PgBouncer` in transaction mode: nothing outlives a
/// transaction but prepared statements, which the URL turns off (`statement-cache-capacity=0`) for versions before 1.21.
pub struct Database {
    target: Target,
    limits: Limits,
    /// `BEGIN` with the limits, in one round trip.
    begin: String,
    runtime: Runtime,
    connection: Option<PgConnection>,
    /// Tables that have been looked at, and when `COPY` writes them.
    copied: BTreeMap<String, CopyAttempts>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("target", &self.target).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Database {
    /// A database by its URL; connects at the first use. Without a password in the URL the one of `PGPASSFILE` or
    /// `~/.pgpass` is taken, as it stands there when a connection is made.
    ///
    /// # Errors
    /// [`Error::BadUrl`], [`Error::UnknownParameter`], [`Error::File`]: correct the URL; [`Error::Runtime`] when the
    /// system has no resources.
    pub fn new(url: &str, limits: Limits) -> Result<Self, Error> {
        let target = Target::new(url)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Runtime { reason: error.to_string() })?;
        let begin = begin_statement(&limits);
        Ok(Self { target, limits, begin, runtime, connection: None, copied: BTreeMap::new() })
    }

    /// The same with a password from `passwords` for each connection.
    ///
    /// # Errors
    /// [`Error::Unencrypted`]: the URL must say `sslmode=verify-full`.
    pub fn with_passwords(self, passwords: Arc<dyn PasswordSource>) -> Result<Self, Error> {
        Ok(Self { target: self.target.with_passwords(passwords)?, ..self })
    }

    /// True while there is a connection that worked when it was used last.
    pub const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Drops the connection, and with it an open transaction.
    pub fn disconnect(&mut self) {
        // Not closed in order: that would wait for an answer, which is what may be missing.
        self.connection = None;
        // Whoever changes a table restarts something; a new connection looks again.
        self.copied.clear();
    }

    /// Connects where there is no connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: try again later; [`Error::LogIn`] when the server refuses the user, [`Error::Tls`] when its
    /// certificate is not to be trusted, [`Error::Setup`] without the database, [`Error::Credentials`] without a password.
    pub fn connect(&mut self) -> Result<(), Error> {
        if self.connection.is_none() {
            let options = self.target.options()?;
            let connecting = PgConnection::connect_with(&options);
            self.connection = Some(within(&self.runtime, "connect", self.limits.connect, connecting)?);
        }
        Ok(())
    }

    /// Runs `work` on the connection with the time limit of a statement. After any error but that of a row the
    /// connection is gone: half an answer may be on its way.
    fn call<T, F>(&mut self, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    {
        self.connect()?;
        let limit = self.limits.statement.saturating_add(GRACE);
        let connection = self.connection.as_mut().ok_or(Error::Bug { invariant: "a connection after connect" })?;
        let result = within(&self.runtime, operation, limit, work(connection));
        if matches!(&result, Err(error) if !matches!(error, Error::Row { .. })) {
            self.disconnect();
        }
        result
    }
}

fn within<T>(
    runtime: &Runtime,
    operation: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    // The timer must be made inside the runtime.
    let answer = runtime.block_on(async { tokio::time::timeout(limit, work).await });
    answer.map_err(|_| Error::timed_out(operation))?.map_err(|error| Error::of(operation, &error))
}

/// Everything is `SET LOCAL`, so that a pooler can hand the session to others. Keepalives let the server find out
/// within about 20 s that our machine is gone, `tcp_user_timeout` that it does not take answers; on our side each
/// answer has a time limit instead. Deferred constraints are checked at once, so that a bad row shows while it can
/// still be told from the others, not at COMMIT.
fn begin_statement(limits: &Limits) -> String {
    let ms = |limit: Duration| limit.as_millis().max(1);
    format!(
        "BEGIN; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
         SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL tcp_keepalives_idle = 10; \
         SET LOCAL tcp_keepalives_interval = 3; SET LOCAL tcp_keepalives_count = 3; SET LOCAL tcp_user_timeout = 20000; \
         SET CONSTRAINTS ALL IMMEDIATE",
        ms(limits.statement),
        ms(limits.lock),
        ms(limits.idle_in_transaction),
    )
}
