//! The `millpond` binary: the commands for any application of the library, by its `application.id`, its brokers and its
//! state directory. It knows no topology and no types: an application's own binary decodes what this one shows as bytes.

use std::process::ExitCode;

use millpond_support::App;

const MILLPOND: App<'static> = App {
    name: "millpond",
    about: "Looks into any application of the millpond library, and resets it",
    version: env!("CARGO_PKG_VERSION"),
    defaults: &[],
    placeholders: &[],
};

fn main() -> ExitCode {
    MILLPOND.tool().main()
}
