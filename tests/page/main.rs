//! The page of each application in a real Chromium: what it looks like on a phone and on a desk, that nobody is kept out, that
//! it follows what happens, and how fast it is there.
//!
//! `MILLPOND_PICTURES` names a directory for pictures of all that is looked at; `./dev pictures` sets it.
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]
#![allow(clippy::print_stdout, reason = "a test that is left out, and what was measured, must be seen")]

mod applications;
mod looks;
mod paint;
mod partitions;
mod stage;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use millpond_harness::{Browser, Scratch, Screen, Tab, axe};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);

const PHONE: Screen = Screen { width: 390, height: 844, dark: false, script: true };
const DESK: Screen = Screen { width: 1280, height: 900, dark: false, script: true };

/// What a person may look at the page with.
fn screens() -> [(&'static str, Screen); 4] {
    let dark = |screen| Screen { dark: true, ..screen };
    [("phone-light", PHONE), ("phone-dark", dark(PHONE)), ("desk-light", DESK), ("desk-dark", dark(DESK))]
}

/// Says that there is no browser here, and that these tests may pass without having looked at anything.
const NO_BROWSER: &str = "MILLPOND_NO_BROWSER";

/// A browser with a place for it; none only where somebody has said that there is none: a test cannot tell that it was left out.
fn browser() -> Option<(Browser, Scratch)> {
    match Browser::program().and_then(|_| axe()) {
        Ok(_) => {
            let scratch = Scratch::new("page").unwrap();
            Some((Browser::start(scratch.path()).unwrap(), scratch))
        }
        Err(missing) if std::env::var_os(NO_BROWSER).is_some() => {
            println!("left out: {missing}");
            None
        }
        Err(missing) => panic!("{missing}; or set {NO_BROWSER}=1 to leave out the tests that need a browser"),
    }
}

/// Keeps a picture, if somebody wants it.
fn picture(tab: &mut Tab<'_>, name: &str) {
    let Some(directory) = std::env::var_os("MILLPOND_PICTURES").map(PathBuf::from) else { return };
    fs::create_dir_all(&directory).unwrap();
    tab.picture(&directory.join(format!("{name}.png")), true).unwrap();
}

fn text(tab: &mut Tab<'_>, expression: &str) -> String {
    match tab.value(expression).unwrap() {
        Value::String(text) => text,
        other => panic!("{expression} is {other}"),
    }
}

/// Nothing is wrong with what is shown: no complaint of the browser, nobody else was asked, nothing sticks out at the side,
/// and axe finds nothing that is serious.
fn is_fine(tab: &mut Tab<'_>, url: &str, name: &str) {
    assert_eq!(tab.complaints().unwrap(), Vec::<String>::new(), "{name}");
    let elsewhere: Vec<String> = tab.requests().unwrap().into_iter().filter(|asked| !asked.starts_with(url)).collect();
    assert_eq!(elsewhere, Vec::<String>::new(), "{name}");
    let overflow = tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth").unwrap();
    assert_eq!(overflow, 0, "{name}");
    if tab.value("typeof axe").unwrap() == "undefined" {
        tab.value(&fs::read_to_string(axe().unwrap()).unwrap()).unwrap();
    }
    let found = tab.value(
        "axe.run(document, { resultTypes: ['violations'] }).then(({ violations, passes }) => ({
            rules: passes.length,
            serious: violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) =>
                `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ').slice(0, 2000)}`),
            others: violations.filter(({ impact }) => !['serious', 'critical'].includes(impact)).map(({ id }) => id),
        }))",
    );
    let found = found.unwrap();
    assert_eq!(found["serious"], serde_json::json!([]), "{name}");
    // What is less than serious is not wanted either.
    assert_eq!(found["others"], serde_json::json!([]), "{name}");
    assert!(found["rules"].as_u64().unwrap() > 20, "{name}: {found}");
}
