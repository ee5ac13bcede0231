//! The DSL: streams and tables that are described once and run as tasks.
//!
//! Stores and repartitions are named by you; node names are generated as Kafka Streams generates them.
//!
//! | Operator of [`KStream`] | Makes of each record |
//! |---|---|
//! | `filter`, `filter_not` | the same record, or none |
//! | `map`, `map_values`, `select_key` | one record |
//! | `try_map` | one record with headers, or the reason why it is bad |
//! | `flat_map`, `flat_map_values` | any number of records |
//! | `peek`, `for_each` | a side effect |
//! | `split`, `merge` | branches by name; two streams as one |
//! | `repartition` | the same record, through a topic, so that equal keys meet in one task |
//! | `group_by`, `group_by_key` | a [`KGroupedStream`], with `count`, `reduce` and `aggregate` |
//! | `process` | what your [`Processor`](crate::processor::Processor) makes of it |
//! | `to`, `to_computed` | a record of a topic |
//!
//! `map`, `try_map`, `flat_map` and `select_key` may change the key. What comes after them and needs equal keys in one task
//! (grouping, a processor with stores) needs a repartition: `group_by_key` adds one by itself, `process` refuses to go without.
//!
//! # Stateless operators
//!
//! ```
//! use millpond::dsl::{StreamsBuilder, Topic};
//! use millpond::serde::{Int64, Utf8};
//!
//! const READINGS: Topic<String, i64> = Topic::new("readings", &Utf8, &Int64);
//! const ALARMS: Topic<String, i64> = Topic::new("alarms", &Utf8, &Int64);
//! const ARCHIVE: Topic<String, i64> = Topic::new("archive", &Utf8, &Int64);
//!
//! let builder = StreamsBuilder::new();
//! let readings = builder
//!     .stream(&READINGS)
//!     .filter(|_sensor, value| *value >= 0)
//!     .map_values(|_sensor, value| value * 10)
//!     .peek(|sensor, _value| assert!(!sensor.is_empty()));
//! let branches = readings
//!     .split()
//!     .branch("high", |_sensor, value| *value > 900)
//!     .default_branch("rest")
//!     .build();
//! branches["high"].to(&ALARMS);
//! branches["high"].merge(&branches["rest"]).to(&ARCHIVE);
//! let topology = builder.build()?;
//! # #[cfg(feature = "testing")] {
//! # let mut driver = millpond::testing::TopologyTestDriver::builder(topology).build();
//! driver.pipe(&READINGS, "s1".to_owned(), 95, 1);
//! driver.pipe(&READINGS, "s1".to_owned(), -1, 2);
//! driver.pipe(&READINGS, "s2".to_owned(), 7, 3);
//! driver.commit();
//! assert_eq!(driver.read_committed(&ALARMS), [("s1".to_owned(), 950)]);
//! assert_eq!(driver.read_committed(&ARCHIVE), [("s1".to_owned(), 950), ("s2".to_owned(), 70)]);
//! # }
//! # Ok::<(), millpond::topology::TopologyError>(())
//! ```
//!
//! # Other keys
//!
//! ```
//! use millpond::dsl::{Repartitioned, StreamsBuilder, Topic};
//! use millpond::processor::ProcessorError;
//! use millpond::serde::{Null, Utf8};
//!
//! const LINES: Topic<(), String> = Topic::new("lines", &Null, &Utf8);
//! const WORDS: Topic<String, String> = Topic::new("words", &Utf8, &Utf8);
//!
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream(&LINES)
//!     .flat_map(|(), line| line.split(' ').map(|word| ((), word.to_owned())).collect::<Vec<_>>())
//!     .try_map(|record| match record.value.len() {
//!         0 => Err(ProcessorError::bad_record("empty_word")),
//!         _ => Ok(record),
//!     })
//!     .select_key(|(), word| word.to_lowercase())
//!     .repartition(Repartitioned::named("by-word", &Utf8, &Utf8))
//!     .to(&WORDS);
//! let topology = builder.build()?;
//! assert_eq!(topology.subtopologies().len(), 2); // before and behind the repartition
//! # Ok::<(), millpond::topology::TopologyError>(())
//! ```
//!
//! # Aggregations and tables
//!
//! ```
//! use millpond::dsl::{Grouped, Materialized, StreamsBuilder, Topic};
//! use millpond::serde::{Int64, Nullable, Utf8};
//!
//! const PRICES: Topic<String, i64> = Topic::new("prices", &Utf8, &Int64);
//! const HIGHEST: Topic<String, i64> = Topic::new("highest", &Utf8, &Int64);
//! const TOTALS: Topic<String, i64> = Topic::new("totals", &Utf8, &Int64);
//! const LATEST: Topic<String, Option<i64>> = Topic::new("latest", &Utf8, &Nullable(Int64));
//!
//! let builder = StreamsBuilder::new();
//! let prices = builder.stream(&PRICES).group_by_key(Grouped::named("prices", &Utf8, &Int64));
//! prices.reduce(|a, b| a.max(b), Materialized::persistent("highest", &Utf8, &Int64)).updates().to(&HIGHEST);
//! prices
//!     .aggregate(|| 0, |_item, price, total| *total += price, Materialized::in_memory("totals", &Utf8, &Int64))
//!     .updates()
//!     .to(&TOTALS);
//! let topology = builder.build()?;
//! # #[cfg(feature = "testing")] {
//! # let mut driver = millpond::testing::TopologyTestDriver::builder(topology).build();
//! for price in [3, 9, 5] {
//!     driver.pipe(&PRICES, "mill".to_owned(), price, 1);
//! }
//! driver.commit();
//! assert_eq!(driver.read_committed(&HIGHEST).last(), Some(&("mill".to_owned(), 9)));
//! assert_eq!(driver.read_committed(&TOTALS).last(), Some(&("mill".to_owned(), 17)));
//! # }
//!
//! // A table keeps the latest value of each key; null deletes.
//! let builder = StreamsBuilder::new();
//! let table = builder.table(&PRICES, Materialized::persistent("latest", &Utf8, &Int64));
//! table.to_stream().to(&LATEST);
//! # builder.build()?;
//! # Ok::<(), millpond::topology::TopologyError>(())
//! ```

mod builder;
mod grouped;
mod kstream;
mod ktable;
mod materialized;
mod operators;
mod store_ref;
mod topic;

pub use builder::StreamsBuilder;
pub use grouped::{Grouped, KGroupedStream, Repartitioned};
pub use kstream::{Branched, KStream};
pub use ktable::{Change, KTable};
pub use materialized::{Materialized, Stores};
pub use operators::branch::Split;
pub use store_ref::{ConnectStores, KeyValueStoreRef, StoreOpener};
pub use topic::Topic;
