//! Claims: who may write for a partition, and from which offset on.

use millpond::broker::TopicId;
use millpond::record::{Offset, TopicPartition};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::{Database, Error};

/// Who claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The application: loaders of the same id share the partitions.
    pub application_id: String,
    /// This run of this process: no other run has the same text, also not the one before a restart.
    pub owner: String,
}

/// The right to write for a partition until somebody else claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Grows with each claim; every write checks it.
    pub epoch: i64,
    /// The next offset to load: everything before it is in the tables.
    pub next: Offset,
}

impl Database {
    /// Takes the partition from whoever had it. Waits for an open transaction of the one before, on its row's lock, so
    /// that the offset returned is behind everything that was committed. `first` is where a partition starts that was
    /// never claimed.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: claim again; [`Error::TopicRecreated`]: the stored offset belongs to another topic of
    /// that name.
    pub fn claim(
        &mut self,
        claimant: &Claimant,
        partition: &TopicPartition,
        first: Offset,
        topic: TopicId,
    ) -> Result<Claim, Error> {
        let transaction = self.begin()?;
        let row = transaction.database.call("claim a partition", async |connection| {
            sqlx::query(
                "INSERT INTO sink_offset (app, topic, part, next_offset, epoch, owner, topic_id) \
                 VALUES ($1, $2, $3, $4, 1, $5, $6) \
                 ON CONFLICT (app, topic, part) DO UPDATE \
                 SET epoch = sink_offset.epoch + 1, owner = excluded.owner, updated_at = now() \
                 RETURNING epoch, next_offset, topic_id",
            )
            .bind(&claimant.application_id)
            .bind(&*partition.topic)
            .bind(partition.partition.0)
            .bind(first.0)
            .bind(&claimant.owner)
            .bind(topic.0.as_slice())
            .try_map(|row: PgRow| Ok((claim_of(&row)?, row.try_get::<Vec<u8>, _>("topic_id")?)))
            .fetch_one(connection)
            .await
        });
        let (claim, stored) = row?;
        if stored != topic.0 {
            return Err(Error::TopicRecreated { topic: partition.topic.to_string() });
        }
        transaction.commit()?;
        Ok(claim)
    }

    /// Claims again what this run had claimed, after its connection was lost: a straggler of the old connection is
    /// fenced, and the returned offset tells how an unknown COMMIT ended. `None` when somebody else has claimed the
    /// partition since.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: renew again, also when this one's outcome is unknown: ownership is by run, not by epoch.
    pub fn renew(&mut self, claimant: &Claimant, partition: &TopicPartition) -> Result<Option<Claim>, Error> {
        let transaction = self.begin()?;
        let claim = transaction.database.call("renew a claim", async |connection| {
            sqlx::query(
                "UPDATE sink_offset SET epoch = epoch + 1, updated_at = now() \
                 WHERE app = $1 AND topic = $2 AND part = $3 AND owner = $4 RETURNING epoch, next_offset",
            )
            .bind(&claimant.application_id)
            .bind(&*partition.topic)
            .bind(partition.partition.0)
            .bind(&claimant.owner)
            .try_map(|row: PgRow| claim_of(&row))
            .fetch_optional(connection)
            .await
        })?;
        transaction.commit()?;
        Ok(claim)
    }
}

fn claim_of(row: &PgRow) -> Result<Claim, sqlx::Error> {
    Ok(Claim { epoch: row.try_get("epoch")?, next: Offset(row.try_get("next_offset")?) })
}
