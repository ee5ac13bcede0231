//! Spans to a collector of OpenTelemetry: OTLP over HTTP, in protobuf. An edge: it implements [`Tracer`](crate::trace::Tracer).
//!
//! A span goes into a bounded queue, which a thread of its own empties. With the collector away or slow the queue is full
//! and spans are dropped; the stream threads never wait for it, and one line of the log says so until it is back.
//!
//! The standard's variables are heeded where there is no setting of ours: `OTEL_EXPORTER_OTLP_HEADERS` for a token,
//! `OTEL_RESOURCE_ATTRIBUTES`, and `OTEL_BSP_…` for the queue.

mod client;
mod tracer;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor};

use crate::trace::Tracing;
use client::Client;
use tracer::SpanTracer;

/// How long a span may wait for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);
/// How long the end of a process waits for its last spans.
const SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// Where spans go, and who sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtelSettings {
    /// The collector's address, `http://host:4318`; `/v1/traces` comes after it.
    pub endpoint: String,
    /// Of a hundred batches, how many have a span.
    pub sampling_percent: u8,
    /// `application.id`, which is `service.name`.
    pub application_id: String,
    /// The process among those of the application: `service.instance.id`.
    pub instance: String,
    /// The application's version.
    pub version: String,
}

/// The exporter cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "spans cannot be exported to {endpoint}: {reason}; correct otlp.endpoint, or the variables OTEL_EXPORTER_OTLP_…"
)]
pub struct OtelError {
    /// Where to.
    pub endpoint: String,
    /// Why not.
    pub reason: String,
}

/// A running exporter. Dropped, it sends what it has, for at most 3 s: drop it after the threads have ended.
#[derive(Debug)]
pub struct Otel {
    processor: Arc<BatchSpanProcessor>,
    settings: OtelSettings,
}

impl Otel {
    /// Starts the exporter's thread; nothing is connected to yet.
    ///
    /// # Errors
    /// [`OtelError`] when the address, or one of the standard's variables, cannot be used.
    pub fn start(settings: OtelSettings) -> Result<Self, OtelError> {
        let endpoint = format!("{}/v1/traces", settings.endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(&settings.endpoint))
            .with_endpoint(endpoint)
            .with_protocol(Protocol::HttpBinary)
            // What could not be sent is late anyway, and more is waiting.
            .with_retry_policy(RetryPolicy::disabled())
            .build();
        let exporter =
            exporter.map_err(|error| OtelError { endpoint: settings.endpoint.clone(), reason: error.to_string() })?;
        let config = BatchConfigBuilder::default().with_scheduled_delay(DELAY).build();
        let mut processor = BatchSpanProcessor::new(exporter, config);
        let resource = Resource::builder().with_service_name(settings.application_id.clone()).with_attributes([
            KeyValue::new("service.instance.id", settings.instance.clone()),
            KeyValue::new("service.version", settings.version.clone()),
        ]);
        processor.set_resource(&resource.build());
        Ok(Self { processor: Arc::new(processor), settings })
    }

    /// Tracers for the threads of this process.
    pub fn tracing(&self) -> Tracing {
        let (processor, settings) = (self.processor.clone(), self.settings.clone());
        Tracing::new(move |client_id| Box::new(SpanTracer::new(processor.clone(), &settings, client_id)))
    }
}

impl Drop for Otel {
    fn drop(&mut self) {
        if let Err(error) = self.processor.shutdown_with_timeout(SHUTDOWN_MAX) {
            tracing::warn!(%error, endpoint = self.settings.endpoint, "the last spans may not have been exported");
        }
    }
}
