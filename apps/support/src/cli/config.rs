//! `config check` and `config show`.

use clap::Subcommand;
use millpond::broker::kafka::{KafkaConfig, TokenFile, TokenSource as _};
use millpond::runtime::config::{Origin, StreamsConfig};
use serde_json::json;

use super::output::Output;
use super::{Context, Failure};
use crate::startup::show;

/// What to do with the configuration.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says whether the application would start with what all sources say: makes its clients and reads its files, connects to
    /// nobody; exit code 2 when not
    Check,
    /// Prints every effective value with where it was said, in the form of a configuration file
    Show,
}

pub(crate) fn run(command: &ConfigCommand, context: Context<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let config = context.config()?;
    match command {
        ConfigCommand::Show => out.answer(|| settings(&config), || shown(&config)),
        ConfigCommand::Check => {
            // The application's own section is checked by making the topology.
            context.described(&config)?;
            connections(context, &config)?;
            let said = config.settings().into_iter().filter(|setting| setting.origin != Origin::Default).count();
            let json = || json!({ "ok": true, "application_id": config.application_id, "set": said });
            out.answer(json, || format!("the configuration is right: {said} values are set, the others have defaults"))
        }
    }
}

/// What a start would refuse before it has asked a broker or a database: properties, files, the database's URL.
fn connections(context: Context<'_>, config: &StreamsConfig) -> Result<(), Failure> {
    let clients = KafkaConfig::of(config).and_then(|kafka| kafka.check());
    clients.map_err(|error| Failure::from(error).in_configuration())?;
    if let Some(file) = &config.security.sasl_oauthbearer_token_file {
        TokenFile::new(file).token().map_err(|error| Failure::configuration(&error))?;
    }
    if let Some(keeper) = context.program.keeper() {
        (keeper.open)(config).map_err(|error| Failure::configuration(&*error))?;
    }
    Ok(())
}

fn settings(config: &StreamsConfig) -> serde_json::Value {
    let settings = config
        .settings()
        .into_iter()
        .map(|setting| json!({ "key": setting.key, "value": setting.value, "origin": setting.origin.to_string() }));
    json!({ "settings": settings.collect::<Vec<_>>() })
}

fn shown(config: &StreamsConfig) -> String {
    let mut bytes = Vec::new();
    // Writing to a Vec does not fail.
    let _ = show(config, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
