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
