//! The flags that every application has. They override the environment, which overrides the file.

use std::path::PathBuf;

use clap::Parser;
use millpond::runtime::config::{File, Flag, Sources};

use crate::startup::StartupError;

/// Flags common to all applications. Values are checked where all sources are, so that every mistake reads alike.
/// The application's own name and line of help come from [`App`](crate::App).
#[derive(Debug, Clone, Default, Parser)]
#[command(disable_help_subcommand = true, next_help_heading = "Configuration")]
pub struct Args {
    /// The configuration file, TOML
    #[arg(long, global = true, alias = "config-file", value_name = "FILE", env = "MILLPOND_CONFIG")]
    pub config: Option<PathBuf>,
    /// Brokers to begin with: host:port, separated by commas
    #[arg(long, global = true, alias = "bootstrap-server", value_name = "SERVERS")]
    pub bootstrap_servers: Option<String>,
    /// The consumer group, and the prefix of internal topics
    #[arg(long, global = true, value_name = "ID")]
    pub application_id: Option<String>,
    /// Where stores live
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Stream threads in this process
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<String>,
    /// Address of metrics and the status page: host:port, a port alone for 127.0.0.1, or none
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// The topic to read
    #[arg(long, global = true, value_name = "TOPIC")]
    pub input: Option<String>,
    /// The topic to write
    #[arg(long, global = true, value_name = "TOPIC")]
    pub output: Option<String>,
    /// Any other value by its key, such as commit.interval.ms=50, kafka.linger.ms=5 or app.output=alerts
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Log lines for people or for machines; without it, for people on a terminal
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["pretty", "json"])]
    pub log_format: Option<String>,
    /// Print every effective value with where it was said, and stop
    #[arg(long)]
    pub show_config: bool,
}

impl Args {
    /// All sources of configuration: these flags, the environment, the file, and the application's own defaults.
    ///
    /// # Errors
    /// [`StartupError`] when the file cannot be read or `--set` is not `key=value`.
    pub fn sources(
        &self,
        defaults: &[(&str, &str)],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Sources, StartupError> {
        let file = self.config.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| StartupError::ConfigFile { path: path.clone(), source })?;
            Ok::<_, StartupError>(File { name: path.display().to_string(), text })
        });
        Ok(Sources {
            defaults: defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            file: file.transpose()?,
            environment: environment.into_iter().collect(),
            flags: self.flags()?,
        })
    }

    fn flags(&self) -> Result<Vec<Flag>, StartupError> {
        // `--set` comes first: a flag of its own is the more deliberate of the two.
        let mut flags = Vec::new();
        for set in &self.set {
            let (key, value) = set.split_once('=').ok_or(StartupError::Set)?;
            flags.push(Flag {
                flag: format!("--set {}", key.trim()),
                key: key.trim().into(),
                value: value.trim().into(),
            });
        }
        for (flag, key, value) in [
            ("--bootstrap-servers", "bootstrap.servers", &self.bootstrap_servers),
            ("--application-id", "application.id", &self.application_id),
            ("--state-dir", "state.dir", &self.state_dir),
            ("--threads", "num.stream.threads", &self.threads),
            ("--http", "http.listen", &self.http),
            ("--input", "app.input", &self.input),
            ("--output", "app.output", &self.output),
        ] {
            if let Some(value) = value {
                flags.push(Flag { flag: flag.into(), key: key.into(), value: value.clone() });
            }
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use millpond::runtime::config::{Origin, StreamsConfig};

    use super::*;

    fn load(line: &[&str]) -> Result<StreamsConfig, String> {
        let args = Args::try_parse_from(std::iter::once(&"shop").chain(line)).map_err(|error| error.to_string())?;
        let defaults = [("application.id", "shop"), ("app.input", "events")];
        let environment = [("HOME".to_owned(), "/home/u".to_owned())];
        let sources = args.sources(&defaults, environment).map_err(|error| error.to_string())?;
        StreamsConfig::load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flag_reaches_its_key() {
        let config = load(&[
            "--bootstrap-servers=b:1",
            "--application-id=other",
            "--state-dir=/s",
            "--threads=3",
            "--http=none",
            "--input=in",
            "--output=out",
            "--set=commit.interval.ms=50",
        ])
        .unwrap();
        let settings = config.settings();
        for (key, value, flag) in [
            ("bootstrap.servers", "b:1", "--bootstrap-servers"),
            ("application.id", "other", "--application-id"),
            ("state.dir", "/s", "--state-dir"),
            ("num.stream.threads", "3", "--threads"),
            ("http.listen", "none", "--http"),
            ("app.input", "in", "--input"),
            ("app.output", "out", "--output"),
            ("commit.interval.ms", "50", "--set commit.interval.ms"),
        ] {
            let setting = settings.iter().find(|setting| setting.key == key).unwrap();
            assert_eq!((setting.value.as_str(), &setting.origin), (value, &Origin::Flag { flag: flag.into() }));
        }
    }

    #[test]
    fn a_wrong_flag_is_named_and_the_applications_defaults_hold() {
        let error = load(&["--bootstrap-servers=b:1", "--threads=none"]).unwrap_err();
        assert_eq!(error, "`num.stream.threads` must be a whole number, found `none`\n --> --threads");
        let config = load(&["--bootstrap-servers=b:1"]).unwrap();
        assert_eq!((config.application_id.as_str(), config.stream_threads), ("shop", 1));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = load(&["--config=/nowhere/shop.toml"]).unwrap_err();
        assert!(error.contains("/nowhere/shop.toml"), "{error}");
        assert!(load(&["--set=threads"]).unwrap_err().contains("--set key=value"));
    }
}
