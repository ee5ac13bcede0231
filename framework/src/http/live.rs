//! What has changed on the page, as server-sent events: while somebody looks, about once a second, and never to too many.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Interval, interval_at, timeout_at};

use super::listen::{CONNECTION_TIMEOUT, Taken};
use super::page::{self, Sort, View};
use super::refused::Refused;
use super::server::{PageQuery, Watched};

/// Streams at a time: an eighth of all connections, so that probes and scrapers always find one.
pub(super) const STREAMS_MAX: usize = 16;
/// How often a change is told.
const STEP: Duration = Duration::from_secs(1);
/// A stream ends by itself so long before its connection is ended: the browser then comes back, and misses nothing.
const MARGIN: Duration = Duration::from_secs(5);
/// When the browser comes back.
const RETRY: Duration = Duration::from_millis(500);

/// The streams that are open.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    free: Arc<Semaphore>,
    stopped: watch::Receiver<()>,
}

impl Streams {
    /// No stream goes on when the sender of `stopped` is gone.
    pub(super) fn until(stopped: watch::Receiver<()>) -> Self {
        Self { free: Arc::new(Semaphore::new(STREAMS_MAX)), stopped }
    }
}

/// One browser that looks.
struct Onlooker {
    watched: Arc<Watched>,
    sort: Sort,
    /// What it has seen of each section.
    seen: BTreeMap<&'static str, String>,
    steps: Interval,
    end: Instant,
    stopped: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

/// The sections that have changed, as HTML by the element that they replace.
#[derive(Serialize)]
struct Changes<'a> {
    sections: BTreeMap<&'static str, &'a str>,
}

pub(super) async fn events(
    State(watched): State<Arc<Watched>>,
    State(streams): State<Streams>,
    Extension(Taken(taken)): Extension<Taken>,
    Query(query): Query<PageQuery>,
) -> Response {
    let Ok(place) = streams.free.try_acquire_owned() else {
        let text = "too many pages are open; this one asks again by itself\n";
        let refused = Extension(Refused::Pages);
        return (StatusCode::SERVICE_UNAVAILABLE, refused, [(RETRY_AFTER, "5")], text).into_response();
    };
    let onlooker = Onlooker {
        watched,
        sort: Sort::named(query.sort.as_deref()),
        seen: BTreeMap::new(),
        steps: interval_at(Instant::now() + STEP, STEP),
        end: taken + CONNECTION_TIMEOUT - MARGIN,
        stopped: streams.stopped,
        _place: place,
    };
    Sse::new(unfold(onlooker, |mut onlooker| async move {
        let event = onlooker.next().await?;
        Some((Ok::<_, Infallible>(event), onlooker))
    }))
    .into_response()
}

impl Onlooker {
    /// The next changes; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        let end = self.end;
        let step = async {
            tokio::select! {
                _ = self.stopped.changed() => None,
                _ = self.steps.tick() => Some(()),
            }
        };
        timeout_at(end, step).await.ok()??;
        let view = View::new(self.watched.status(), &self.watched.source.topology, self.sort);
        let sections = match page::sections(&view) {
            Ok(sections) => sections,
            Err(error) => {
                tracing::error!(%error, "a section of the page could not be made");
                return None;
            }
        };
        // Also without a change: that something arrives is how the browser knows that we are there.
        let changed: Vec<_> = sections.into_iter().filter(|(id, html)| self.seen.get(id) != Some(html)).collect();
        let sections = Changes { sections: changed.iter().map(|(id, html)| (*id, html.as_str())).collect() };
        // As JSON, which has no line ends: those of an error's text would end the event's line.
        let event = Event::default().retry(RETRY).json_data(&sections);
        self.seen.extend(changed);
        event.inspect_err(|error| tracing::error!(%error, "an event could not be made")).ok()
    }
}
