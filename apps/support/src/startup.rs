//! From the command line to a running application, and from its end to an exit code.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use millpond::http::LogFilter;
use millpond::runtime::config::{ConfigErrors, StreamsConfig};

use crate::args::Args;
use crate::cli::Failure;
use crate::logs::set_up_logs;
use crate::stop::Stop;

/// The application did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartupError {
    /// The file given by `--config` cannot be read.
    #[error("the configuration file cannot be read; correct --config: path={}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `--set` without `=`.
    #[error("say --set key=value, such as --set commit.interval.ms=50")]
    Set,
    /// A variable of ours is not UTF-8.
    #[error("the environment variable {name} is not UTF-8; correct or unset it")]
    Environment {
        /// Its name.
        name: String,
    },
    /// The application would read its own output for ever.
    #[error("app.input and app.output are the same topic; give the output a topic of its own: topic={topic}")]
    Loop {
        /// The topic.
        topic: String,
    },
    /// The values do not fit.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The system gave no signal handler or thread.
    #[error("signals cannot be handled")]
    Signals(#[source] std::io::Error),
    /// The configuration could not be printed.
    #[error("the configuration cannot be printed")]
    Print(#[source] std::io::Error),
}

/// What an application is, to start-up.
#[derive(Debug, Clone, Copy)]
pub struct App<'a> {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line, for `--help`.
    pub about: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its own defaults by key: `("application.id", "shop")`, `("app.input", "events")`.
    pub defaults: &'a [(&'static str, &'static str)],
    /// Values that only running needs, for commands that show what the application looks like.
    pub placeholders: &'static [(&'static str, &'static str)],
}

/// What an application gets.
#[derive(Debug, Clone)]
pub struct Env<'a> {
    /// Who it is.
    pub app: App<'a>,
    /// What it was told; [`StreamsConfig::app`] has its own section.
    pub config: StreamsConfig,
    /// When to stop.
    pub stop: Stop,
    /// What is logged, where this program has set its logs up.
    pub logs: Option<Arc<dyn LogFilter>>,
}

impl App<'_> {
    /// Reads the configuration, sets up logs and signals, and runs `main` until it returns.
    ///
    /// Exit codes: 0 after a stop as asked, 1 after an error, 2 when flags or configuration are wrong. The error is told as
    /// commands tell theirs, in the form that was asked for.
    pub(crate) fn start(
        self,
        args: &Args,
        json: bool,
        main: impl FnOnce(&Env<'_>) -> Result<(), Box<dyn Error>>,
    ) -> ExitCode {
        match self.run_to_end(args, main) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Failure::of_application(&*error).tell(json),
        }
    }

    fn run_to_end(
        self,
        args: &Args,
        main: impl FnOnce(&Env<'_>) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let config = self.configure(args, environment(std::env::vars_os())?)?;
        if args.show_config {
            return Ok(show(&config, &mut std::io::stdout().lock()).map_err(StartupError::Print)?);
        }
        let logs = set_up_logs(args.log_format.as_deref());
        let stop = Stop::on_signals()?;
        tracing::info!(application_id = config.application_id, version = self.version, "starting");
        main(&Env { app: self, config, stop, logs })?;
        tracing::info!("stopped");
        Ok(())
    }

    /// The configuration from these flags and this environment.
    ///
    /// # Errors
    /// [`StartupError`]: flags, file or environment are wrong.
    pub fn configure(
        self,
        args: &Args,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<StreamsConfig, StartupError> {
        let config = StreamsConfig::load(&args.sources(self.defaults, environment)?)?;
        let settings = config.settings();
        let said = |key: &str| settings.iter().find(|setting| setting.key == key).map(|setting| &setting.value);
        match (said("app.input"), said("app.output")) {
            (Some(input), Some(output)) if input == output => Err(StartupError::Loop { topic: input.clone() }),
            _ => Ok(config),
        }
    }
}

/// The environment, as far as it is text; ours must be.
pub(crate) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, StartupError> {
    let text = |(name, value): (OsString, OsString)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Some(Ok((name, value))),
        (Ok(name), Err(_)) if name.starts_with("MILLPOND_") => Some(Err(StartupError::Environment { name })),
        _ => None,
    };
    variables.into_iter().filter_map(text).collect()
}

/// Every effective value with where it was said, a line each: a configuration file, but for masked secrets.
pub(crate) fn show(config: &StreamsConfig, out: &mut impl Write) -> std::io::Result<()> {
    for setting in config.settings().into_iter().filter(|setting| !setting.value.is_empty()) {
        let value = if setting.is_text { format!("{:?}", setting.value) } else { setting.value };
        writeln!(out, "{} = {value}  # {}", setting.key, setting.origin)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: App<'static> = App {
        name: "shop",
        about: "Sells",
        version: "1",
        defaults: &[("application.id", "shop"), ("app.input", "events")],
        placeholders: &[],
    };

    #[test]
    fn the_shown_configuration_says_who_said_what() {
        let args = Args { bootstrap_servers: Some("b:1".into()), state_dir: Some("/s".into()), ..Args::default() };
        let environment = [("MILLPOND_POLL_MS".to_owned(), "7".to_owned())];
        let mut out = Vec::new();
        show(&SHOP.configure(&args, environment).unwrap(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        for line in [
            "application.id = \"shop\"  # application",
            "bootstrap.servers = \"b:1\"  # --bootstrap-servers",
            "poll.ms = 7  # MILLPOND_POLL_MS",
            "commit.interval.ms = 100  # default",
            "app.input = \"events\"  # application",
        ] {
            assert!(out.lines().any(|have| have == line), "{line} is missing from\n{out}");
        }
    }

    #[test]
    fn the_shown_configuration_is_a_configuration_file() {
        let args = Args {
            bootstrap_servers: Some("b:1".into()),
            state_dir: Some("/s".into()),
            set: vec!["app.count=5".into(), "kafka.linger.ms=5".into(), "instance=0".into()],
            ..Args::default()
        };
        let mut out = Vec::new();
        show(&SHOP.configure(&args, []).unwrap(), &mut out).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &out).unwrap();
        let again = Args { config: Some(file.path().into()), ..Args::default() };
        let again = SHOP.configure(&again, []).unwrap_or_else(|error| panic!("{error}"));
        let values = |config: &StreamsConfig| -> Vec<_> {
            config.settings().into_iter().map(|setting| (setting.key, setting.value)).collect()
        };
        assert_eq!(values(&again), values(&SHOP.configure(&args, []).unwrap()));
    }

    #[test]
    fn an_application_that_would_read_its_own_output_does_not_start() {
        let args = Args {
            bootstrap_servers: Some("b:1".into()),
            state_dir: Some("/s".into()),
            output: Some("events".into()),
            ..Args::default()
        };
        let error = SHOP.configure(&args, []).unwrap_err().to_string();
        assert!(error.ends_with("topic=events"), "{error}");
    }

    #[test]
    fn a_variable_of_ours_that_is_not_text_is_named_and_others_do_not_matter() {
        use std::os::unix::ffi::OsStringExt;

        let not_text = || OsString::from_vec(vec![0xff]);
        let error = environment([("MILLPOND_STATE_DIR".into(), not_text())]).unwrap_err().to_string();
        assert!(error.contains("MILLPOND_STATE_DIR is not UTF-8"), "{error}");
        let others = environment([("OTHER".into(), not_text()), ("HOME".into(), "/h".into())]).unwrap();
        assert_eq!(others, [("HOME".to_owned(), "/h".to_owned())]);
    }

    #[test]
    fn a_mistake_in_the_environment_is_an_error_of_start_up() {
        let environment = [("MILLPOND_POLL_MSS".to_owned(), "7".to_owned())];
        let error = SHOP.configure(&Args::default(), environment).unwrap_err().to_string();
        assert!(error.contains("did you mean `MILLPOND_POLL_MS`?"), "{error}");
    }
}
