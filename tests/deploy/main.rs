//! The files below `apps/deploy` and the code cannot drift apart: what they grant, set, probe and name is what there is.
//!
//! What these tests cannot see, because it needs a cloud or a Docker daemon, is said in `apps/deploy/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod acls;
mod authorization;
mod compose;
mod database;
mod files;
mod image;
mod kubernetes;
mod missing;
mod queries;
mod rendered;
mod restarts;
mod rights;
