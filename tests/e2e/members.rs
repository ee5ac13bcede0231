//! Processes of one application come and go.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use millpond_scene::{Application, Scene};

/// Two sub-topologies of four partitions.
const TASKS: usize = 8;
/// `session.timeout.ms`: so long the partitions of a dead member wait.
const SESSION: Duration = Duration::from_secs(10);

fn named(scene: &Scene, instance: &str) -> Application {
    scene.application("fraud", instance).arg(format!("--set=instance={instance}"))
}

fn share(one: &mut Application, other: &mut Application) {
    one.wait_for_tasks(TASKS / 2).unwrap();
    other.wait_for_tasks(TASKS / 2).unwrap();
}

#[test]
fn two_processes_join_and_leave_under_load() {
    let scene = Scene::new("members").unwrap();
    let mut stays = named(&scene, "stays");
    let mut restarts = named(&scene, "restarts");
    let mut leaves = named(&scene, "leaves").arg("--set=on.shutdown=leave");
    let mut dies = named(&scene, "dies");
    scene
        .under_load(3, || {
            stays.start().unwrap();
            stays.wait_for_tasks(TASKS).unwrap();
            restarts.start().unwrap();
            share(&mut stays, &mut restarts);

            // A restart: the partitions wait, and the others do not notice.
            let rebalances = stays.metric("millpond_rebalances_total", "").unwrap();
            restarts.stop().unwrap();
            restarts.start().unwrap();
            share(&mut stays, &mut restarts);
            assert_eq!(stays.metric("millpond_rebalances_total", "").unwrap().to_bits(), rebalances.to_bits());
            assert_eq!(restarts.replayed().last(), Some(&0), "a clean stop leaves nothing to replay");
        })
        .unwrap();
    restarts.kill().unwrap();
    scene
        .under_load(4, || {
            // Killed for good: the others wait for the session to end, no longer.
            let began = Instant::now();
            stays.wait_for_tasks(TASKS).unwrap();
            report("taken_over_after_kill", began.elapsed());

            leaves.start().unwrap();
            share(&mut stays, &mut leaves);
            let began = Instant::now();
            leaves.stop().unwrap();
            stays.wait_for_tasks(TASKS).unwrap();
            report("taken_over_after_leave", began.elapsed());
            assert!(began.elapsed() < SESSION, "a member that leaves is not waited for: {:?}", began.elapsed());

            // A machine is lost with its disk, and another takes its place: the same name, an empty directory.
            dies.start().unwrap();
            share(&mut stays, &mut dies);
            dies.kill().unwrap();
            fs::remove_dir_all(dies.state_dir()).unwrap();
            dies.start().unwrap();
            share(&mut stays, &mut dies);
            assert!(dies.replayed().last() > Some(&0), "the state comes from the changelog");
        })
        .unwrap();
    scene.close_bursts().unwrap();
    scene.verify("fraud").unwrap().assert_clean();
    for application in [&mut stays, &mut dies] {
        application.assert_sound().unwrap();
        application.stop().unwrap();
    }
}

#[test]
fn the_same_instance_twice_is_refused() {
    let scene = Scene::new("twice").unwrap();
    let process = |label| scene.application("attribution", label).arg("--set=instance=pod-0");
    let mut first = process("first");
    let mut second = process("second").beside(&first);
    let mut elsewhere = process("elsewhere");
    scene
        .under_load(5, || {
            first.start().unwrap();
            first.wait_for_tasks(TASKS).unwrap();

            // On the same machine the newcomer is refused before it does any harm.
            second.start().unwrap();
            assert_eq!(second.wait().unwrap().code(), Some(1));
            let said = second.log();
            assert!(said.contains("instance=pod-0 is already running here"), "{said}");
            let committed = scene.committed("attribution").unwrap();
            scene.wait_until_committed("attribution", committed + 1_000).unwrap();
            first.assert_sound().unwrap();

            // From another machine it fences the older one, which says why it ends.
            elsewhere.start().unwrap();
            assert_eq!(first.wait().unwrap().code(), Some(1));
            let said = first.log();
            assert!(said.contains("pod-0") && said.contains("same instance name"), "{said}");
            let waited = elsewhere.wait_for_tasks(TASKS);
            waited.unwrap_or_else(|error| panic!("{error}; the newcomer said\n{}", elsewhere.log()));
        })
        .unwrap();
    scene.verify("attribution").unwrap().assert_clean();
    elsewhere.assert_sound().unwrap();
    elsewhere.stop().unwrap();
}

fn report(figure: &str, time: Duration) {
    println!("{}", json!({ "figure": figure, "ms": time.as_millis() }));
}
