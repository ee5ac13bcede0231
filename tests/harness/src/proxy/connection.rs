use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::frame::{Request, Response};
use super::rule::Action;
use super::{Shared, Waiting, lock};

/// What happens to a response that is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delay(Duration),
    Drop,
    Cut,
    /// The answer to a duplicate: the client has asked once.
    SwallowSecond,
}

/// One client's connection and ours to the broker.
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    /// By correlation id.
    fates: Mutex<BTreeMap<i32, Fate>>,
}

/// Passes frames both ways until one side closes.
pub(super) fn serve(client: TcpStream, broker: TcpStream, shared: &Arc<Mutex<Shared>>) {
    // Small frames must not wait for larger ones.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let connection = Arc::new(Connection { client, broker, fates: Mutex::default() });
    let (requests, responses) = (Arc::clone(&connection), connection);
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let _ = requests.pass_requests(&shared);
        requests.close();
    });
    thread::spawn(move || {
        let _ = responses.pass_responses();
        responses.close();
    });
}

impl Connection {
    fn close(&self) {
        let _ = (self.client.shutdown(Shutdown::Both), self.broker.shutdown(Shutdown::Both));
    }

    fn set_fate(&self, correlation: i32, fate: Fate) {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner).insert(correlation, fate);
    }

    fn pass_requests(&self, shared: &Mutex<Shared>) -> io::Result<()> {
        while let Some(request) = Request::read(&mut &self.client)? {
            let action = {
                let mut shared = lock(shared);
                if shared.stopped {
                    return Ok(());
                }
                let names = |text: &str| request.names(text);
                shared.rules.iter_mut().find_map(|rule| rule.strike(request.api_key, names))
            };
            match action {
                None => {}
                Some(Action::DelayRequest(time)) => {
                    lock(shared).delayed.push(request.clone());
                    thread::park_timeout(time);
                    let sent = (&self.broker).write_all(&request.bytes);
                    lock(shared).delayed.retain(|delayed| delayed.bytes != request.bytes);
                    sent?;
                    continue;
                }
                Some(Action::DropRequest) => continue,
                Some(Action::CutRequest) => return Ok(()),
                Some(Action::Duplicate) => {
                    self.set_fate(request.correlation, Fate::SwallowSecond);
                    (&self.broker).write_all(&request.bytes)?;
                }
                Some(Action::Copy) => lock(shared).held.push(request.clone()),
                Some(Action::HoldAndCut) => {
                    lock(shared).held.push(request);
                    return Ok(());
                }
                Some(Action::Hold) => {
                    let (end, ended) = channel();
                    lock(shared).waiting.push(Waiting { request: request.clone(), _end: end });
                    // Nobody sends: it goes on when the other end is dropped.
                    let _ = ended.recv();
                }
                Some(Action::DelayResponse(time)) => self.set_fate(request.correlation, Fate::Delay(time)),
                Some(Action::DropResponse) => self.set_fate(request.correlation, Fate::Drop),
                Some(Action::CutResponse) => self.set_fate(request.correlation, Fate::Cut),
            }
            (&self.broker).write_all(&request.bytes)?;
        }
        Ok(())
    }

    fn pass_responses(&self) -> io::Result<()> {
        while let Some(response) = Response::read(&mut &self.broker)? {
            let fate = self.fates.lock().unwrap_or_else(PoisonError::into_inner).remove(&response.correlation);
            match fate {
                None => {}
                Some(Fate::Delay(time)) => thread::park_timeout(time),
                Some(Fate::Drop) => continue,
                Some(Fate::Cut) => return Ok(()),
                // This is the first of two; the second is dropped.
                Some(Fate::SwallowSecond) => self.set_fate(response.correlation, Fate::Drop),
            }
            (&self.client).write_all(&response.bytes)?;
        }
        Ok(())
    }
}
