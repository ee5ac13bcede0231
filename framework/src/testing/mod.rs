//! Tests without a broker: [`TopologyTestDriver`] runs a topology on the simulated broker, through the same loop as in
//! production; [`Simulation`] runs it on several instances while everything goes wrong. [`contract`] holds what every broker, simulated or real, must fulfil.

pub mod contract;
mod driver;
pub mod simulation;
mod spans;

pub use driver::{DriverBuilder, TopologyTestDriver};
pub use simulation::Simulation;
pub use spans::RecordedSpans;
