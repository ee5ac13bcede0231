#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where it fails")]

use std::collections::BTreeSet;

use cyclonedx_bom::prelude::{Bom, SpecVersion, Validate};

use super::*;

/// By CycloneDX's own library, which shares no code with what writes the bill.
#[test]
fn the_bill_is_valid_and_names_crates_and_what_they_compile_from_c() {
    let bill = bill().unwrap();
    let parsed = Bom::parse_from_json_v1_5(bill.to_string().as_bytes()).unwrap();
    let validity = parsed.validate_version(SpecVersion::V1_5);
    assert!(validity.passed(), "{validity:?}");
    let components = bill["components"].as_array().unwrap();
    let names: BTreeSet<&str> = components.iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in
        ["librdkafka", "rocksdb", "lz4", "zstd", "zlib", "openssl", "jemalloc", "ring-core", "millpond", "sqlx", "axum"]
    {
        assert!(names.contains(name), "{name} is missing from {names:?}");
    }
    // Tools of developers are not shipped.
    for name in ["libfuzzer-sys", "criterion", "trybuild", "millpond-harness", "bindgen", "cc"] {
        assert!(!names.contains(name), "{name} is no part of an application");
    }
    for component in components {
        let foreign =
            component.get("hashes").is_some() || component["purl"].as_str().unwrap().starts_with("pkg:generic/");
        let ours = component["licenses"][0]["expression"] == "Apache-2.0";
        assert!(foreign || ours, "{component}");
        assert!(component.get("licenses").is_some(), "{component}");
    }
}

#[test]
fn everything_depends_on_something_that_is_in_the_bill() {
    let bill = bill().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut references: Vec<String> =
        bill["components"].as_array().unwrap().iter().map(|one| text(&one["bom-ref"])).collect();
    references.push("millpond".to_owned());
    let unique: BTreeSet<String> = references.iter().cloned().collect();
    assert_eq!(unique.len(), references.len(), "each has a name of its own");
    let dependencies = bill["dependencies"].as_array().unwrap();
    let told: BTreeSet<String> = dependencies.iter().map(|one| text(&one["ref"])).collect();
    assert_eq!(told, unique);
    for dependency in dependencies {
        for on in dependency["dependsOn"].as_array().unwrap() {
            assert!(unique.contains(on.as_str().unwrap()), "{dependency}");
        }
    }
    let rdkafka = dependencies.iter().find(|one| text(&one["ref"]).starts_with("pkg:cargo/rdkafka-sys@")).unwrap();
    assert!(rdkafka["dependsOn"].to_string().contains("pkg:generic/librdkafka@"), "{rdkafka}");
}
