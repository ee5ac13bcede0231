//! The application's clock jumps, by libfaketime, while it runs and while it is down.

use std::path::{Path, PathBuf};

use millpond_harness::Error;

use super::{BINARY, Stage, io};

const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];
/// Seconds from the true time: an hour, a day, back, far into the future, and true again.
const JUMPS: [&str; 7] = ["+3600", "-3600", "+86400", "-86400", "+0", "+2400000000", "+0"];

pub(super) fn play(stage: &mut Stage<'_>) -> Result<(), Error> {
    let library = LIBRARIES.iter().find(|path| Path::new(path).exists());
    let Some(library) = library else { return Ok(()) };
    let file = stage.scene.dir().join("clock");
    set(&file, "+0")?;
    let app = stage.scene.application(BINARY, "jumping").arg("--set=instance=a");
    stage.app = app
        .env("LD_PRELOAD", *library)
        .env("FAKETIME_TIMESTAMP_FILE", file.display().to_string())
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    stage.app.start()?;
    stage.flow()?;
    for jump in JUMPS {
        set(&file, jump)?;
        stage.flow()?;
        stage.struck();
        // And over a restart: the disk then knows another time.
        stage.app.kill()?;
        stage.feed()?;
        stage.app.start()?;
        stage.drain()?;
    }
    stage.judge()
}

fn set(file: &PathBuf, offset: &str) -> Result<(), Error> {
    std::fs::write(file, offset).map_err(io("set the clock"))
}
