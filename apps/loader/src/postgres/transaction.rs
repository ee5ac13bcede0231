//! One batch, one transaction: offsets first, then rows.

use std::collections::BTreeSet;

use millpond::record::{Offset, TopicPartition};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use super::attempts::CopyAttempts;
use super::{Claim, Claimant, Database, Error, copy};
use crate::batch::last_of_each_key;
use crate::bisection::Bisection;
use crate::route::{ColumnType, Route};
use crate::row::{Cell, Reason, Row};
use crate::statement;

/// Rows of one statement at most: beyond a thousand the arrays only grow, the round trips no longer count.
const ROWS_PER_STATEMENT_MAX: usize = 2_000;

/// A partition's step forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The partition.
    pub partition: TopicPartition,
    /// The claim it is made under; its offset is what the database must still hold.
    pub claim: Claim,
    /// The next offset to load after this step.
    pub next: Offset,
}

/// What became of a route's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Rows inserted or replaced. A row replaced within its own statement counts once.
    pub rows: u64,
    /// Appended records that were in the table already: none, unless the offsets were reset.
    pub present: u64,
    /// Rows that the database refused, in order.
    pub refused: Vec<RefusedRow>,
}

/// A row that the database refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its number among the rows given.
    pub row: usize,
    /// Why.
    pub reason: Reason,
}

/// An open transaction. Dropped without [`commit`](Self::commit) it takes the connection with it, which rolls back.
#[derive(Debug)]
pub struct Transaction<'d> {
    pub(super) database: &'d mut Database,
    ended: bool,
}

impl Database {
    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Setup`].
    pub fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        let begin = self.begin.clone();
        self.call("begin", async |connection| sqlx::raw_sql(AssertSqlSafe(begin)).execute(connection).await)?;
        Ok(Transaction { database: self, ended: false })
    }

    /// Sends a route's statement without rows and rolls back: finds missing tables, columns, types, rights and unique
    /// constraints before the first record does.
    ///
    /// # Errors
    /// [`Error::Setup`] that says what is missing; [`Error::Unavailable`].
    pub fn check_route(&mut self, route: &Route) -> Result<(), Error> {
        let mut transaction = self.begin()?;
        transaction.insert(route, &statement::insert(route), &[])?;
        transaction.roll_back()
    }
}

impl Transaction<'_> {
    /// Moves the offsets under their claims and locks their rows until the end. Must come before rows: it is the fence.
    /// Returns the partitions whose claim is lost; with any, roll back.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Setup`].
    pub fn advance(&mut self, claimant: &Claimant, steps: &[Advance]) -> Result<Vec<TopicPartition>, Error> {
        let topics: Vec<&str> = steps.iter().map(|step| &*step.partition.topic).collect();
        let parts: Vec<i32> = steps.iter().map(|step| step.partition.partition.0).collect();
        let epochs: Vec<i64> = steps.iter().map(|step| step.claim.epoch).collect();
        let expected: Vec<i64> = steps.iter().map(|step| step.claim.next.0).collect();
        let next: Vec<i64> = steps.iter().map(|step| step.next.0).collect();
        let held: BTreeSet<(String, i32)> = self
            .database
            .call("move the offsets", async |connection| {
                sqlx::query(
                    "UPDATE sink_offset AS s SET next_offset = b.next, updated_at = now() \
                     FROM UNNEST($2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[]) \
                     AS b(topic, part, epoch, expected, next) \
                     WHERE s.app = $1 AND s.topic = b.topic AND s.part = b.part \
                     AND s.epoch = b.epoch AND s.next_offset = b.expected RETURNING s.topic, s.part",
                )
                .bind(&claimant.application_id)
                .bind(topics)
                .bind(parts)
                .bind(epochs)
                .bind(expected)
                .bind(next)
                .try_map(|row: PgRow| Ok((row.try_get("topic")?, row.try_get("part")?)))
                .fetch_all(connection)
                .await
            })?
            .into_iter()
            .collect();
        let lost = |step: &&Advance| !held.contains(&(step.partition.topic.to_string(), step.partition.partition.0));
        Ok(steps.iter().filter(lost).map(|step| step.partition.clone()).collect())
    }

    /// Writes the rows of a route in order, without those that the database refuses.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Setup`]; never for the sake of a row.
    pub fn load(&mut self, route: &Route, rows: &[Row]) -> Result<Loaded, Error> {
        if let Some(rows) = self.copy(route, rows)? {
            return Ok(Loaded { rows, ..Loaded::default() });
        }
        let sql = statement::insert(route);
        let mut loaded = Loaded::default();
        let mut bisection = Bisection::new(rows.len(), ROWS_PER_STATEMENT_MAX);
        while let Some(range) = bisection.next_range() {
            let part = last_of_each_key(route, rows.get(range.clone()).unwrap_or_default());
            // A refused statement spoils the whole transaction; back to the savepoint it is as if never sent.
            self.script("SAVEPOINT rows")?;
            match self.insert(route, &sql, &part) {
                Ok(written) => {
                    let sent = u64::try_from(part.len()).unwrap_or(u64::MAX);
                    loaded.rows = loaded.rows.saturating_add(written);
                    loaded.present = loaded.present.saturating_add(sent.saturating_sub(written));
                    self.script("RELEASE SAVEPOINT rows")?;
                }
                Err(Error::Row { sqlstate, constraint }) => {
                    self.script("ROLLBACK TO SAVEPOINT rows; RELEASE SAVEPOINT rows")?;
                    if let Some(row) = bisection.refused(&range) {
                        loaded.refused.push(RefusedRow { row, reason: Reason::Refused { sqlstate, constraint } });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(loaded)
    }

    /// All rows at once, where that is possible; `None`, and nothing written, where it is not or a row is at fault.
    fn copy(&mut self, route: &Route, rows: &[Row]) -> Result<Option<u64>, Error> {
        if rows.is_empty() || !self.attempts(route)?.begin() {
            return Ok(None);
        }
        self.script("SAVEPOINT copied")?;
        let copied = self.database.call("copy rows", async |connection| copy::copy(connection, route, rows).await);
        match copied {
            Ok(written) => {
                self.script("RELEASE SAVEPOINT copied")?;
                self.attempts(route)?.taken();
                Ok(Some(written))
            }
            Err(Error::Row { .. }) => {
                self.script("ROLLBACK TO SAVEPOINT copied; RELEASE SAVEPOINT copied")?;
                self.attempts(route)?.refused();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What is known of the route's table, which is looked at once.
    fn attempts(&mut self, route: &Route) -> Result<&mut CopyAttempts, Error> {
        let table = route.table().to_string();
        if !self.database.copied.contains_key(&table) {
            let asked = async |connection: &mut PgConnection| copy::is_possible(connection, route).await;
            let possible = self.database.call("look at the table", asked)?;
            self.database.copied.insert(table.clone(), CopyAttempts::new(possible));
        }
        self.database.copied.get_mut(&table).ok_or(Error::Bug { invariant: "a table that was looked at is known" })
    }

    /// Commits.
    ///
    /// # Errors
    /// [`Error::CommitUnknown`], whatever happened: renew the claims to learn the outcome.
    pub fn commit(mut self) -> Result<(), Error> {
        self.ended = true;
        self.script("COMMIT").map_err(Error::at_commit)
    }

    /// Rolls back and keeps the connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; it is rolled back all the same, with the connection.
    pub fn roll_back(mut self) -> Result<(), Error> {
        self.ended = true;
        self.script("ROLLBACK")
    }

    fn script(&mut self, sql: &'static str) -> Result<(), Error> {
        self.database.call("speak", async |connection| sqlx::raw_sql(sql).execute(connection).await)?;
        Ok(())
    }

    fn insert(&mut self, route: &Route, sql: &str, rows: &[&Row]) -> Result<u64, Error> {
        self.database.call("insert rows", async |connection| insert(connection, route, sql, rows).await)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.database.disconnect();
        }
    }
}

async fn insert(connection: &mut PgConnection, route: &Route, sql: &str, rows: &[&Row]) -> Result<u64, sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (number, column) in route.columns().iter().enumerate() {
        let cells = rows.iter().map(|row| row.cells.get(number).unwrap_or(&Cell::Null));
        query = bind(query, column.kind, cells);
    }
    let records = || rows.iter().map(|row| &row.record);
    let done = query
        .bind(records().map(|record| record.timestamp.as_millis()).collect::<Vec<i64>>())
        .bind(records().map(|record| &*record.source.topic).collect::<Vec<&str>>())
        .bind(records().map(|record| record.source.partition.0).collect::<Vec<i32>>())
        .bind(records().map(|record| record.offset.0).collect::<Vec<i64>>())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Binds a column as one array. A cell is of its column's type, or NULL: rows are made that way.
fn bind<'q, 'r>(
    query: Query<'q, Postgres, PgArguments>,
    kind: ColumnType,
    cells: impl Iterator<Item = &'r Cell>,
) -> Query<'q, Postgres, PgArguments> {
    match kind {
        ColumnType::Text | ColumnType::Jsonb => query.bind(column(cells, |cell| match cell {
            Cell::Text(text) => Some(text.as_str()),
            _ => None,
        })),
        ColumnType::Bigint | ColumnType::Timestamp => query.bind(column(cells, |cell| match cell {
            Cell::Integer(integer) => Some(*integer),
            _ => None,
        })),
        ColumnType::Double => query.bind(column(cells, |cell| match cell {
            Cell::Double(double) => Some(*double),
            _ => None,
        })),
        ColumnType::Boolean => query.bind(column(cells, |cell| match cell {
            Cell::Boolean(flag) => Some(*flag),
            _ => None,
        })),
    }
}

fn column<'r, T>(cells: impl Iterator<Item = &'r Cell>, value: impl Fn(&'r Cell) -> Option<T>) -> Vec<Option<T>> {
    cells.map(value).collect()
}
