//! The application's clock jumps, while it runs and while it is down. It is the clock that stream threads are handed:
//! a library that fakes the whole process's clock stops the waits of librdkafka, which it does not know.

use std::path::PathBuf;

use millpond_harness::Error;

use super::{BINARY, Stage, io};

const HOUR_MS: i64 = 3_600_000;
/// Milliseconds from the true time: half an hour, a day back, a day and decades into the future, and true again.
const JUMPS: [i64; 6] = [HOUR_MS / 2, -HOUR_MS, -24 * HOUR_MS, 24 * HOUR_MS, 660_000 * HOUR_MS, -660_000 * HOUR_MS];

pub(super) fn play(stage: &mut Stage<'_>) -> Result<(), Error> {
    let file = stage.scene.dir().join("clock");
    set(&file, 0)?;
    let app = stage.scene.application(BINARY, "jumping").arg("--set=instance=a");
    stage.app = app.env("FAILPOINT_CLOCK", file.display().to_string());
    stage.app.start()?;
    stage.flow()?;
    for jump in JUMPS {
        set(&file, jump)?;
        stage.struck();
        if jump < HOUR_MS {
            stage.flow()?;
            // And over a restart: the disk then knows another time.
            stage.app.kill()?;
            stage.feed()?;
            stage.app.start()?;
            stage.drain()?;
        } else {
            // Brokers refuse records of more than an hour ahead (message.timestamp.after.max.ms): it ends, and says why.
            stage.feed()?;
            let status = stage.app.wait()?;
            if status.code() != Some(1) || !stage.app.log().contains("InvalidRecord") {
                stage.tally.complain(format!("clock: an hour ahead it ended with {status}"));
            }
            set(&file, 0)?;
            stage.app.start()?;
            stage.drain()?;
        }
    }
    stage.judge()
}

fn set(file: &PathBuf, offset_ms: i64) -> Result<(), Error> {
    // A whole file takes the place of a whole file: half a number is another time.
    let new = file.with_extension("new");
    std::fs::write(&new, offset_ms.to_string()).map_err(io("set the clock"))?;
    std::fs::rename(&new, file).map_err(io("set the clock"))
}
