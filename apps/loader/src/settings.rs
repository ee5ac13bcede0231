//! The application's own section of the configuration, `[app]`.

use std::path::PathBuf;
use std::sync::Arc;

use millpond::aws::{DefaultChain, Renewed};
use millpond::runtime::config::{Secret, StartFrom, StreamsConfig};
use serde::Deserialize;

use crate::config::{LoaderConfig, StartPolicy};
use crate::postgres::{self, rds_tokens};
use crate::route::{RouteError, Routes};

/// The section does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file of routes cannot be read.
    #[error("the routes cannot be read; correct app.routes: path={}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The routes do not fit.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// Tokens are signed for a region.
    #[error("app.database_auth = rds-iam signs for one region; say which as aws.region, such as eu-west-1")]
    Region,
    /// The database's URL does not fit.
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

/// How the loader proves to PostgreSQL who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseAuth {
    /// With the password of the URL or of the password file, or with a certificate.
    #[default]
    Password,
    /// With a token of RDS for each connection, signed by the machine's AWS credentials.
    RdsIam,
}

/// The database, and what goes where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `postgres://user:password@host:5432/database`. Better in the environment, as `MILLPOND_APP_DATABASE_URL`, than in
    /// a flag, which everybody on the machine can read.
    database_url: Secret,
    /// `rds-iam` for PostgreSQL on RDS with IAM, with `aws.region` and, if need be, `aws.role.arn`.
    #[serde(default)]
    database_auth: DatabaseAuth,
    /// A TOML file of `[[route]]` tables; the shop's two routes when absent.
    routes: Option<PathBuf>,
    /// Other topics for the routes, in their order, separated by commas.
    input: Option<String>,
}

impl Settings {
    /// The configuration of one loader thread.
    ///
    /// # Errors
    /// [`SettingsError`] when the routes cannot be read, or do not fit the topics, or the database's keys do not fit each
    /// other: correct the configuration.
    pub fn loader(&self, config: &StreamsConfig, instance: &str, thread: u32) -> Result<LoaderConfig, SettingsError> {
        let mut routes = match &self.routes {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Routes::from_toml(&text.map_err(|source| SettingsError::File { path: path.clone(), source })?)?
            }
            None => Routes::defaults()?,
        };
        if let Some(input) = &self.input {
            routes = routes.reading(&input.split(',').map(str::trim).collect::<Vec<_>>())?;
        }
        let mut loader = LoaderConfig::new(&config.application_id, instance, self.database_url.expose(), routes);
        loader.thread = thread;
        loader.fenced_pause = config.fenced_pause();
        if self.database_auth == DatabaseAuth::RdsIam {
            let region = config.security.aws_region.as_deref().ok_or(SettingsError::Region)?;
            let chain = DefaultChain::new(region);
            let chain = match &config.security.aws_role_arn {
                Some(role) => chain.assuming(role),
                None => chain,
            };
            let tokens = rds_tokens(self.database_url.expose(), region, Arc::new(Renewed::new(chain)))?;
            loader.passwords = Some(Arc::new(tokens));
        }
        loader.start = match config.start_from {
            StartFrom::Earliest => StartPolicy::Earliest,
            StartFrom::Latest => StartPolicy::Latest,
        };
        if let Some(topic) = &config.dead_letter_topic {
            loader.dead_letter_topic = topic.as_str().into();
        }
        Ok(loader)
    }
}
