//! The fraud binary.

use std::process::ExitCode;
use std::sync::Arc;

use fraud::{FraudStory, Settings, Topics, Totals, formats, told};
use millpond_support::{App, Mask};

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
    let totals = Arc::new(Totals::default());
    let counts = totals.clone();
    let program = FRAUD.program(|env| {
        let settings: Settings = env.config.app.get()?;
        Ok(told(&Topics::named(&settings.input, &settings.output), settings.rule(), &counts)?)
    });
    let program = program.story(|env| {
        let settings: Settings = env.config.app.get()?;
        Ok(Arc::new(FraudStory::new(totals.clone(), settings.rule(), Mask::new(settings.page_unmasked))))
    });
    program.stores(formats()).measures(totals.clone()).main()
}
