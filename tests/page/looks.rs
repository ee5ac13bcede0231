//! The page of an application that is played, with 64 partitions.

use std::time::{Duration, Instant};

use millpond_harness::{Screen, Tab};

use crate::paint::is_soon_painted;
use crate::stage::{PARTITIONS, Scene, Stage};
use crate::{DESK, LIMIT, PHONE, browser, is_fine, picture, screens, text};

/// Plays on until the page shows what it is to show.
fn play_until(tab: &mut Tab<'_>, stage: &Stage, round: &mut u64, scene: Scene, fact: &str) {
    let begun = Instant::now();
    while tab.value(fact).unwrap() != true {
        assert!(begun.elapsed() < LIMIT, "{fact} is not so");
        *round += 1;
        stage.play(*round, scene);
        // The browser shows what it was sent between two questions.
        tab.value("new Promise(requestAnimationFrame)").unwrap();
    }
}

#[test]
fn everybody_can_use_it_on_a_phone_and_on_a_desk_in_light_and_dark() {
    let Some((mut browser, _scratch)) = browser() else { return };
    let stage = Stage::new();
    let mut round = 1;
    for (scene, name) in [(Scene::Well, "well"), (Scene::Restoring, "restoring"), (Scene::Failed, "failed")] {
        stage.play(round, scene);
        // Two of the four show what is left of the third scene.
        for (look, screen) in screens().into_iter().skip(if scene == Scene::Failed { 2 } else { 0 }) {
            let name = format!("{name}-{look}");
            let mut tab = browser.tab(screen).unwrap();
            tab.go(&stage.url()).unwrap();
            // With rates, and with what was sent again.
            let flows = "document.getElementById('link').textContent === 'live' \
                && document.querySelectorAll('.edge.flows, .edge.late').length > 3";
            play_until(&mut tab, &stage, &mut round, scene, flows);
            let tasks = tab.value("document.querySelectorAll('#tasks tbody tr').length").unwrap();
            assert_eq!(tasks, 2 * PARTITIONS, "{name}");
            is_fine(&mut tab, &stage.url(), &name);
            picture(&mut tab, &name);
        }
    }
}

#[test]
fn it_is_painted_within_the_fifth_of_a_second_with_64_partitions() {
    let Some((mut browser, _scratch)) = browser() else { return };
    let stage = Stage::new();
    stage.play(1, Scene::Restoring);
    is_soon_painted(&mut browser, &stage.url(), &format!("a page with {PARTITIONS} partitions"));
}

#[test]
fn what_happens_is_shown_and_what_a_person_did_stays() {
    let Some((mut browser, _scratch)) = browser() else { return };
    let stage = Stage::new();
    let mut round = 1;
    stage.play(round, Scene::Well);
    let mut tab = browser.tab(DESK).unwrap();
    tab.go(&stage.url()).unwrap();
    tab.value(
        "{ const details = document.querySelector('#stores details'); details.open = true;
           const table = document.querySelector('#tasks .tall'); table.scrollTop = 200;
           document.querySelector('#tasks a[href*=lag]').focus(); window.kept = document.activeElement; }",
    )
    .unwrap();
    let restores = "document.querySelectorAll('#tasks tbody progress').length > 10";
    play_until(&mut tab, &stage, &mut round, Scene::Restoring, restores);
    for stays in [
        "document.activeElement === window.kept",
        "document.querySelector('#stores details').open",
        "document.querySelector('#tasks .tall').scrollTop === 200",
        "document.title === 'fraud: not ready'",
        "document.querySelector('#summary .reasons').textContent.includes('task 0_1 is restoring')",
    ] {
        assert_eq!(tab.value(stays).unwrap(), true, "{stays}");
    }
    // An estimate needs a second look at a restore that moves.
    let left = "document.querySelector('#tasks .restoring').textContent.includes('left')";
    play_until(&mut tab, &stage, &mut round, Scene::Restoring, left);
    // Who reads a number can make it stand still.
    tab.value("document.getElementById('pause').click()").unwrap();
    assert_eq!(text(&mut tab, "document.getElementById('link').textContent"), "paused");
    let before = text(&mut tab, "document.querySelector('#tasks tbody').textContent");
    round += 100;
    stage.play(round, Scene::Restoring);
    let later =
        "new Promise((told) => setTimeout(() => told(document.querySelector('#tasks tbody').textContent), 2500))";
    assert_eq!(text(&mut tab, later), before);
    tab.value("document.getElementById('pause').click()").unwrap();
    play_until(&mut tab, &stage, &mut round, Scene::Well, "document.title === 'fraud: ready'");
    assert_eq!(tab.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn nothing_is_missing_without_javascript() {
    let Some((mut browser, _scratch)) = browser() else { return };
    let stage = Stage::new();
    stage.play(1, Scene::Restoring);
    let mut tab = browser.tab(Screen { script: false, ..PHONE }).unwrap();
    tab.go(&stage.url()).unwrap();
    assert_eq!(tab.value("document.querySelectorAll('#tasks tbody tr').length").unwrap(), 2 * PARTITIONS);
    assert_eq!(tab.value("document.getElementById('pause').hidden").unwrap(), true);
    assert_eq!(text(&mut tab, "document.title"), "fraud: not ready");
    picture(&mut tab, "without-javascript");
    stage.play(2, Scene::Well);
    // By itself, every five seconds.
    tab.loaded(LIMIT).unwrap();
    assert_eq!(text(&mut tab, "document.title"), "fraud: ready");
    // The order of the tasks is a link.
    tab.go(&format!("{}?sort=lag", stage.url())).unwrap();
    let first = "document.querySelector('#tasks tbody td:nth-of-type(6)').textContent";
    assert_eq!(text(&mut tab, first), "18");
    assert_eq!(tab.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn a_keyboard_is_enough() {
    let Some((mut browser, _scratch)) = browser() else { return };
    let stage = Stage::new();
    stage.play(1, Scene::Well);
    let mut tab = browser.tab(DESK).unwrap();
    tab.go(&stage.url()).unwrap();
    let focus = "(document.activeElement.id || document.activeElement.getAttribute('href') || document.activeElement.className)";
    tab.press("Tab").unwrap();
    assert_eq!(text(&mut tab, focus), "#main");
    let shown = "document.activeElement.getBoundingClientRect().left >= 0";
    assert_eq!(tab.value(shown).unwrap(), true, "the way past the navigation is seen when it has the focus");
    tab.press("Enter").unwrap();
    tab.wait_until("document.activeElement.id === 'main'", LIMIT).unwrap();
    // Each stop shows where it is, and everything that scrolls or opens is one of them.
    let mut stops = Vec::new();
    for _ in 0..40 {
        tab.press("Tab").unwrap();
        let outlined = "document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'";
        assert_eq!(tab.value(outlined).unwrap(), true, "{}", text(&mut tab, "document.activeElement.outerHTML"));
        stops.push(text(
            &mut tab,
            "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent",
        ));
    }
    for stop in ["Picture of the topology", "Table of tasks", "Lag", "In words", "By task", "metrics"] {
        assert!(stops.iter().any(|have| have == stop), "{stop} is not among {stops:?}");
    }
    tab.value("document.querySelector('#tasks a[href*=lag]').focus()").unwrap();
    tab.press("Enter").unwrap();
    tab.wait_until("document.querySelector('[aria-sort=descending]') !== null", LIMIT).unwrap();
}

#[test]
fn it_says_when_nobody_answers_and_goes_on_when_somebody_does() {
    let Some((mut browser, _scratch)) = browser() else { return };
    let mut stage = Stage::new();
    stage.play(1, Scene::Well);
    let mut tab = browser.tab(PHONE).unwrap();
    tab.go(&stage.url()).unwrap();
    tab.wait_until("document.getElementById('link').textContent === 'live'", LIMIT).unwrap();
    let begun = Instant::now();
    stage.end();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "a page that is open holds the application up: {:?}",
        begun.elapsed()
    );
    tab.wait_until("document.getElementById('link').textContent.startsWith('no answer since')", LIMIT).unwrap();
    stage.begin();
    tab.wait_until("document.getElementById('link').textContent === 'live'", LIMIT).unwrap();
}
