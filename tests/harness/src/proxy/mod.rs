//! A proxy between Kafka's clients and a broker that understands the frames: it delays, drops, duplicates and cuts single
//! requests and responses by rules.
//!
//! Clients must reach the broker through it alone, so its address is what the broker tells them:
//! [`KafkaOptions::proxied`](crate::KafkaOptions::proxied).

mod connection;
mod frame;
mod rule;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Error;
use frame::{Request, Response};

pub use frame::Api;
pub use rule::{Action, Rule};

/// How long a broker may take to answer a request that was held.
const ANSWER: Duration = Duration::from_secs(30);

/// What all connections of a proxy share.
#[derive(Debug, Default)]
struct Shared {
    upstream: Option<String>,
    rules: Vec<Rule>,
    held: Vec<Request>,
    waiting: Vec<Waiting>,
    delayed: Vec<Request>,
    stopped: bool,
}

/// A request that goes on when this is dropped.
#[derive(Debug)]
struct Waiting {
    request: Request,
    _end: Sender<()>,
}

/// A running proxy; its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Mutex<Shared>>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1. Connections are refused until [`Proxy::forward_to`] names the broker.
    ///
    /// # Errors
    /// [`Error::Io`] when no port can be opened.
    pub fn start() -> Result<Self, Error> {
        let failed = |source| Error::io("listen as a proxy", "127.0.0.1")(source);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        let shared = Arc::<Mutex<Shared>>::default();
        let this = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let upstream = {
                    let shared = lock(&shared);
                    if shared.stopped {
                        return;
                    }
                    shared.upstream.clone()
                };
                // A client whose broker is away sees a closed connection, as from a broker that dies.
                if let Some(broker) = upstream.and_then(|upstream| TcpStream::connect(upstream).ok()) {
                    connection::serve(client, broker, &shared);
                }
            }
        });
        Ok(this)
    }

    /// `host:port` for clients.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Names the broker, as `host:port`.
    pub fn forward_to(&self, broker: impl Into<String>) {
        lock(&self.shared).upstream = Some(broker.into());
    }

    /// Replaces the rules. The first that strikes a request decides.
    pub fn set_rules(&self, rules: impl IntoIterator<Item = Rule>) {
        lock(&self.shared).rules = rules.into_iter().collect();
    }

    /// How often each rule has struck, in their order.
    pub fn hits(&self) -> Vec<u64> {
        lock(&self.shared).rules.iter().map(Rule::hits).collect()
    }

    /// How many requests are kept for [`Proxy::release`].
    pub fn held(&self) -> usize {
        self.held_of("")
    }

    /// How many of them name this.
    pub fn held_of(&self, name: &str) -> usize {
        lock(&self.shared).held.iter().filter(|request| request.names(name)).count()
    }

    /// Delivers the kept requests in order, each on a connection of its own, and waits for the answers: the broker's error
    /// codes, 0 for none.
    ///
    /// # Errors
    /// [`Error::Io`] when the broker cannot be reached or does not answer within 30 seconds.
    pub fn release(&self) -> Result<Vec<i16>, Error> {
        self.release_of("")
    }

    /// The same of the requests that name this.
    ///
    /// # Errors
    /// As [`Proxy::release`].
    pub fn release_of(&self, name: &str) -> Result<Vec<i16>, Error> {
        let (released, upstream) = {
            let mut shared = lock(&self.shared);
            let held = std::mem::take(&mut shared.held).into_iter();
            let (released, held): (Vec<Request>, _) = held.partition(|held| held.names(name));
            shared.held = held;
            (released, shared.upstream.clone().unwrap_or_default())
        };
        released.into_iter().map(|request| deliver(&request, &upstream)).collect()
    }

    /// True while a request that names this is delayed, and has not arrived.
    pub fn is_delaying(&self, name: &str) -> bool {
        lock(&self.shared).delayed.iter().any(|request| request.names(name))
    }

    /// Lets the requests go on that name this and wait for it.
    pub fn let_go(&self, name: &str) {
        lock(&self.shared).waiting.retain(|waiting| !waiting.request.names(name));
    }
}

fn deliver(request: &Request, upstream: &str) -> Result<i16, Error> {
    let deliver = || {
        let mut broker = TcpStream::connect(upstream)?;
        broker.set_read_timeout(Some(ANSWER))?;
        broker.write_all(&request.bytes)?;
        let answer = Response::read(&mut broker)?;
        let error = answer.as_ref().and_then(|answer| answer.error(request));
        error.ok_or_else(|| std::io::Error::other("the broker closed the connection without an answer"))
    };
    deliver().map_err(Error::io("deliver a held request", upstream))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut shared = lock(&self.shared);
            shared.stopped = true;
            shared.waiting.clear();
        }
        // Wakes the listening thread, which then sees that it is over.
        drop(TcpStream::connect(&self.address));
    }
}
