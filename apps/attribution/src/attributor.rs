//! The processor: visits and orders of a user in, attributions and their corrections out.

use std::sync::Arc;
use std::time::Duration;

use millpond::processor::{Context, Processor, ProcessorError, Punctuation, ScheduleId};
use millpond::record::Record;
use millpond::serde::Ordered;
use millpond::state::KeyValueStore;
use millpond::time::Timestamp;
use millpond_support::Sweep;

use crate::Totals;
use crate::attribution::{Attribution, Step, Visit};

/// The names of the stores: the earliest visit by user; event time of the orders that may still be corrected, by user
/// and order id.
pub const STORES: [&str; 2] = ["first-visits", "orders"];

/// User and order id.
type OrderKey = (String, String);
type AttributionContext<'a> = Context<'a, String, Attribution>;

/// Attributes orders; see the crate's documentation for what it promises.
pub(crate) struct Attributor {
    first_visits: KeyValueStore<String, Visit>,
    orders: KeyValueStore<OrderKey, Timestamp>,
    correction: Duration,
    totals: Arc<Totals>,
    sweep: Sweep<OrderKey>,
}

impl Attributor {
    pub(crate) fn new(
        first_visits: KeyValueStore<String, Visit>,
        orders: KeyValueStore<OrderKey, Timestamp>,
        correction: Duration,
        totals: Arc<Totals>,
    ) -> Self {
        Self { first_visits, orders, correction, totals, sweep: Sweep::default() }
    }

    /// Orders before this are not corrected any more, whether their rows are swept yet or not.
    fn horizon(&self, stream_time: Timestamp) -> Timestamp {
        stream_time.minus(self.correction)
    }

    fn visit(&self, user: &String, visit: &Visit, context: &mut AttributionContext<'_>) -> Result<(), ProcessorError> {
        let first = self.first_visits.get(user)?;
        if first.as_ref().is_some_and(|first| first <= visit) {
            return Ok(());
        }
        self.first_visits.put(user, visit)?;
        // All orders since this visit were organic, or due to a later one.
        let since = Timestamp::from_millis(visit.at_ms).max(self.horizon(context.stream_time()));
        for row in self.orders.prefix_scan_with(user, &Ordered)? {
            let ((_, order_id), ordered_at) = row?;
            if ordered_at >= since {
                let before = Attribution::of(user, &order_id, ordered_at, first.as_ref());
                let attribution = Attribution::of(user, &order_id, ordered_at, Some(visit));
                self.totals.correction(&attribution.marketing_channel, &before.marketing_channel);
                forward(attribution, context)?;
            }
        }
        Ok(())
    }

    fn order(
        &self,
        user: String,
        order_id: String,
        ordered_at: Timestamp,
        context: &mut AttributionContext<'_>,
    ) -> Result<(), ProcessorError> {
        let horizon = self.horizon(context.stream_time().max(ordered_at));
        let key = (user, order_id);
        let known = self.orders.get(&key)?.filter(|known| *known >= horizon);
        if known.is_some_and(|known| known <= ordered_at) {
            return Ok(());
        }
        let (user, order_id) = &key;
        let first = self.first_visits.get(user)?;
        let attribution = Attribution::of(user, order_id, ordered_at, first.as_ref());
        let before = known.map(|known| Attribution::of(user, order_id, known, first.as_ref()).marketing_channel);
        if ordered_at >= horizon {
            self.orders.put(&key, &ordered_at)?;
        } else {
            // It may have been known at a later time; now it is as old as this, and final.
            self.orders.delete(&key)?;
        }
        self.totals.order(&attribution.marketing_channel, before.as_deref());
        forward(attribution, context)
    }
}

/// The record's time is the order's, also for a correction. It has no headers: those of events may hold personal data.
fn forward(attribution: Attribution, context: &mut AttributionContext<'_>) -> Result<(), ProcessorError> {
    let timestamp = Timestamp::from_millis(attribution.order_time_ms);
    context.forward(Record::new(attribution.order_id.clone(), attribution, timestamp))
}

impl Processor for Attributor {
    type KIn = String;
    type VIn = Step;
    type KOut = String;
    type VOut = Attribution;

    fn init(&mut self, context: &mut AttributionContext<'_>) -> Result<(), ProcessorError> {
        // Ten steps of the sweep in the time that a row lives.
        context.schedule((self.correction / 10).max(Duration::from_millis(100)), Punctuation::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, Step>,
        context: &mut AttributionContext<'_>,
    ) -> Result<(), ProcessorError> {
        let Record { key: user, value, timestamp, .. } = record;
        match value {
            Step::Visit { channel } => self.visit(&user, &Visit { at_ms: timestamp.as_millis(), channel }, context),
            Step::Order { order_id } => self.order(user, order_id, timestamp, context),
        }
    }

    fn punctuate(
        &mut self,
        _schedule: ScheduleId,
        at: Timestamp,
        _context: &mut AttributionContext<'_>,
    ) -> Result<(), ProcessorError> {
        let horizon = self.horizon(at);
        self.sweep.step(&self.orders, |_, ordered_at| *ordered_at < horizon)?;
        Ok(())
    }
}
