//! What can be asked of the benchmark.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shape::{Content, Keys, LARGE_BATCH_BYTES, Shape};

/// What a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Addresses are redacted; no state.
    Redaction,
    /// Records of each key are counted; one store.
    Count,
    /// Bursts in carts; re-keyed, stores.
    Fraud,
    /// Orders get the channel of the first visit; re-keyed, stores.
    Attribution,
    /// Amounts of each key are summed up; one store.
    #[value(skip)]
    Table,
}

impl Work {
    /// What is measured when nothing is said.
    pub(crate) const ALL: [Self; 4] = [Self::Redaction, Self::Count, Self::Fraud, Self::Attribution];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redaction => "redaction",
            Self::Count => "count",
            Self::Fraud => "fraud",
            Self::Attribution => "attribution",
            Self::Table => "table",
        }
    }

    pub(crate) const fn is_rekeyed(self) -> bool {
        matches!(self, Self::Fraud | Self::Attribution)
    }
}

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Part {
    /// Each work, one thread, uniform keys
    Works,
    /// A bare consumer and a bare RocksDB writer
    Limits,
    /// Tables of many rows: filled, killed and started again, restored from nothing
    Rows,
    /// Time from record to output at a fixed rate
    Latency,
    /// Into PostgreSQL, beside a plain COPY
    Loader,
    /// Other keys, other record sizes, two threads
    Shapes,
    /// What it costs that metrics are read
    Metrics,
    /// Cost per record against keys, partitions, record size, stores
    Growth,
}

impl Part {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Limits => "limits",
            Self::Rows => "rows",
            Self::Latency => "latency",
            Self::Loader => "loader",
            Self::Shapes => "shapes",
            Self::Metrics => "metrics",
            Self::Growth => "growth",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|part| part.name() == name)
    }

    /// What a reader of its table has to know.
    pub(crate) const fn note(self) -> Option<&'static str> {
        match self {
            Self::Works | Self::Shapes => Some(
                "The first commit is counted from the start of the process: start-up, joining the group and the first \
                 records.",
            ),
            Self::Rows => Some(
                "All of a table's programs are filled first, one run each; then they are killed with `kill -9` and \
                 started again in turn, while the others wait idle, once in each round: with their disk, and without \
                 it. From 5,000,000 rows on they are restored once. A time is that from the start of the process to \
                 the committed output of one more record; restored records/s include the start. In the end 10,000 \
                 rows of each get one more record, and the sums and the number of all outputs are compared with the \
                 input: a row that was restored wrong goes on wrong. Without a static member Kafka Streams is \
                 restarted once.",
            ),
            Self::Latency => Some(
                "Milliseconds from the making of a record to its committed output. Each output counts that was made \
                 after the first five seconds; all outputs are read again in the end and compared with what was sent. \
                 A count may leave out numbers between two commits, on both sides; the last number of each key must \
                 be there.",
            ),
            Self::Loader => Some(
                "Events are appended; attributions are upserted, each of an order of its own. A plain COPY brings the \
                 same rows into a table of the same columns and constraints, with no topic to read and no offsets to \
                 keep.",
            ),
            Self::Growth => Some("Ours alone."),
            Self::Limits => Some("Stores of 1,000,000 keys and more are one run."),
            Self::Metrics => None,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Works => "One thread, each work",
            Self::Limits => "What bare libraries do",
            Self::Rows => "Many rows: filled, killed, restored",
            Self::Latency => "Latency",
            Self::Loader => "Into PostgreSQL",
            Self::Shapes => "Other keys, other sizes, two threads",
            Self::Metrics => "Metrics that are read",
            Self::Growth => "Growth",
        }
    }
}

/// Options of `./dev bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// At most five minutes: less of everything, one round
    #[arg(long)]
    pub(crate) quick: bool,
    /// Which parts, separated by commas; all if not said. The document keeps what was measured of the others
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// What to measure in the first part, separated by commas; all if not said
    #[arg(long, value_enum, value_delimiter = ',')]
    works: Vec<Work>,
    /// Events in the input topic [3,000,000; quick: 300,000]
    #[arg(long, value_name = "N")]
    events: Option<NonZeroU64>,
    /// How often each key occurs
    #[arg(long, value_enum, default_value = "uniform")]
    keys: Keys,
    /// Users, which are the keys
    #[arg(long, value_name = "N", default_value = "200000")]
    users: NonZeroU32,
    /// Bytes of an event, at least
    #[arg(long, value_name = "N", default_value = "170")]
    record_bytes: usize,
    /// Bytes of a batch of events at most, before compression; Java's producer makes batches of 16384
    #[arg(long, value_name = "N", default_value_t = LARGE_BATCH_BYTES)]
    batch_bytes: u32,
    /// Tables of so many rows, separated by commas [100000,1000000,10000000; quick: 100000]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    rows: Vec<u32>,
    /// Seconds in which latency is measured [20; quick: 5]
    #[arg(long, value_name = "N")]
    seconds: Option<NonZeroU32>,
    /// Runs of each program, alternating; medians are shown [3; quick: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<NonZeroU32>,
    /// Stream threads of each program
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) threads: NonZeroU32,
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value = "4")]
    partitions: NonZeroU32,
    /// `commit.interval.ms` of each program
    #[arg(long, value_name = "MS", default_value = "100")]
    pub(crate) commit_ms: NonZeroU32,
    /// Leave Kafka Streams out
    #[arg(long)]
    pub(crate) alone: bool,
    /// Write the document and its plots here; the full run's are in the repository, at tests/
    #[arg(long, value_name = "DIR")]
    document: Option<PathBuf>,
    /// Print one JSON object in the end; everything else goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Kafka Streams' jars; `./dev bench` says where
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) streams_lib: Option<PathBuf>,
}

impl Options {
    /// One of two, by `--quick`.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub(crate) fn parts(&self) -> Vec<Part> {
        let all = Part::value_variants();
        all.iter().copied().filter(|part| self.parts.is_empty() || self.parts.contains(part)).collect()
    }

    pub(crate) fn works(&self) -> Vec<Work> {
        if self.works.is_empty() { Work::ALL.to_vec() } else { self.works.clone() }
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.map_or(self.pick(3, 1), NonZeroU32::get)
    }

    pub(crate) fn seconds(&self) -> u32 {
        self.seconds.map_or(self.pick(20, 5), NonZeroU32::get)
    }

    pub(crate) fn rows(&self) -> Vec<u32> {
        if self.rows.is_empty() {
            return self.pick(vec![100_000, 1_000_000, 10_000_000], vec![100_000]);
        }
        self.rows.clone()
    }

    pub(crate) fn partitions(&self) -> i32 {
        i32::try_from(self.partitions.get()).unwrap_or(i32::MAX)
    }

    pub(crate) fn events(&self) -> u64 {
        self.events.map_or(self.pick(3_000_000, 300_000), NonZeroU64::get)
    }

    /// The input that is asked for.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            content: Content::Events,
            events: self.events(),
            keys: self.keys,
            users: self.users.get(),
            record_bytes: self.record_bytes,
            partitions: self.partitions(),
            batch_bytes: self.batch_bytes,
        }
    }

    pub(crate) fn document(&self) -> PathBuf {
        self.document.clone().unwrap_or_else(|| self.pick("tests", ".millpond/bench-results").into())
    }
}
