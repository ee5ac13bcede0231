//! Requests that were refused, by reason: somebody who guesses tokens, or a page from elsewhere, shows in the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a request was refused. Goes with the answer as an extension, which [`guard`](super::guard) counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has a body.
    Body,
    /// There were too many connections: it was closed unread.
    Connections,
    /// Too many wrong tokens came before it.
    Guesses,
    /// It was for another host, or did not say for which.
    Host,
    /// Too many pages are open.
    Pages,
    /// Too many queries are under way.
    Queries,
    /// It came without the right token.
    Token,
}

impl Refused {
    const ALL: [Self; 7] =
        [Self::Body, Self::Connections, Self::Guesses, Self::Host, Self::Pages, Self::Queries, Self::Token];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Connections => "connections",
            Self::Guesses => "guesses",
            Self::Host => "host",
            Self::Pages => "pages",
            Self::Queries => "queries",
            Self::Token => "token",
        }
    }
}

/// How many there were. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals(Arc<[AtomicU64; Refused::ALL.len()]>);

impl Refusals {
    pub(super) fn count(&self, refused: Refused) {
        for (reason, count) in Refused::ALL.iter().zip(self.0.iter()) {
            if *reason == refused {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// All reasons, those that never came as well.
    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        Refused::ALL
            .iter()
            .zip(self.0.iter())
            .map(|(why, count)| (why.as_str(), count.load(Ordering::Relaxed)))
            .collect()
    }
}
