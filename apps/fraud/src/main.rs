//! The fraud binary.

use std::process::ExitCode;

use fraud::{Settings, Topics, formats, topology};
use millpond_support::App;

const FRAUD: App<'static> = App {
    name: "fraud",
    about: "Finds bursts of add_to_cart events and writes an alert for each",
    version: env!("CARGO_PKG_VERSION"),
    defaults: &[
        ("application.id", "fraud"),
        ("app.input", "events"),
        ("app.output", "fraud-detection"),
        ("errors.deserialization", "dead-letter"),
        ("errors.processing", "dead-letter"),
    ],
    placeholders: &[],
};

fn main() -> ExitCode {
    let program = FRAUD.program(|env| {
        let settings: Settings = env.config.app.get()?;
        Ok(topology(&Topics::named(&settings.input, &settings.output), settings.rule())?)
    });
    program.stores(formats()).main()
}
