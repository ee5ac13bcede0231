//! The attribution binary.

use std::process::ExitCode;
use std::sync::Arc;

use attribution::{AttributionStory, Settings, Topics, Totals, formats, told};
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
    let totals = Arc::new(Totals::default());
    let counts = totals.clone();
    let program = ATTRIBUTION.program(|env| {
        let settings: Settings = env.config.app.get()?;
        counts.name_channels(settings.channels());
        Ok(told(&Topics::named(&settings.input, &settings.output), settings.rule(), &counts)?)
    });
    let program = program.story(|_| Ok(Arc::new(AttributionStory(totals.clone()))));
    program.stores(formats()).measures(totals.clone()).main()
}
