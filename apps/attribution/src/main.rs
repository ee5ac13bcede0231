//! The attribution binary.

use std::process::ExitCode;

use attribution::{Settings, Topics, formats, topology};
use millpond_support::App;

const ATTRIBUTION: App<'static> = App {
    name: "attribution",
    about: "Finds the marketing channel of each confirmed order",
    version: env!("CARGO_PKG_VERSION"),
    defaults: &[
        ("application.id", "attribution"),
        ("app.input", "events"),
        ("app.output", "attributions"),
        ("errors.deserialization", "dead-letter"),
        ("errors.processing", "dead-letter"),
    ],
    placeholders: &[],
};

fn main() -> ExitCode {
    let program = ATTRIBUTION.program(|env| {
        let settings: Settings = env.config.app.get()?;
        Ok(topology(&Topics::named(&settings.input, &settings.output), settings.rule())?)
    });
    program.stores(formats()).main()
}
