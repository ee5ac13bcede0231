//! From records to rows: one SQL transaction for a batch, with its dead letters committed to Kafka just before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millpond::broker::{Broker, BrokerError, BrokerErrorKind, CommittedOffset, Consumer, Membership};
use millpond::record::{Offset, ProducerRecord, TopicPartition};
use millpond::time::Timestamp;
use millpond::trace::Outcome;

use super::spans::Traced;
use super::{Loader, wall_clock};
use crate::batch::Batch;
use crate::dead_letter::committed_offset;
use crate::error::Error;
use crate::partitions::State;
use crate::postgres::{self, Advance, Loaded};
use crate::row::Refused;

/// How a batch ended.
enum Written {
    /// In the tables, with what became of each route's rows and which records were refused.
    Committed(Vec<Loaded>, Vec<Refused>),
    /// Rolled back: the claims of these partitions are lost.
    Lost(Vec<TopicPartition>),
}

impl<B: Broker> Loader<B> {
    /// Writes what was read; without records, still the offsets where they passed transaction markers.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let steps = self.steps()?;
        if steps.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Batch::new(&self.config.routes));
        self.drop_batch();
        let began = Instant::now();
        match self.write(&batch, &steps) {
            Ok(Written::Committed(loaded, refused)) => {
                self.backoff.succeeded();
                self.committed(&batch, &steps, &loaded, &refused);
                self.measured(&batch, began.elapsed());
                self.traced.end(Outcome::Committed);
                Ok(())
            }
            Ok(Written::Lost(lost)) => self.lost(lost),
            Err(error @ Error::Postgres(postgres::Error::CommitUnknown { .. })) => self.stand_down(error, &steps),
            Err(error) => self.stand_down(error, &[]),
        }
    }

    /// What moves: everything that was polled is in the batch, so the offset to store is the consumer's position, which
    /// also passes the markers and aborted records behind the last record.
    fn steps(&mut self) -> Result<Vec<Advance>, Error> {
        self.member()?;
        let Some(consumer) = &self.consumer else { return Ok(Vec::new()) };
        let step = |(partition, running): (&TopicPartition, &crate::partitions::Running)| {
            let end = self.ends.get(partition).copied();
            let next = consumer.position(partition).max(end)?;
            (next > running.claim.next).then(|| Advance { partition: partition.clone(), claim: running.claim, next })
        };
        Ok(self.partitions.running().filter_map(step).collect())
    }

    fn write(&mut self, batch: &Batch, steps: &[Advance]) -> Result<Written, Error> {
        let now_member = self.member()?.membership();
        let mut transaction = self.database.begin()?;
        // The fence first: it locks the offsets, so that nobody can claim between it and the commit.
        let lost = transaction.advance(&self.claimant, steps)?;
        if !lost.is_empty() {
            transaction.roll_back()?;
            return Ok(Written::Lost(lost));
        }
        millpond::failpoint!("loader.after_advance");
        let mut refused = batch.refused().to_vec();
        let mut loaded = Vec::with_capacity(batch.rows().len());
        for (route, rows) in self.config.routes.iter().zip(batch.rows()) {
            let done = transaction.load(route, rows)?;
            refused.extend(done.refused.iter().filter_map(|bad| {
                Some(Refused { record: rows.get(bad.row)?.record.clone(), reason: bad.reason.clone() })
            }));
            loaded.push(done);
        }
        millpond::failpoint!("loader.after_rows");
        // Letters before the commit: the other way round a crash in between would lose them.
        let letters = self.letters.of(&refused, &self.config, &mut self.traced, |at| {
            self.partitions
                .running()
                .find(|(have, _)| *have == at)
                .map_or(Offset(0), |(_, running)| running.letters_before)
        });
        if !letters.is_empty() {
            as_same_member(&now_member, &self.membership)?;
            let offsets = marks(&letters, steps);
            let letters = letters.into_iter().map(|(_, letter)| letter).collect();
            millpond::failpoint!("loader.before_letters");
            self.ledger.commit(&self.broker, letters, &offsets, &self.membership)?;
            millpond::failpoint!("loader.after_letters");
        }
        millpond::failpoint!("loader.inside_sql_commit");
        transaction.commit()?;
        millpond::failpoint!("loader.after_sql_commit");
        Ok(Written::Committed(loaded, refused))
    }

    fn committed(&mut self, batch: &Batch, steps: &[Advance], loaded: &[Loaded], refused: &[Refused]) {
        for step in steps {
            if let Some(running) = self.partitions.running_mut(&step.partition) {
                running.claim.next = step.next;
                running.letters_before = running.letters_before.max(step.next);
            }
        }
        self.tell_partitions();
        let routes = &self.config.routes;
        self.status.update(|status| {
            status.batches = status.batches.saturating_add(1);
            for ((route, rows), loaded) in routes.iter().zip(batch.rows()).zip(loaded) {
                let records = status.records.entry(route.topic().clone()).or_default();
                *records = records.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                let table = status.tables.entry(route.table().plain()).or_default();
                table.rows = table.rows.saturating_add(loaded.rows);
                table.present = table.present.saturating_add(loaded.present);
            }
            for bad in batch.refused() {
                let records = status.records.entry(bad.record.source.topic.clone()).or_default();
                *records = records.saturating_add(1);
            }
            for bad in refused {
                let letters = status.dead_letters.entry(bad.reason.code()).or_default();
                *letters = letters.saturating_add(1);
            }
        });
    }

    /// How long it took, and how old records were when their rows became visible.
    fn measured(&self, batch: &Batch, took: Duration) {
        let now = wall_clock();
        self.status.update(|status| {
            status.write.observe(took);
            status.committed_at = now;
            let mut see = |source: &TopicPartition, times: &mut dyn Iterator<Item = Timestamp>| {
                let progress = status.progress.entry(source.clone()).or_default();
                for time in times {
                    progress.see(time);
                    if time.is_some() {
                        status.end_to_end.observe(now.since(time));
                    }
                }
            };
            // Rows of a partition come in runs.
            for run in batch.rows().iter().flat_map(|rows| rows.chunk_by(|a, b| a.record.source == b.record.source)) {
                if let Some(first) = run.first() {
                    see(&first.record.source, &mut run.iter().map(|row| row.record.timestamp));
                }
            }
            for bad in batch.refused() {
                see(&bad.record.source, &mut std::iter::once(bad.record.timestamp));
            }
        });
    }

    /// The zombie's end: what is lost stands still, the rest is read again from its offsets.
    fn lost(&mut self, lost: Vec<TopicPartition>) -> Result<(), Error> {
        self.traced.end(Outcome::Dropped("fenced"));
        for partition in &lost {
            tracing::error!(%partition, "another loader has claimed it");
        }
        self.member()?.pause(&lost)?;
        for partition in lost {
            self.partitions.set(partition, State::Fenced(Instant::now()));
        }
        let rest = self.partitions.doubt(&[]);
        self.member()?.pause(&rest)?;
        self.tell_partitions();
        Ok(())
    }
}

impl crate::dead_letter::DeadLetterTopic {
    /// The letters that were not sent before, each with the partition it is about.
    fn of(
        &self,
        refused: &[Refused],
        config: &crate::LoaderConfig,
        traced: &mut Traced,
        sent_before: impl Fn(&TopicPartition) -> Offset,
    ) -> Vec<(TopicPartition, ProducerRecord)> {
        let now = wall_clock();
        let unsent = refused.iter().filter(|bad| bad.record.offset >= sent_before(&bad.record.source));
        unsent
            .map(|bad| {
                let table = config.routes.of(&bad.record.source.topic).map(|(_, route)| route.table().plain());
                let mut letter = self.letter(bad, &table.unwrap_or_default(), now);
                traced.mark(&bad.record, &mut letter);
                (bad.record.source.clone(), letter)
            })
            .collect()
    }
}

/// The offsets that go with letters: not moved yet (the rows are not committed), but marked.
fn marks(letters: &[(TopicPartition, ProducerRecord)], steps: &[Advance]) -> BTreeMap<TopicPartition, CommittedOffset> {
    let about = |step: &&Advance| letters.iter().any(|(partition, _)| *partition == step.partition);
    let mark = |step: &Advance| (step.partition.clone(), committed_offset(step.claim.next, step.next));
    steps.iter().filter(about).map(mark).collect()
}

/// A change that the loop has not been told of yet: the transaction would be refused, or worse, not.
fn as_same_member(now: &Membership, then: &Membership) -> Result<(), BrokerError> {
    if now == then && now.is_fencing() {
        Ok(())
    } else {
        Err(BrokerError::new("send_offsets", BrokerErrorKind::Abortable, "the group has moved on"))
    }
}
