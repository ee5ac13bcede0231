#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::PathBuf;

use millpond_scene::Shop;

use super::*;
use crate::options::Options;
use crate::report::{End, Report};

/// A process that gets no further, here because it is frozen: the wait for it ends, what each of its threads does is in a file,
/// with what it has said, and the run is not good.
#[test]
fn an_application_that_gets_nowhere_fails_the_run_with_the_stacks_of_its_threads() {
    let (scene, tally) = (Scene::new("stuck").unwrap().patience(Duration::from_secs(5)), Tally::default());
    let mut victim = Victim::new(&scene, &tally, "redaction", 1, false);
    victim.start(None, &[]).unwrap();
    assert_eq!(victim.await_commit().unwrap(), Seen::Committed);
    victim.a.process().unwrap().pause();
    let pid = victim.a.process().unwrap().pid();
    scene.feed(Shop::new(1).take(100)).unwrap();
    // As at the end of a round.
    let late = scene.drain("redaction").unwrap_err();
    let error = victim.stuck(&late.to_string()).to_string();
    assert!(error.contains("redaction: ") && error.contains("stacks are in"), "{error}");

    let file = std::env::temp_dir().join("millpond-stuck").join(format!("redaction.{pid}.stacks"));
    assert!(error.contains(&*file.to_string_lossy()), "{error}");
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    let stacks = fs::read_to_string(&file).unwrap();
    let told = stacks.lines().filter(|line| line.to_lowercase().starts_with("thread ")).count();
    assert!(told >= threads && threads > 5, "{told} of {threads} threads: {stacks}");
    assert!(stacks.contains("stream-0"), "the thread that does the work is among them: {stacks}");
    let log: PathBuf = file.with_extension("log");
    assert!(!fs::read_to_string(&log).unwrap().is_empty());
    assert!(victim.a.ended().unwrap().is_none(), "it was looked at, not ended");
    for file in [file, log] {
        fs::remove_file(file).unwrap();
    }

    let options = Options { kills: 0, seconds: 1, faults: vec![Fault::Kill], seed: 1, rate: 1, events: 0, json: true };
    let counts = tally.counts();
    let report = Report::new(&options, &counts, End { seconds: 1, by_time: false });
    assert_eq!((report.is_good(), &report.json()["stuck"]), (false, &1.into()));
}
