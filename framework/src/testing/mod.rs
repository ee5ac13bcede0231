//! Tests without a broker: [`TopologyTestDriver`] runs a topology on the simulated broker, through the same loop as in
//! production.

mod driver;

pub use driver::{DriverBuilder, TopologyTestDriver};
