//! The file system of the state is full: the application stops by name, and goes on when there is room.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use millpond_harness::{Error, try_wait_for};
use millpond_scene::LIMIT;

use super::{Stage, io};

const SIZE: &str = "size=256m";

/// A file system in memory, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// Only root may mount; nobody else can have this fault.
    fn new(dir: PathBuf) -> Result<Option<Self>, Error> {
        std::fs::create_dir_all(&dir).map_err(io("make a mount point"))?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&dir).output();
        Ok(mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir)))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that was killed just now may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

pub(super) fn play(stage: &mut Stage<'_>) -> Result<(), Error> {
    let Some(mount) = Mount::new(stage.scene.dir().join("small"))? else { return Ok(()) };
    let app = stage.scene.application(super::BINARY, "small").arg("--set=instance=a");
    stage.app = app.state_in(&mount.0.join("state"));
    stage.app.start()?;
    stage.flow()?;
    for at_start in [false, true] {
        let ballast = mount.0.join("ballast");
        if at_start {
            stage.app.kill()?;
        }
        fill(&ballast)?;
        if at_start {
            stage.app.start()?;
        }
        // Full now: some write of the next commits must fail, and then the process must not go on as if nothing was.
        let app = &mut stage.app;
        for _ in 0..20 {
            if app.ended()?.is_some() {
                break;
            }
            stage.events += super::EVENTS as u64;
            stage.scene.feed(stage.shop.by_ref().take(super::EVENTS))?;
            std::thread::park_timeout(Duration::from_millis(500));
        }
        if app.ended()?.is_none() && !app.log().to_lowercase().contains("no space") {
            stage.tally.complain("disk-full: the full disk was not met");
        }
        std::fs::remove_file(&ballast).map_err(io("make room"))?;
        stage.tally.injected(stage.fault);
        let app = &mut stage.app;
        // A process that has ended is started by its supervisor, until it stays.
        try_wait_for(LIMIT, "it runs again", || {
            if app.ended()?.is_some() {
                app.start()?;
            }
            Ok(app.journal().first_commit_ms().map(drop))
        })?;
        stage.drain()?;
    }
    stage.judge()?;
    drop(mount);
    Ok(())
}

/// Writes until nothing more fits.
fn fill(path: &std::path::Path) -> Result<(), Error> {
    let mut file = std::fs::File::create(path).map_err(io("make a file"))?;
    for block in [vec![0_u8; 1 << 20], vec![0; 4096], vec![0; 1]] {
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }
    Ok(())
}
