//! Questions about committed state, from anywhere to the stream thread that owns it.
//!
//! The thread answers between two rounds of its loop, from the committed rows of its running tasks: so rows, position and
//! ownership in an answer are of one moment, and nobody else ever holds a store open. Uncommitted writes are in overlays, which
//! an answer does not look into.
//!
//! It costs a thread that nobody asks one look into an empty queue per round. What many may cost it is bounded: the queue, the
//! questions and the time of a round, the rows and bytes of an answer.

mod desk;
mod question;
mod queue;

pub(crate) use desk::Desk;
pub use question::{Answer, Ask, Bound, Found, Position, Question, Refusal, Reply};
pub use queue::{Asker, Queries, Questions, queue};

use crate::broker::CommittedOffset;
use crate::task::address_of;

/// Where the process that committed this offset answers queries, `host:port`; `None` when it does not.
///
/// The address is committed with the offsets, in the same transaction: it changes hands with the partition, whatever the old
/// owner still believes, and also when the partition is idle, because a task commits once after its start.
pub fn application_server(committed: &CommittedOffset) -> Option<&str> {
    address_of(committed)
}
