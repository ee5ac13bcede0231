//! The list of failpoints and their places in the code are the same, and no release build has any.
#![allow(clippy::unwrap_used, reason = "a test: what reads the files fails it where it stands")]
#![allow(dead_code, reason = "the other suite uses the rest of source.rs")]

mod source;

use std::collections::BTreeMap;

use source::files;

const LIST: &str = "framework/src/failpoint.rs";

/// The names in `failpoint::NAMES`.
fn listed() -> Vec<String> {
    let list = files("framework/src").into_iter().find(|file| file.path == LIST).unwrap().text;
    let names = list.split("pub const NAMES: &[&str] = &[").nth(1).unwrap().split("];").next().unwrap().to_owned();
    let lines = names.lines().map(str::trim).filter(|line| line.starts_with('"'));
    lines.map(|line| line.trim_matches(['"', ',']).to_owned()).collect()
}

/// How often each name is placed, the list itself left out.
fn placed() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in ["framework/src", "apps"].into_iter().flat_map(files).filter(|file| file.path != LIST) {
        for place in file.text.split("failpoint!(\"").skip(1) {
            let name = place.split('"').next().unwrap().to_owned();
            found.entry(name).or_default().push(file.path.clone());
        }
    }
    found
}

#[test]
fn every_failpoint_is_placed_once_and_no_other_is() {
    let (listed, placed) = (listed(), placed());
    assert!(listed.len() > 50, "{listed:?}");
    for name in &listed {
        let here = placed.get(name).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(here.len(), 1, "{name} is placed in {here:?}");
    }
    for (name, places) in &placed {
        assert!(listed.contains(name), "{name} in {places:?} is not in failpoint::NAMES");
    }
}

/// Whatever features a release is built with: without debug assertions the macro is empty.
#[test]
fn a_release_build_has_no_failpoint() {
    let text = files("framework/src").into_iter().find(|file| file.path == LIST).unwrap().text;
    let (with, without) = ("#[cfg(all(feature = \"failpoints\", debug_assertions))]", "#[cfg(not(all(");
    let macros: Vec<_> = text.split("#[macro_export]").collect();
    assert_eq!(macros.len(), 3, "one macro with failpoints, one without");
    assert!(macros[0].trim_end().ends_with(with), "{}", macros[0]);
    assert!(macros[1].trim_end().lines().next_back().unwrap().starts_with(without), "{}", macros[1]);
    assert!(macros[2].contains("($name:literal) => {};"), "{}", macros[2]);
    let manifest = std::fs::read_to_string(source::root().join("Cargo.toml")).unwrap();
    let release = manifest.split("[profile.release]").nth(1).unwrap();
    assert!(!release.contains("debug-assertions"), "{release}");
}
