//! Metrics of an application's own.

use std::fmt;

use super::{Metric, Samples};

/// What an application counts for its business: a table of its own, and the values at the moment somebody asks.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use millpond::metrics::{Kind, Metric, OwnMetrics, Samples, check};
///
/// static TABLE: [Metric; 1] =
///     [Metric::own("millpond_orders_total", Kind::Counter, "Orders that were shipped, by carrier").labelled(&["carrier"])];
///
/// #[derive(Debug, Default)]
/// struct Orders {
///     by_post: AtomicU64,
/// }
///
/// impl OwnMetrics for Orders {
///     fn table(&self) -> &'static [Metric] {
///         &TABLE
///     }
///
///     fn read(&self, _metric: &Metric, out: &mut Samples) {
///         out.count(&[&"post"], self.by_post.load(Ordering::Relaxed));
///     }
/// }
///
/// assert_eq!(check(&TABLE, &["carrier"]), Vec::<String>::new());
/// ```
///
/// Labels must be bounded: never a part of a record, however harmless it looks. [`check`](super::check) wants every label
/// named, so that somebody has thought of it.
pub trait OwnMetrics: fmt::Debug + Send + Sync {
    /// Its metrics, made with [`Metric::own`].
    fn table(&self) -> &'static [Metric];

    /// The values of one of them. Called for each scrape, on the thread that answers it.
    fn read(&self, metric: &Metric, out: &mut Samples);
}
