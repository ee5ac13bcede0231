//! What `doctor` asks PostgreSQL. Nothing is changed.

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::migrate::MIGRATIONS;
use super::{Database, Error};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The server's version, as it says it.
    pub version: String,
    /// A replica, or set to read only.
    pub read_only: bool,
    /// Migrations of this program that were not applied yet.
    pub pending: Vec<i64>,
    /// Migrations that were applied and are not this program's.
    pub unknown: Vec<i64>,
    /// Whether this user may make tables in the schema that comes first.
    pub may_create: bool,
    /// Tables in the order in which they were asked about.
    pub tables: Vec<TableState>,
}

/// A table as this user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
    /// Rights that are missing.
    pub missing: Vec<&'static str>,
}

impl Database {
    /// Looks at the server and at tables, each with the rights that are needed on it.
    ///
    /// # Errors
    /// [`Error`] when the server does not answer, or refuses the user.
    pub fn examine(&mut self, tables: &[(String, &'static [&'static str])]) -> Result<Examined, Error> {
        self.call("be examined", async |connection| ask(connection, tables).await)
    }
}

async fn ask(
    connection: &mut PgConnection,
    tables: &[(String, &'static [&'static str])],
) -> Result<Examined, sqlx::Error> {
    let server = "SELECT current_setting('server_version'), \
                  pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on', \
                  COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)";
    let (version, read_only, may_create) = sqlx::query(server)
        .try_map(|row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .fetch_one(&mut *connection)
        .await?;
    let applied = applied(connection).await?;
    let ours: BTreeSet<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    let mut found = Vec::new();
    for (name, rights) in tables {
        let exists: bool = sqlx::query("SELECT to_regclass($1) IS NOT NULL")
            .bind(name)
            .try_map(|row: PgRow| row.try_get(0))
            .fetch_one(&mut *connection)
            .await?;
        let mut missing = Vec::new();
        for &right in rights.iter().filter(|_| exists) {
            let has: bool = sqlx::query("SELECT has_table_privilege(to_regclass($1), $2)")
                .bind(name)
                .bind(right)
                .try_map(|row: PgRow| row.try_get(0))
                .fetch_one(&mut *connection)
                .await?;
            missing.extend((!has).then_some(right));
        }
        found.push(TableState { name: name.clone(), exists, missing });
    }
    Ok(Examined {
        version,
        read_only,
        pending: ours.difference(&applied).copied().collect(),
        unknown: applied.difference(&ours).copied().collect(),
        may_create,
        tables: found,
    })
}

/// Versions of the migrations that were applied; none before the first start.
async fn applied(connection: &mut PgConnection) -> Result<BTreeSet<i64>, sqlx::Error> {
    let is_there: bool = sqlx::query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .try_map(|row: PgRow| row.try_get(0))
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(BTreeSet::new());
    }
    let versions = sqlx::query("SELECT version FROM _sqlx_migrations").try_map(|row: PgRow| row.try_get(0));
    Ok(versions.fetch_all(connection).await?.into_iter().collect())
}
