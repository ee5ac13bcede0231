//! The Processor API: a node written by hand, with stores, punctuators and full control over what it forwards.

mod context;
mod error;
pub(crate) mod graph;
mod punctuation;

pub use context::Context;
pub(crate) use context::TaskContext;
pub use error::{ProcessorError, Reason};
pub use punctuation::{Punctuation, ScheduleId};

use crate::record::Record;
use crate::time::Timestamp;

/// A node that sees every record of its parents.
///
/// One instance per task; it is made again whenever the task is restored, so fields are a cache at most: what must
/// survive belongs into a store. It runs on one thread, hence needs neither `Send` nor locks.
///
/// A processor with a store and a punctuator: it counts, and reports all counts every minute of stream time.
///
/// ```
/// use std::time::Duration;
///
/// use millpond::dsl::{Stores, StreamsBuilder, Topic};
/// use millpond::processor::{Context, Processor, ProcessorError, Punctuation, ScheduleId};
/// use millpond::record::Record;
/// use millpond::serde::{Int64, Utf8};
/// use millpond::state::KeyValueStore;
/// use millpond::time::Timestamp;
///
/// const VISITS: Topic<String, String> = Topic::new("visits", &Utf8, &Utf8);
/// const REPORT: Topic<String, i64> = Topic::new("report", &Utf8, &Int64);
///
/// struct Counter {
///     counts: KeyValueStore<String, i64>,
/// }
///
/// impl Processor for Counter {
///     type KIn = String;
///     type VIn = String;
///     type KOut = String;
///     type VOut = i64;
///
///     fn init(&mut self, context: &mut Context<'_, String, i64>) -> Result<(), ProcessorError> {
///         context.schedule(Duration::from_secs(60), Punctuation::StreamTime);
///         Ok(())
///     }
///
///     fn process(
///         &mut self,
///         record: Record<String, String>,
///         _context: &mut Context<'_, String, i64>,
///     ) -> Result<(), ProcessorError> {
///         let count = self.counts.get(&record.key)?.unwrap_or(0);
///         self.counts.put(&record.key, &(count + 1))?;
///         Ok(())
///     }
///
///     fn punctuate(
///         &mut self,
///         _schedule: ScheduleId,
///         at: Timestamp,
///         context: &mut Context<'_, String, i64>,
///     ) -> Result<(), ProcessorError> {
///         for row in self.counts.all()? {
///             let (user, count) = row?;
///             context.forward(Record::new(user, count, at))?;
///         }
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// let counts = builder.key_value_store(Stores::persistent("counts", &Utf8, &Int64));
/// builder.stream(&VISITS).process("counter", &counts, |counts| Counter { counts }).to(&REPORT);
/// let topology = builder.build()?;
/// # #[cfg(feature = "testing")] {
/// # let mut driver = millpond::testing::TopologyTestDriver::builder(topology).build();
/// for at_ms in [0, 10_000, 61_000] {
///     driver.pipe(&VISITS, "u1".to_owned(), "/".to_owned(), at_ms);
/// }
/// driver.commit();
/// assert_eq!(driver.read_committed(&REPORT), [("u1".to_owned(), 3)]);
/// assert_eq!(driver.get(&counts, &"u1".to_owned()), Some(3));
/// # }
/// # Ok::<(), millpond::topology::TopologyError>(())
/// ```
pub trait Processor: 'static {
    /// Key type it receives.
    type KIn: 'static;
    /// Value type it receives.
    type VIn: 'static;
    /// Key type it forwards.
    type KOut: Clone + 'static;
    /// Value type it forwards.
    type VOut: Clone + 'static;

    /// Called once before the first record: the place to [schedule](Context::schedule) punctuators.
    ///
    /// # Errors
    /// An error stops the task.
    fn init(&mut self, _context: &mut Context<'_, Self::KOut, Self::VOut>) -> Result<(), ProcessorError> {
        Ok(())
    }

    /// Called for every record.
    ///
    /// # Errors
    /// An error about the record ([`ProcessorError::bad_record`], a serde) goes to the error policy: stop, or dead-letter. In the
    /// second case the store writes and outputs that this record made before the error are taken back.
    fn process(
        &mut self,
        record: Record<Self::KIn, Self::VIn>,
        context: &mut Context<'_, Self::KOut, Self::VOut>,
    ) -> Result<(), ProcessorError>;

    /// Called when a schedule made in [`init`](Self::init) or later is due: at stream time or wall-clock time `at`.
    ///
    /// # Errors
    /// An error stops the task.
    fn punctuate(
        &mut self,
        _schedule: ScheduleId,
        _at: Timestamp,
        _context: &mut Context<'_, Self::KOut, Self::VOut>,
    ) -> Result<(), ProcessorError> {
        Ok(())
    }

    /// Called when the task gives the instance up in order: closed, or suspended. Not called after a crash or an abort.
    fn close(&mut self) {}
}
