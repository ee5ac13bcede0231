//! Stream threads and what they are told.

pub mod config;
pub mod health;
pub mod stats;
