//! The redaction binary.

use std::process::ExitCode;
use std::sync::Arc;

use millpond_support::App;
use redaction::{EVENTS, PROCESSED_EVENTS, RedactionStory, Settings, Totals, topology};

const REDACTION: App<'static> = App {
    name: "redaction",
    about: "Replaces e-mail addresses anywhere in the events",
    version: env!("CARGO_PKG_VERSION"),
    defaults: &[
        ("application.id", "redaction"),
        ("app.input", "events"),
        ("app.output", "processed_events"),
        ("errors.deserialization", "dead-letter"),
        ("errors.processing", "dead-letter"),
        // What could not be redacted must not be copied: a dead letter only says where the record is.
        ("errors.dead.letter.queue.payload", "omit"),
    ],
    placeholders: &[],
};

fn main() -> ExitCode {
    let totals = Arc::new(Totals::default());
    let counts = totals.clone();
    let program = REDACTION.program(move |env| {
        let settings: Settings = env.config.app.get()?;
        let (input, output) = (EVENTS.named(&settings.input), PROCESSED_EVENTS.named(&settings.output));
        Ok(topology(&input, &output, settings.redactor(), &counts)?)
    });
    let program = program.story(|env| {
        let settings: Settings = env.config.app.get()?;
        Ok(Arc::new(RedactionStory::new(totals.clone(), settings.redactor())))
    });
    program.measures(totals.clone()).main()
}
