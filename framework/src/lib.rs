//! Stateful stream processing on Apache Kafka, as a library.
//!
//! A topology of streams, tables and stores is described once and runs as tasks, one for each partition. State lives in
//! RocksDB on local disk and in changelog topics. Input offsets, state and output are committed together, exactly once.
//!
//! # A tour
//!
//! Topics are constants with types. A [`StreamsBuilder`](dsl::StreamsBuilder) describes what happens between them:
//!
//! ```
//! use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
//! use millpond::serde::{Int64, Null, Utf8};
//! use millpond::topology::{Topology, TopologyError};
//!
//! const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
//! const COUNTS: Topic<String, i64> = Topic::new("word-counts", &Utf8, &Int64);
//!
//! fn word_count() -> Result<Topology, TopologyError> {
//!     let builder = StreamsBuilder::new();
//!     builder
//!         .stream(&LINES)
//!         .flat_map_values(|(), line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
//!         .group_by(|(), word| word.clone(), Grouped::named("by-word", &Utf8, &Utf8))
//!         .count(Materialized::persistent("counts", &Utf8, &Int64))
//!         .updates()
//!         .to(&COUNTS);
//!     builder.build()
//! }
//! # word_count()?;
//! # Ok::<(), TopologyError>(())
//! ```
//!
//! [`Streams::start`](runtime::Streams::start) runs it on a real Kafka. `testing::TopologyTestDriver`, with the feature
//! `testing`, runs it through the same loop on a simulated one, with partitions, commits and crashes:
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore (needs the feature testing)")]
//! # use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
//! # use millpond::serde::{Int64, Null, Utf8};
//! # use millpond::topology::{Topology, TopologyError};
//! # const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
//! # const COUNTS: Topic<String, i64> = Topic::new("word-counts", &Utf8, &Int64);
//! # fn word_count() -> Result<Topology, TopologyError> {
//! #     let builder = StreamsBuilder::new();
//! #     builder
//! #         .stream(&LINES)
//! #         .flat_map_values(|(), line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
//! #         .group_by(|(), word| word.clone(), Grouped::named("by-word", &Utf8, &Utf8))
//! #         .count(Materialized::persistent("counts", &Utf8, &Int64))
//! #         .updates()
//! #         .to(&COUNTS);
//! #     builder.build()
//! # }
//! use millpond::testing::TopologyTestDriver;
//!
//! let mut driver = TopologyTestDriver::builder(word_count()?).partitions(3).build();
//! driver.pipe(&LINES, (), "mill pond mill".to_owned(), 1_000);
//! assert_eq!(driver.read_committed(&COUNTS), []); // nothing is visible before the commit
//! driver.crash();                                 // and nothing is lost
//! driver.commit();
//! assert_eq!(driver.read_committed(&COUNTS).len(), 3);
//! # Ok::<(), TopologyError>(())
//! ```
//!
//! Operators are listed at [`dsl`]. Nodes of your own, with stores and punctuators, are at [`processor`].
//!
//! # Layout
//!
//! | Module | Holds |
//! |---|---|
//! | [`dsl`] | topics, streams, tables, and their operators |
//! | [`processor`] | nodes written by hand |
//! | [`topology`] | the graph: sub-topologies, validation, internal topics, descriptions |
//! | [`serde`] | between values and bytes |
//! | [`formats`] | rows of stores as JSON, for queries and commands |
//! | [`state`] | stores: overlay, backends, changelog bytes |
//! | [`runtime`] | stream threads, the commit, the restore, configuration, health |
//! | [`broker`] | what the core needs from Kafka, as traits; the real and the simulated one |
//! | [`metrics`], `http` | what an operator sees |
//! | `aws` | credentials of a machine, pod or task on AWS |
//! | `testing` | the test driver, the simulation from seeds, and the facts that every broker must fulfil |
//! | [`record`], [`time`], [`error`], [`partitioner`] | the vocabulary |
//!
//! Dependencies point down only. `framework/ARCHITECTURE.md` in the repository has the picture, the protocol, and the test
//! behind each invariant.
//!
//! # Features
//!
//! | Feature | Brings | Default |
//! |---|---|---|
//! | `kafka` | `broker::kafka`, by librdkafka (C) | yes |
//! | `rocksdb` | `state::rocksdb` (C++) | yes |
//! | `aws` | `aws`: credentials by the default chain, tokens of RDS | no |
//! | `msk-iam` | tokens for Amazon MSK with IAM | no |
//! | `http` | `http`: metrics, health, topology and a status page | no |
//! | `metrics` | the rendering of metrics alone | no |
//! | `otel` | `otel`: spans of [`trace`] to a collector of OpenTelemetry | no |
//! | `testing` | `testing`; no C, no C++ | no |
//! | `failpoints` | [`failpoint`](mod@failpoint): places where tests kill the process; nothing without debug assertions | no |
//!
//! # What it is not
//!
//! No cluster and no scheduler: an application is an ordinary binary, and is scaled by starting it again. No SQL. Not
//! Kafka Streams: topics, partitioning and vocabulary match, state on disk does not, and both must not share an
//! `application.id`. Not there yet: windows, joins, session stores, standby tasks.
//!
//! Side effects in your code happen when a record is processed, so again when it is processed again: only what goes through
//! topics and stores happens exactly once.
//!
//! # Limits
//!
//! | What | Limit | Change it by |
//! |---|---|---|
//! | parallelism | as many tasks as the widest input of a sub-topology has partitions | more partitions, before the first start |
//! | time until a result is visible | 100 ms, the commit interval | `commit.interval.ms` |
//! | age of a transaction | half of 10 s; then it is committed early | `transaction.timeout.ms` |
//! | uncommitted rows in memory, per thread | 64 MiB; then it is committed early | `uncommitted.max.bytes` |
//! | records waiting in memory | 2,000 per partition, and 32 MiB per thread | `buffered.records.per.partition`, `input.buffer.max.bytes` |
//! | caches of rows and blocks (half each), and RocksDB's memtables, per process | 128 MiB, 64 MiB | `statestore.cache.max.bytes`, `statestore.write.buffer.max.bytes` |
//! | time that state may be away | half of what its changelogs keep deletions: 12 hours; then it is restored in full | `delete.retention.ms` of the changelog topics |
//! | stores connected to one processor | 4 in a tuple; tuples nest | |
//! | a key of a store | must not begin with the 12 bytes of `state::changelog::RESERVED_PREFIX` | |
//! | a name of a store or repartition | 200 letters, digits, `.`, `_` and `-` | |

// README.md cannot rot: its application is compiled here, and its test runs in tests/readme.rs.
#![cfg_attr(
    all(doctest, feature = "kafka", feature = "rocksdb"),
    doc = include_str!("../../README.md")
)]

mod arena;
#[cfg(feature = "aws")]
pub mod aws;
pub mod broker;
pub mod dsl;
pub mod error;
pub mod failpoint;
pub mod formats;
#[cfg(feature = "http")]
pub mod http;
pub mod metrics;
#[cfg(feature = "otel")]
pub mod otel;
pub mod partitioner;
pub mod processor;
pub mod record;
pub mod runtime;
mod secret;
pub mod serde;
pub mod state;
mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod topology;
pub mod trace;
