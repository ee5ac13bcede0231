//! Files of RocksDB are damaged while the application is down: found and never read, set aside, restored.

use std::fs;
use std::path::{Path, PathBuf};

use millpond_harness::Error;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{BINARY, Stage, io};

/// How often.
const DAMAGES: usize = 12;
/// What is damaged: tables, the log of writes, the manifest, the name of the manifest, the options.
const FILES: [&str; 5] = [".sst", ".log", "MANIFEST", "CURRENT", "OPTIONS"];

pub(super) fn play(stage: &mut Stage<'_>, seed: u64) -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    stage.app.start()?;
    stage.flow()?;
    for turn in 0..DAMAGES {
        // A stop leaves tables, a kill a log.
        if turn % 2 == 0 { stage.app.stop() } else { stage.app.kill() }?;
        let kind = FILES.get(turn % FILES.len()).copied().unwrap_or_default();
        let mut files = Vec::new();
        let root = stage.app.state_dir().join(stage.scene.topic(BINARY)).join("a");
        collect(&root, kind, &mut files).map_err(io("list a state"))?;
        if let Some(file) = files.choose(&mut rng) {
            damage(file, &mut rng).map_err(io("damage a file"))?;
            stage.struck();
        }
        stage.feed()?;
        stage.app.start()?;
        // It may meet the damage at once, later, or never.
        stage.drain()?;
    }
    stage.judge()
}

fn collect(dir: &Path, kind: &str, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.contains("corrupt") {
            collect(&path, kind, found)?;
        } else if (name.ends_with(kind) || name.starts_with(kind)) && path.metadata()?.len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

fn damage(file: &Path, rng: &mut ChaCha8Rng) -> std::io::Result<()> {
    let mut bytes = fs::read(file)?;
    let at = rng.random_range(0..bytes.len().max(1));
    match rng.random_range(0..4) {
        0 => bytes.truncate(at),
        1 => return fs::remove_file(file),
        2 => bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte = 0),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
    }
    fs::write(file, bytes)
}
