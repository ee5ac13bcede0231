//! Spans of an application, when its configuration names a collector.

use std::error::Error;

use millpond::trace::Tracing;

use crate::startup::Env;

/// A running exporter, or none. Dropped after the threads have ended, it sends what is left, for at most 3 s.
#[derive(Debug, Default)]
pub struct Spans {
    #[cfg(feature = "otel")]
    otel: Option<millpond::otel::Otel>,
}

impl Spans {
    /// Starts an exporter if `otlp.endpoint` says where to.
    ///
    /// # Errors
    /// The address cannot be used, or this binary was built without the feature `otel`.
    #[cfg(feature = "otel")]
    pub fn start(env: &Env<'_>, instance: &str) -> Result<Self, Box<dyn Error>> {
        use millpond::otel::{Otel, OtelSettings};

        let config = &env.config;
        let Some(endpoint) = config.otlp_endpoint.clone() else { return Ok(Self::default()) };
        let settings = OtelSettings {
            endpoint,
            sampling_percent: config.otlp_sampling_percent,
            application_id: config.application_id.clone(),
            instance: instance.to_owned(),
            version: env.app.version.to_owned(),
        };
        tracing::info!(endpoint = settings.endpoint, percent = settings.sampling_percent, "spans");
        Ok(Self { otel: Some(Otel::start(settings)?) })
    }

    /// Starts nothing.
    ///
    /// # Errors
    /// `otlp.endpoint` is said, and this binary was built without the feature `otel`.
    #[cfg(not(feature = "otel"))]
    pub fn start(env: &Env<'_>, _instance: &str) -> Result<Self, Box<dyn Error>> {
        match env.config.otlp_endpoint {
            Some(_) => {
                Err("this binary was built without spans: leave out otlp.endpoint, or build it with the feature \
                            `otel`"
                    .into())
            }
            None => Ok(Self::default()),
        }
    }

    /// What the threads are traced with.
    pub fn tracing(&self) -> Tracing {
        #[cfg(feature = "otel")]
        let tracing = self.otel.as_ref().map(millpond::otel::Otel::tracing).unwrap_or_default();
        #[cfg(not(feature = "otel"))]
        let tracing = Tracing::default();
        tracing
    }
}
