//! The four applications as processes, on a real Kafka and a real PostgreSQL: exact results whatever happens to them.
//!
//! Nothing here waits for time to pass: every wait names the fact that it waits for. Measured figures are printed as one
//! line of JSON each; `cargo test -p millpond-tests --test e2e -- --nocapture` shows them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test panics where it fails"
)]

mod demo;
mod exact;
mod kill;
mod members;
mod queries;
mod size;
mod torn;
mod wire;

use millpond_scene::{Application, BINARIES, Scene};

/// Everything is through: the results of all four are right, they have nothing to say against themselves, and they end.
fn verify_and_stop(scene: &Scene, applications: &mut [Application; 4]) {
    scene.close_bursts().unwrap();
    for (binary, application) in BINARIES.iter().zip(applications) {
        scene.verify(binary).unwrap().assert_clean();
        application.assert_sound().unwrap();
        application.stop().unwrap();
    }
}
