//! Nothing goes wrong here.

use millpond_scene::{BINARIES, Scene, Shop};

use super::verify_and_stop;

#[test]
fn two_threads_in_each_process_give_exactly_the_reference() {
    let scene = Scene::new("threads").unwrap();
    let mut applications =
        BINARIES.map(|binary| scene.application(binary, binary).arg("--threads=2").started().unwrap());
    let tormented = &mut applications;
    let loaded = scene.under_load(7, || {
        for application in tormented.iter_mut() {
            application.kill().unwrap();
            application.start().unwrap();
        }
        for (application, binary) in tormented.iter_mut().zip(BINARIES) {
            application.wait_for_tasks(if binary == "redaction" { 4 } else { 8 }).unwrap();
            let goal = scene.committed(binary).unwrap() + 5_000;
            scene.wait_until_committed(binary, goal).unwrap();
        }
    });
    loaded.unwrap();
    verify_and_stop(&scene, &mut applications);
}

#[test]
fn all_four_applications_give_exactly_the_reference() {
    let scene = Scene::new("exact").unwrap();
    let mut applications = BINARIES.map(|binary| scene.application(binary, binary).started().unwrap());
    scene.feed(Shop::new(1).take(20_000)).unwrap();
    scene.close_bursts().unwrap();
    for binary in BINARIES {
        scene.verify(binary).unwrap().assert_clean();
    }
    for application in &mut applications {
        application.assert_sound().unwrap();
        application.stop().unwrap();
    }
}
