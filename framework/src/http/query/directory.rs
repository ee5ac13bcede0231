//! Who owns which partition, as the group knew it a moment ago.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};

use super::Owners;
use super::problem::Problem;
use crate::record::TopicPartition;

/// How old the knowledge may be: owners change with rebalances.
const AGE_MAX: Duration = Duration::from_secs(1);
/// How long a request waits for the group's coordinator.
const WAIT_MAX: Duration = Duration::from_secs(3);

type Addresses = Arc<BTreeMap<TopicPartition, String>>;
type Read = Result<Addresses, String>;

/// Asks the group, one question at a time, and only while somebody wants to know.
#[derive(Debug)]
pub(super) struct Directory {
    owners: Owners,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<(Instant, Read)>,
    /// A question to the group that has no answer yet.
    asked: Option<oneshot::Receiver<Read>>,
}

impl Directory {
    pub(super) fn new(owners: Owners) -> Self {
        Self { owners, state: Mutex::default() }
    }

    /// The addresses that are known.
    ///
    /// # Errors
    /// 503 when the group does not tell.
    pub(super) async fn addresses(&self) -> Result<Addresses, Problem> {
        let mut state = self.state.lock().await;
        if let Some((at, read)) = &state.known
            && at.elapsed() < AGE_MAX
        {
            return read.clone().map_err(Problem::unavailable);
        }
        let asked = match &mut state.asked {
            Some(asked) => asked,
            asked => asked.insert(self.ask()?),
        };
        // A thread that is gone without an answer has nothing more to say.
        let Ok(answered) = timeout(WAIT_MAX, asked).await else {
            return Err(Problem::unavailable("the group's coordinator does not say who owns the partition"));
        };
        let read = answered.unwrap_or_else(|_| Err("who owns the partition is not known".to_owned()));
        *state = State { known: Some((Instant::now(), read.clone())), asked: None };
        read.map_err(Problem::unavailable)
    }

    /// Asks on a thread of its own: it may wait for brokers, and nobody who stops waits for it.
    fn ask(&self) -> Result<oneshot::Receiver<Read>, Problem> {
        let (answer, asked) = oneshot::channel();
        let owners = self.owners.clone();
        let thread = std::thread::Builder::new().name("owners".to_owned()).spawn(move || {
            let read = (owners.0)().map(Arc::new).map_err(|error| {
                tracing::debug!(%error, "the owners of partitions are not known");
                format!("who owns the partition is not known: {error}")
            });
            // Nobody waits any longer: the server has stopped.
            let _ = answer.send(read);
        });
        thread.map_err(|_| Problem::unavailable("the system refuses to start a thread"))?;
        Ok(asked)
    }
}
