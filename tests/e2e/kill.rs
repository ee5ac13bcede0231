//! Processes are killed while events flow.

use std::time::{Duration, Instant};

use millpond_harness::Error;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use millpond_scene::{Application, BINARIES, Scene};

const KILLS: usize = 5;
/// The figure is 3 s on an idle machine; tests share theirs.
const RESTART_MAX: Duration = Duration::from_secs(10);
/// Nothing is lost with a process: at most the rows of the last transaction are not in the store.
const REPLAYED_MAX: u64 = 20_000;

#[test]
fn kill_nine_five_times_under_load_changes_nothing() {
    let scene = Scene::new("kill").unwrap();
    let tormented = scene
        .under_load(2, || {
            std::thread::scope(|scope| {
                let scene = &scene;
                let victims = BINARIES.map(|binary| scope.spawn(move || torment(scene, binary).unwrap()));
                victims.map(|victim| victim.join().unwrap())
            })
        })
        .unwrap();
    scene.close_bursts().unwrap();
    for (mut application, times, binary) in tormented {
        scene.verify(binary).unwrap().assert_clean();
        application.assert_sound().unwrap();
        application.stop().unwrap();
        let replayed = application.replayed().into_iter().skip(1).max().unwrap();
        let (median, max) = (times.get(KILLS / 2).unwrap(), times.last().unwrap());
        println!(
            "{}",
            json!({ "figure": "kill_to_first_commit", "application": binary, "kills": times.len(),
                "median_ms": median.as_millis(), "max_ms": max.as_millis(), "replayed_max": replayed })
        );
        assert!(*max <= RESTART_MAX, "{binary}: {max:?}");
        assert!(replayed <= REPLAYED_MAX, "{binary} replayed {replayed} rows");
    }
}

/// Kills the application at seeded moments; how long each restart took until its first commit, in order of length.
fn torment(scene: &Scene, binary: &'static str) -> Result<(Application, Vec<Duration>, &'static str), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(binary.len() as u64);
    let mut application = scene.application(binary, binary).started()?;
    application.wait_for_tasks(if binary == "redaction" { 4 } else { 8 })?;
    let mut times = Vec::new();
    for _ in 0..KILLS {
        let goal = scene.committed(binary)? + rng.random_range(1..4_000);
        scene.wait_until_committed(binary, goal)?;
        application.kill()?;
        let before = scene.committed(binary)?;
        let began = Instant::now();
        application.start()?;
        scene.wait_until_committed(binary, before + 1)?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok((application, times, binary))
}
