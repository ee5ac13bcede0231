//! A collector of OpenTelemetry: takes spans by OTLP over HTTP, in protobuf, and keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::Error;
use crate::port::Port;

/// A span as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedSpan {
    /// `service.name` and the other attributes of who sent it.
    pub resource: BTreeMap<String, String>,
    /// Its name.
    pub name: String,
    /// Trace and span, as a `traceparent` writes them.
    pub context: (String, String),
    /// The span above it; empty for a root.
    pub parent: String,
    /// Traces and spans that it links to.
    pub links: Vec<(String, String)>,
    /// Links that were left out.
    pub links_left_out: u32,
    /// Its attributes; numbers as text.
    pub attributes: BTreeMap<String, String>,
    /// What its status says, when that is an error.
    pub error: Option<String>,
    /// From when to when, in nanoseconds since 1970.
    pub time: (u64, u64),
}

/// A collector that runs. Dropped, it takes no more.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    arrived: Arc<Mutex<Arrived>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Nobody else of these tests takes it meanwhile.
    port: Option<Port>,
}

/// What has come so far.
#[derive(Debug, Default)]
struct Arrived {
    spans: Vec<CollectedSpan>,
    /// Each once.
    tokens: BTreeSet<String>,
}

impl Collector {
    /// A collector on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`Error`] when there is none.
    pub fn start() -> Result<Self, Error> {
        let port = Port::free()?;
        let mut started = Self::start_at(SocketAddr::from(([127, 0, 0, 1], port.number)))?;
        started.port = Some(port);
        Ok(started)
    }

    /// A collector at that address.
    ///
    /// # Errors
    /// [`Error::Tool`] when somebody else is there.
    pub fn start_at(address: SocketAddr) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::Tool { tool: "the collector", output: error.to_string() };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (arrived, stop) = (Arc::<Mutex<Arrived>>::default(), Arc::<AtomicBool>::default());
        let (kept, stopped) = (arrived.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), kept, stopped) = (stream, kept.clone(), stopped.clone()) else { continue };
                std::thread::spawn(move || serve(stream, &kept, &stopped));
            }
        });
        Ok(Self { address, arrived, stop, thread: Some(thread), port: None })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has arrived so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }

    /// What was said as `Authorization`, each once; an empty text where nothing was.
    pub fn tokens(&self) -> BTreeSet<String> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).tokens.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.port = None;
    }
}

/// One connection: requests until it ends.
fn serve(stream: TcpStream, kept: &Mutex<Arrived>, stopped: &AtomicBool) {
    let Ok(read) = stream.try_clone() else { return };
    let (mut reader, mut writer) = (BufReader::new(read), stream);
    while let Ok(Some((head, body))) = request(&mut reader) {
        if stopped.load(Ordering::Acquire) {
            return;
        }
        let right = head.starts_with("POST /v1/traces ") && head.contains("application/x-protobuf");
        let export = ExportTraceServiceRequest::decode(&*body).ok().filter(|_| right);
        let status = if export.is_some() { "200 OK" } else { "400 Bad Request" };
        let mut arrived = kept.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.spans.extend(export.into_iter().flat_map(collected));
        arrived.tokens.insert(header(&head, "authorization").unwrap_or_default().to_owned());
        drop(arrived);
        if write!(writer, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// Head and body of the next request; `None` at the end of the connection.
fn request(reader: &mut impl io::BufRead) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let length = header(&head, "content-length").and_then(|value| value.parse().ok());
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
    Ok(Some((head, body)))
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim())
    })
}

fn collected(export: ExportTraceServiceRequest) -> Vec<CollectedSpan> {
    let mut all = Vec::new();
    for of_one in export.resource_spans {
        let resource = texts(of_one.resource.map(|resource| resource.attributes).unwrap_or_default());
        let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| one(resource.clone(), span)));
    }
    all
}

fn one(resource: BTreeMap<String, String>, span: Span) -> CollectedSpan {
    /// `STATUS_CODE_ERROR`.
    const ERROR: i32 = 2;
    CollectedSpan {
        resource,
        name: span.name,
        context: (hex(&span.trace_id), hex(&span.span_id)),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        links_left_out: span.dropped_links_count,
        attributes: texts(span.attributes),
        error: span.status.filter(|status| status.code == ERROR).map(|status| status.message),
        time: (span.start_time_unix_nano, span.end_time_unix_nano),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |pair: KeyValue| (pair.key, pair.value.and_then(|value| value.value).map(text).unwrap_or_default());
    attributes.into_iter().map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
