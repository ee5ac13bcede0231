//! Offsets that an application keeps itself, beside the rows that it writes.

use std::collections::BTreeMap;
use std::error::Error;

use millpond::broker::TopicId;
use millpond::record::{Offset, TopicPartition};

/// Where the offsets are that count, for an application whose sink stores them in the same transaction as its rows. What the
/// group has committed only follows them.
pub trait OffsetTable {
    /// Where each partition goes on; those that were never read are not among them.
    ///
    /// # Errors
    /// When it cannot be read.
    fn offsets(&mut self) -> Result<BTreeMap<TopicPartition, Offset>, Box<dyn Error>>;

    /// Moves partitions, all or none, each with the id of its topic, and takes the right to write from whoever has it.
    ///
    /// # Errors
    /// When it cannot be written; whether it was, the offsets tell.
    fn move_to(&mut self, offsets: &BTreeMap<TopicPartition, (Offset, TopicId)>) -> Result<(), Box<dyn Error>>;
}
