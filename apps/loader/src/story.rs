//! What the page tells of the loader: rows, the database, and how its offsets stand beside Kafka's.

use std::collections::BTreeMap;

use millpond::http::{Block, Fact, Section, Story, Tone, Traffic};
use millpond::record::{Offset, TopicPartition};
use millpond::runtime::stats::StatusBoard;
use millpond::time::Timestamp;

use crate::status::{LoaderStatus, SharedStatus};

/// Rows, PostgreSQL's health and offsets as a section of the page.
#[derive(Debug)]
pub struct LoaderStory {
    threads: Vec<SharedStatus>,
    board: StatusBoard,
}

impl LoaderStory {
    /// A story of these loader threads. The ends of the logs are on `board`, where a publisher puts them.
    pub fn new(threads: &[SharedStatus], board: StatusBoard) -> Self {
        Self { threads: threads.to_vec(), board }
    }

    fn ends(&self) -> BTreeMap<TopicPartition, Offset> {
        let threads = self.board.snapshots();
        let inputs = threads.iter().flat_map(|thread| &thread.tasks).flat_map(|task| &task.inputs);
        inputs.filter_map(|input| Some((TopicPartition::new(&*input.topic, input.partition), input.end?))).collect()
    }
}

fn facts(statuses: &[LoaderStatus], traffic: &Traffic) -> Block {
    let sum = |of: fn(&LoaderStatus) -> u64| statuses.iter().map(of).sum::<u64>();
    let connected = statuses.iter().filter(|status| status.connected).count();
    let fact = |name: &str, value: String, tone| Fact { name: name.to_owned(), value, tone };
    let counted = |name, count: u64| fact(name, count.to_string(), if count > 0 { Tone::Warning } else { Tone::Plain });
    Block::Facts(vec![
        if connected == statuses.len() {
            fact("PostgreSQL", "connected".to_owned(), Tone::Good)
        } else {
            fact("PostgreSQL", format!("{connected} of {} connected", statuses.len()), Tone::Bad)
        },
        fact("Rows now", format!("{:.1}/s", traffic.written_total()), Tone::Plain),
        fact("Transactions", sum(|status| status.batches).to_string(), Tone::Plain),
        counted("Errors of PostgreSQL survived", sum(|status| status.postgres_errors)),
        counted("Errors of Kafka survived", sum(|status| status.kafka_errors)),
        counted("Unknown commits, that were", sum(|status| status.unknown_committed)),
        counted("Unknown commits, that were not", sum(|status| status.unknown_rolled_back)),
    ])
}

fn tables(statuses: &[LoaderStatus], traffic: &Traffic) -> Block {
    let mut tables: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (name, table) in statuses.iter().flat_map(|status| &status.tables) {
        let sums = tables.entry(name).or_default();
        *sums = (sums.0 + table.rows, sums.1 + table.present);
    }
    let row = |(name, (rows, present)): (&str, (u64, u64))| {
        let pace = traffic.written.get(name).copied().unwrap_or_default();
        vec![name.to_owned(), format!("{pace:.1}/s"), rows.to_string(), present.to_string()]
    };
    Block::Table {
        caption: "Rows since the start of this process".to_owned(),
        head: ["Table", "Now", "Written", "There already"].map(str::to_owned).into(),
        rows: tables.into_iter().map(row).collect(),
    }
}

fn offsets(statuses: &[LoaderStatus], ends: &BTreeMap<TopicPartition, Offset>) -> Block {
    let text = |offset: Option<Offset>| offset.map_or_else(|| "–".to_owned(), |offset| offset.0.to_string());
    let partitions: BTreeMap<_, _> = statuses.iter().flat_map(|status| &status.partitions).collect();
    let row = |(at, partition): (&TopicPartition, &crate::status::PartitionStatus)| {
        let end = ends.get(at).copied();
        let behind = end.zip(partition.next).map(|(end, next)| Offset(end.0.saturating_sub(next.0).max(0)));
        vec![
            format!("{} {}", at.topic, at.partition),
            partition.state.as_str().to_owned(),
            text(partition.next),
            text(partition.displayed),
            text(end),
            text(behind),
        ]
    };
    Block::Table {
        caption: "The next offset as PostgreSQL has it, which counts, and as the group in Kafka has it, which follows"
            .to_owned(),
        head: ["Partition", "State", "In PostgreSQL", "In the group", "End in Kafka", "Behind"]
            .map(str::to_owned)
            .into(),
        rows: partitions.into_iter().map(row).collect(),
    }
}

impl Story for LoaderStory {
    fn tell(&self, _now: Timestamp, traffic: &Traffic) -> Section {
        let statuses: Vec<LoaderStatus> = self.threads.iter().map(SharedStatus::get).collect();
        Section::new("PostgreSQL")
            .with(facts(&statuses, traffic))
            .with(tables(&statuses, traffic))
            .with(offsets(&statuses, &self.ends()))
    }
}

#[cfg(test)]
mod tests {
    use millpond::record::Partition;
    use millpond::runtime::TaskState;
    use millpond::runtime::stats::{InputSnapshot, TaskSnapshot, ThreadSnapshot};

    use super::*;
    use crate::status::{PartitionState, PartitionStatus, TableStatus};

    fn board(end: i64) -> StatusBoard {
        let board = StatusBoard::new();
        let mut task = TaskSnapshot::created(millpond::record::TaskId { subtopology: 0, partition: Partition(2) });
        task.state = TaskState::Running;
        task.inputs.push(InputSnapshot {
            topic: "orders".into(),
            partition: Partition(2),
            committed: None,
            position: None,
            end: Some(Offset(end)),
            lag_records: Some(0),
            lag: Some(std::time::Duration::ZERO),
        });
        board.thread("0").publish(&ThreadSnapshot { tasks: vec![task], ..ThreadSnapshot::default() });
        board
    }

    #[test]
    fn offsets_of_the_database_stand_beside_those_of_kafka() {
        let threads = [SharedStatus::default(), SharedStatus::default()];
        threads[0].update(|status| {
            status.connected = true;
            status.unknown_committed = 1;
            status.tables.insert("orders".into(), TableStatus { rows: 40, present: 2 });
            let partition = PartitionStatus {
                state: PartitionState::Running,
                epoch: 3,
                next: Some(Offset(40)),
                displayed: Some(Offset(35)),
            };
            status.partitions.insert(TopicPartition::new("orders", Partition(2)), partition);
        });
        let section = LoaderStory::new(&threads, board(57)).tell(Timestamp::EPOCH, &Traffic::default());
        let Block::Facts(facts) = &section.blocks[0] else { panic!("{section:?}") };
        assert_eq!((facts[0].value.as_str(), facts[0].tone), ("1 of 2 connected", Tone::Bad));
        assert_eq!((facts[5].value.as_str(), facts[5].tone), ("1", Tone::Warning));
        let rows = |block: &Block| match block {
            Block::Table { rows, .. } => rows.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(rows(&section.blocks[1]), [["orders", "0.0/s", "40", "2"].map(str::to_owned)]);
        assert_eq!(rows(&section.blocks[2]), [["orders 2", "running", "40", "35", "57", "17"].map(str::to_owned)]);
    }
}
