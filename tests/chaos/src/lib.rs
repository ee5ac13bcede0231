//! `./dev chaos`: the four applications under load, while they and what they stand on are killed, frozen and damaged; then
//! an oracle that knows every result.
//!
//! A run is made of rounds. A round has topics, a database and states of its own, four applications, and a thread for each
//! that torments it. When all injections of the round are done the load ends, everything drains, and every output, dead
//! letter, row in PostgreSQL and row of a store is compared. A run in which no fault was hit fails; so does one that
//! stands still.

mod evidence;
mod fault;
mod nemesis;
mod options;
mod points;
mod report;
mod round;
mod run;
mod scenario;
mod servers;
mod stuck;
mod tally;
mod victim;

pub use fault::Fault;
pub use options::Options;
pub use report::Report;
pub use run::run;
