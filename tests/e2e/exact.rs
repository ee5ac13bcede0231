//! Nothing goes wrong here.

use crate::scene::{BINARIES, Scene};
use crate::shop::Shop;

#[test]
fn all_four_applications_give_exactly_the_reference() {
    let scene = Scene::new("exact").unwrap();
    let mut applications = BINARIES.map(|binary| scene.application(binary, binary).started().unwrap());
    scene.feed(Shop::new(1).take(20_000)).unwrap();
    scene.close_bursts().unwrap();
    for binary in BINARIES {
        scene.verify(binary).unwrap();
    }
    for application in &mut applications {
        application.assert_sound().unwrap();
        application.stop().unwrap();
    }
}
