//! Moving the offsets of an application that does not run: what `reset` does.

use std::collections::BTreeMap;

use millpond::broker::TopicId;
use millpond::record::{Offset, Partition, TopicPartition};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{Database, Error};

/// The owner of a claim that nobody has.
const NOBODY: &str = "reset";

impl Database {
    /// Where the application goes on in each partition that it has claimed before.
    ///
    /// # Errors
    /// [`Error::Setup`] when no loader has run on this database; [`Error::Unavailable`].
    pub fn offsets_of(&mut self, application_id: &str) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
        let rows = self.call("read the offsets", async |connection| {
            sqlx::query("SELECT topic, part, next_offset FROM sink_offset WHERE app = $1")
                .bind(application_id)
                .try_map(|row: PgRow| {
                    let (topic, part): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
                    Ok((TopicPartition::new(topic, Partition(part)), Offset(row.try_get(2)?)))
                })
                .fetch_all(connection)
                .await
        })?;
        Ok(rows.into_iter().collect())
    }

    /// Moves the application in these partitions, all or none. Each becomes a new claim that nobody has: whoever still writes
    /// under the old one is fenced. The rows of the tables stay as they are.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: nothing was moved; [`Error::CommitUnknown`]: read the offsets; [`Error::Setup`].
    pub fn move_offsets(
        &mut self,
        application_id: &str,
        offsets: &BTreeMap<TopicPartition, (Offset, TopicId)>,
    ) -> Result<(), Error> {
        let topics: Vec<&str> = offsets.keys().map(|at| &*at.topic).collect();
        let parts: Vec<i32> = offsets.keys().map(|at| at.partition.0).collect();
        let next: Vec<i64> = offsets.values().map(|(next, _)| next.0).collect();
        let ids: Vec<&[u8]> = offsets.values().map(|(_, id)| id.0.as_slice()).collect();
        let transaction = self.begin()?;
        transaction.database.call("move the offsets", async |connection| {
            sqlx::query(
                "INSERT INTO sink_offset (app, topic, part, next_offset, epoch, owner, topic_id) \
                 SELECT $1, b.topic, b.part, b.next, 1, $2, b.id \
                 FROM UNNEST($3::text[], $4::integer[], $5::bigint[], $6::bytea[]) AS b(topic, part, next, id) \
                 ON CONFLICT (app, topic, part) DO UPDATE SET next_offset = excluded.next_offset, \
                 epoch = sink_offset.epoch + 1, owner = excluded.owner, topic_id = excluded.topic_id, updated_at = now()",
            )
            .bind(application_id)
            .bind(NOBODY)
            .bind(topics)
            .bind(parts)
            .bind(next)
            .bind(ids)
            .execute(connection)
            .await
        })?;
        transaction.commit()
    }
}
