//! What is in PostgreSQL.

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::runtime::{Builder, Runtime};

/// Rows read at a time.
const PAGE: i64 = 10_000;

/// A row of `events`, without its topic: the seven columns, event time in milliseconds, partition and offset.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct EventRow {
    pub(crate) user_id: Option<String>,
    pub(crate) event_name: Option<String>,
    pub(crate) page: Option<String>,
    pub(crate) item_url: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) order_id: Option<String>,
    pub(crate) order_email: Option<String>,
    pub(crate) event_time_ms: i64,
    pub(crate) source_partition: i32,
    pub(crate) source_offset: i64,
}

/// A row of `purchase_marketing_attributions`, without its topic.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct AttributionRow {
    pub(crate) order_id: String,
    pub(crate) user_id: String,
    pub(crate) marketing_channel: String,
    pub(crate) event_time_ms: i64,
    pub(crate) source_partition: i32,
    pub(crate) source_offset: i64,
}

/// How many rows the two tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub(crate) struct RowCounts {
    pub(crate) events: i64,
    pub(crate) purchase_marketing_attributions: i64,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Database {
    runtime: Runtime,
    connection: PgConnection,
}

impl Database {
    pub(crate) fn connect(url: &str) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(PgConnection::connect(url)).context("connect to PostgreSQL")?;
        Ok(Self { runtime, connection })
    }

    /// About how many rows there are: from PostgreSQL's statistics, because counting millions every second is work.
    pub(crate) fn about(&mut self) -> anyhow::Result<RowCounts> {
        let sql = "select (select coalesce(n_live_tup, 0) from pg_stat_user_tables where relname = 'events'), \
                   (select coalesce(n_live_tup, 0) from pg_stat_user_tables \
                   where relname = 'purchase_marketing_attributions')";
        let query = sqlx::query_as::<_, (Option<i64>, Option<i64>)>(sql);
        let (events, attributions) = self.runtime.block_on(query.fetch_one(&mut self.connection))?;
        let (events, attributions) = (events.unwrap_or(0), attributions.unwrap_or(0));
        Ok(RowCounts { events, purchase_marketing_attributions: attributions })
    }

    /// The rows that came from these topics, counted.
    pub(crate) fn count(&mut self, processed: &str, attributions: &str) -> anyhow::Result<RowCounts> {
        let sql = "select (select count(*) from events where source_topic = $1), \
                   (select count(*) from purchase_marketing_attributions where source_topic = $2)";
        let query = sqlx::query_as::<_, (i64, i64)>(sql).bind(processed).bind(attributions);
        let (events, purchase_marketing_attributions) =
            self.runtime.block_on(query.fetch_one(&mut self.connection)).context("count rows")?;
        Ok(RowCounts { events, purchase_marketing_attributions })
    }

    /// Some rows of `events` from that topic behind that position, in the order of partition and offset; none at the end.
    pub(crate) fn events_after(&mut self, topic: &str, partition: i32, offset: i64) -> anyhow::Result<Vec<EventRow>> {
        let sql = "select user_id, event_name, page, item_url, channel, order_id, order_email, \
                   (extract(epoch from event_time) * 1000)::bigint as event_time_ms, source_partition, source_offset \
                   from events where source_topic = $1 and (source_partition, source_offset) > ($2, $3) \
                   order by source_partition, source_offset limit $4";
        let query = sqlx::query_as(sql).bind(topic).bind(partition).bind(offset).bind(PAGE);
        self.runtime.block_on(query.fetch_all(&mut self.connection)).context("read the table events")
    }

    /// All attributions from that topic.
    pub(crate) fn attributions(&mut self, topic: &str) -> anyhow::Result<Vec<AttributionRow>> {
        let sql = "select order_id, user_id, marketing_channel, \
                   (extract(epoch from event_time) * 1000)::bigint as event_time_ms, source_partition, source_offset \
                   from purchase_marketing_attributions where source_topic = $1";
        let query = sqlx::query_as(sql).bind(topic);
        let rows = self.runtime.block_on(query.fetch_all(&mut self.connection));
        rows.context("read the table purchase_marketing_attributions")
    }
}
