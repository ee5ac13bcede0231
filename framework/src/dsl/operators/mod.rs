//! The operators, one concept a file.

pub(crate) mod aggregate;
pub(crate) mod branch;
mod filter;
mod flat_map;
mod for_each;
mod map;
mod merge;
mod process;
pub(crate) mod repartition;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod table_source;
