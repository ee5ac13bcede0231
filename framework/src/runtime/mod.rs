//! Stream threads and what they are told.

pub mod config;
