//! Tests without a broker: [`TopologyTestDriver`] runs a topology on the simulated broker, through the same loop as in
//! production. [`contract`] holds what every broker, simulated or real, must fulfil.

pub mod contract;
mod driver;

pub use driver::{DriverBuilder, TopologyTestDriver};
