//! The fast way in: `COPY … FROM STDIN` in binary, for tables whose columns are exactly what the route says.
//!
//! `COPY` has no `ON CONFLICT` and stops at the first bad row. So it goes first, under a savepoint: the fence keeps records
//! from coming twice, so nearly every batch of an appended table is taken whole, and of one that is upserted each batch of
//! new keys: without a conflict an upsert is an insert. Where it is refused, for whatever reason, the `INSERT` of
//! [`statement`](crate::statement) finds out which rows are at fault or replaces them, and
//! [`CopyAttempts`](super::attempts::CopyAttempts) how long it is not tried again.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::route::{ColumnType, Route, SOURCE_COLUMNS};
use crate::row::{Cell, Row};

/// What comes before the rows: the signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// How much is sent at a time: less than what sockets hold on their way.
const PIECE_BYTES: usize = 64 * 1024;
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Milliseconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_MS: i64 = 946_684_800_000;
/// PostgreSQL's version of the binary form of `jsonb`.
const JSONB_VERSION: u8 = 1;

/// Asks what `COPY` would be given: the columns' types by name, and whether rules or policies stand in between, which it
/// does not know.
pub(super) async fn is_possible(connection: &mut PgConnection, route: &Route) -> Result<bool, sqlx::Error> {
    let columns: Vec<(String, String)> = sqlx::query(
        "SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped \
         AND c.relkind IN ('r', 'p') AND NOT c.relhasrules AND NOT c.relrowsecurity",
    )
    .bind(route.table().to_string())
    .try_map(|row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?)))
    .fetch_all(connection)
    .await?;
    let named = |name: &str| columns.iter().find(|(have, _)| have == name).map(|(_, kind)| kind.as_str());
    let own = route.columns().iter().all(|column| named(column.name.as_str()) == Some(type_name(column.kind)));
    let source = ["timestamp with time zone", "text", "integer", "bigint"];
    Ok(own && SOURCE_COLUMNS.iter().zip(source).all(|(name, kind)| named(name) == Some(kind)))
}

const fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "text",
        ColumnType::Bigint => "bigint",
        ColumnType::Double => "double precision",
        ColumnType::Boolean => "boolean",
        ColumnType::Timestamp => "timestamp with time zone",
        ColumnType::Jsonb => "jsonb",
    }
}

/// Sends all rows; PostgreSQL takes all of them or none.
pub(super) async fn copy(connection: &mut PgConnection, route: &Route, rows: &[Row]) -> Result<u64, sqlx::Error> {
    let names: Vec<String> = route.columns().iter().map(|column| column.name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(SOURCE_COLUMNS).collect();
    let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", route.table(), names.join(", "));
    let mut copy = connection.copy_in_raw(&sql).await?;
    let mut rows = rows.iter();
    let mut out = HEADER.to_vec();
    loop {
        // PostgreSQL writes what it has of a batch while the rest of it is encoded.
        let is_last = !encode(route, &mut rows, &mut out);
        if is_last {
            out.extend(TRAILER);
        }
        if let Err(error) = copy.send(out.as_slice()).await {
            // The connection is of no use before its answer is read.
            copy.abort("not sent").await?;
            return Err(error);
        }
        if is_last {
            return copy.finish().await;
        }
        out.clear();
    }
}

/// Rows as `COPY` reads them, up to a piece of what is sent: a count of fields, then each with its length, -1 for NULL;
/// everything big-endian. False when there are no more.
fn encode<'r>(route: &Route, rows: &mut impl Iterator<Item = &'r Row>, out: &mut Vec<u8>) -> bool {
    let fields = route.columns().len() + SOURCE_COLUMNS.len();
    while out.len() < PIECE_BYTES {
        let Some(row) = rows.next() else { return false };
        out.extend(i16::try_from(fields).unwrap_or(i16::MAX).to_be_bytes());
        for (number, column) in route.columns().iter().enumerate() {
            cell(column.kind, row.cells.get(number).unwrap_or(&Cell::Null), out);
        }
        field(&timestamp(row.record.timestamp.as_millis()), out);
        field(row.record.source.topic.as_bytes(), out);
        field(&row.record.source.partition.0.to_be_bytes(), out);
        field(&row.record.offset.0.to_be_bytes(), out);
    }
    true
}

fn cell(kind: ColumnType, cell: &Cell, out: &mut Vec<u8>) {
    match (kind, cell) {
        (ColumnType::Jsonb, Cell::Text(text)) => {
            length(text.len() + 1, out);
            out.push(JSONB_VERSION);
            out.extend(text.as_bytes());
        }
        (_, Cell::Text(text)) => field(text.as_bytes(), out),
        (ColumnType::Timestamp, Cell::Integer(millis)) => field(&timestamp(*millis), out),
        (_, Cell::Integer(integer)) => field(&integer.to_be_bytes(), out),
        (_, Cell::Double(double)) => field(&double.to_be_bytes(), out),
        (_, Cell::Boolean(flag)) => field(&[u8::from(*flag)], out),
        (_, Cell::Null) => out.extend((-1_i32).to_be_bytes()),
    }
}

/// Microseconds since 2000. Rows hold the years 1 to 9999, which fit.
const fn timestamp(millis: i64) -> [u8; 8] {
    millis.saturating_sub(EPOCH_MS).saturating_mul(1_000).to_be_bytes()
}

fn field(bytes: &[u8], out: &mut Vec<u8>) {
    length(bytes.len(), out);
    out.extend(bytes);
}

/// A field is part of a record, which is far smaller than this.
fn length(bytes: usize, out: &mut Vec<u8>) {
    out.extend(i32::try_from(bytes).unwrap_or(i32::MAX).to_be_bytes());
}
