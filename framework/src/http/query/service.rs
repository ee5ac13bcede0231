//! Asks the threads of this process, and the owners of what is not here.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{self, Part};
use super::directory::Directory;
use super::problem::Problem;
use super::request::{self, Params, PartParams, Wanted};
use super::{QuerySource, forward};
use crate::formats::StoreFormat;
use crate::http::status::now;
use crate::record::{Partition, TaskId};
use crate::runtime::query::{Answer, Ask, Bound, Question, Refusal, Reply};

/// Requests at a time.
pub(super) const REQUESTS_MAX: usize = 16;
/// Partitions that other instances ask of this one, at a time. They have places of their own: they ask nobody further, so that
/// they always come to an end.
const PARTS_MAX: usize = 64;
/// Partitions that this instance asks of others, at a time; the rest wait.
const OUTBOUND_MAX: usize = 16;
/// How long a stream thread may take to come to a question.
const WAIT_MAX: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Service {
    source: QuerySource,
    application_id: String,
    directory: Directory,
    free: Semaphore,
    free_parts: Semaphore,
    free_outbound: Semaphore,
}

fn place(free: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    free.try_acquire().map_err(|_| Problem::too_many())
}

impl Service {
    pub(super) fn new(source: QuerySource, application_id: &str) -> Self {
        Self {
            directory: Directory::new(source.owners.clone()),
            source,
            application_id: application_id.to_owned(),
            free: Semaphore::new(REQUESTS_MAX),
            free_parts: Semaphore::new(PARTS_MAX),
            free_outbound: Semaphore::new(OUTBOUND_MAX),
        }
    }

    /// The stores that can be asked, with the owner of each partition as far as it is known.
    pub(super) async fn stores(&self) -> Value {
        let owners = self.directory.addresses().await.unwrap_or_default();
        let queries = &self.source.queries;
        let stores = queries.stores().filter(|store| self.source.formats.of(store).is_some()).map(|store| {
            let partitions = queries.tasks(store).into_iter().map(|task| {
                let owner = queries.inputs(task).iter().find_map(|input| owners.get(input));
                json!({ "partition": task.partition.0, "task": task.to_string(), "owner": owner })
            });
            let partitions: Vec<Value> = partitions.collect();
            json!({ "store": store, "masked": self.is_masked(store), "partitions": partitions })
        });
        json!({ "stores": stores.collect::<Vec<Value>>(), "instance": self.source.address })
    }

    /// A store with its format and tasks.
    fn store(&self, store: &str) -> Result<(&StoreFormat, Vec<TaskId>), Problem> {
        let tasks = self.source.queries.tasks(store);
        let format = self.source.formats.of(store).filter(|_| !tasks.is_empty());
        Ok((format.ok_or_else(|| Problem::no_store(store))?, tasks))
    }

    /// True unless the rows may be shown: the application has said that they are impersonal, or the configuration names them.
    fn is_masked(&self, store: &str) -> bool {
        let personal = self.source.formats.of(store).is_none_or(StoreFormat::is_personal);
        personal && !self.source.unmasked.iter().any(|unmasked| unmasked == store)
    }

    /// Whoever may count parts of the keys can find the keys.
    fn refuse_masked(&self, store: &str, ask: &Ask) -> Result<(), Problem> {
        let tells_keys = matches!(ask, Ask::Rows { .. } | Ask::Count { .. });
        if tells_keys && self.is_masked(store) { Err(Problem::masked()) } else { Ok(()) }
    }

    pub(super) async fn answer(self: &Arc<Self>, store: &str, what: &str, params: &Params) -> Result<Value, Problem> {
        let _place = place(&self.free)?;
        let (format, tasks) = self.store(store)?;
        let Wanted { ask, bound, tasks, limit } = request::wanted(format, what, params, &tasks)?;
        self.refuse_masked(store, &ask)?;
        let mut asking = JoinSet::new();
        for task in tasks {
            let (this, store, ask) = (Arc::clone(self), store.to_owned(), ask.clone());
            asking.spawn(async move { this.part(&store, task, &ask, bound).await.map_err(|no| no.on(task.partition)) });
        }
        let mut parts = Vec::new();
        while let Some(part) = asking.join_next().await {
            // A part that is missing makes the whole wrong; the others are not waited for.
            parts.push(part.map_err(|_| Problem::unavailable("the server is stopping"))??);
        }
        parts.sort_by_key(|part: &Part| part.partition);
        Ok(answer::whole(store, parts, limit))
    }

    pub(super) async fn answer_part(&self, store: &str, partition: i32, params: &PartParams) -> Result<Part, Problem> {
        if params.application != self.application_id {
            return Err(Problem::misdirected(format!("this is {}", self.application_id)));
        }
        let _place = place(&self.free_parts)?;
        let (_, tasks) = self.store(store)?;
        let (ask, bound) = request::of_part(params)?;
        self.refuse_masked(store, &ask)?;
        let partition = Partition(partition);
        let task = tasks.into_iter().find(|task| task.partition == partition);
        let task = task.ok_or_else(|| Problem::bad("there is no such partition"))?;
        let answer = self.here(store, task, &ask, bound).await;
        let answer = answer.map_err(|refusal| Problem::refused(&refusal).on(partition))?;
        self.shown(store, task, answer)
    }

    fn shown(&self, store: &str, task: TaskId, answer: Answer) -> Result<Part, Problem> {
        let (format, _) = self.store(store)?;
        Ok(answer::part(format, self.is_masked(store), task, &self.source.address, answer))
    }

    /// The answer of one partition, wherever it is.
    async fn part(&self, store: &str, task: TaskId, ask: &Ask, bound: Bound) -> Result<Part, Problem> {
        match self.here(store, task, ask, bound).await {
            Ok(answer) => self.shown(store, task, answer),
            Err(Refusal::NotHere) => self.elsewhere(store, task, ask, bound).await,
            Err(refusal) => Err(Problem::refused(&refusal)),
        }
    }

    async fn here(&self, store: &str, task: TaskId, ask: &Ask, bound: Bound) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        let question = Question {
            task,
            store: store.to_owned(),
            ask: ask.clone(),
            bound,
            until: now().plus(WAIT_MAX),
            // Whoever asked may have gone.
            reply: Reply::new(move |answer| drop(reply.send(answer))),
        };
        self.source.queries.ask(question)?;
        match timeout(WAIT_MAX, answer).await {
            Ok(answer) => answer.unwrap_or(Err(Refusal::Stopped)),
            Err(_) => Err(Refusal::Late),
        }
    }

    async fn elsewhere(&self, store: &str, task: TaskId, ask: &Ask, bound: Bound) -> Result<Part, Problem> {
        let owners = self.directory.addresses().await?;
        let owner = self.source.queries.inputs(task).iter().find_map(|input| owners.get(input));
        let Some(owner) = owner else {
            let reason = "no instance has said where it answers for this partition: it starts, or its queries are off";
            return Err(Problem::unavailable(reason));
        };
        if *owner == self.source.address {
            // It was ours, and the next owner has not committed yet.
            return Err(Problem::refused(&Refusal::Rebalancing));
        }
        let query = request::to_part(&self.application_id, ask, &bound);
        let path = format!("/stores/{store}/partitions/{}?{query}", task.partition.0);
        let Ok(Ok(_place)) = timeout(WAIT_MAX, self.free_outbound.acquire()).await else {
            return Err(Problem::too_many());
        };
        let (code, body) = forward::get(owner, &path).await?;
        if code != StatusCode::OK {
            return Err(Problem::of_instance(owner, code, &body));
        }
        let part: Result<Part, _> = serde_json::from_slice(&body);
        let part = part.map_err(|_| {
            tracing::warn!(%owner, "another instance answers queries in another form");
            Problem::unavailable(format!("the owner at {owner} answers in another form; is it of another version?"))
        })?;
        // The owner may show what this instance does not.
        Ok(if self.is_masked(store) { part.hidden() } else { part })
    }
}
