//! libFuzzer on the target that `MILLPOND_FUZZ_TARGET` names.
#![no_main]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a program of a developer, configured by its starter"
)]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fn chosen() -> fn(&[u8]) {
    static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("MILLPOND_FUZZ_TARGET").expect("MILLPOND_FUZZ_TARGET names a target");
        millpond_fuzz::target(&name).expect("a target of that name; ./dev fuzz lists them")
    })
}

fuzz_target!(|bytes: &[u8]| chosen()(bytes));
