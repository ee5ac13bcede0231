//! The processor: from the events of a user to alerts.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use millpond::processor::{Context, Processor, ProcessorError, Punctuation, ScheduleId};
use millpond::record::Record;
use millpond::state::KeyValueStore;
use millpond::time::Timestamp;
use millpond_support::Sweep;

use crate::activity::{Activity, Add};
use crate::last::Fired;
use crate::{Alert, CartItem, Evidence, Rule, Totals};

/// The names of the stores: recent activity by user; users with held alerts, by the stream time to look at them again.
pub const STORES: [&str; 2] = ["carts", "wake-ups"];

/// How often the wall clock is looked at, for streams that stand still.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// When to look at a user again, in stream time, and who it is.
type WakeUp = (i64, String);

/// Finds bursts; see the crate's documentation for what it promises.
pub(crate) struct BurstDetector {
    carts: KeyValueStore<String, Activity>,
    wake_ups: KeyValueStore<WakeUp, ()>,
    rule: Rule,
    totals: Arc<Totals>,
    sweep: Sweep<String>,
    wall_clock_schedule: Option<ScheduleId>,
    /// Stream time at the last look, and since when by the wall clock it has been that. A cache: after a restart the
    /// stream counts as moving.
    stood_still: Option<(Timestamp, Timestamp)>,
}

type AlertContext<'a> = Context<'a, String, Alert>;

impl BurstDetector {
    pub(crate) fn new(
        carts: KeyValueStore<String, Activity>,
        wake_ups: KeyValueStore<WakeUp, ()>,
        rule: Rule,
        totals: Arc<Totals>,
    ) -> Self {
        let sweep = Sweep::default();
        Self { carts, wake_ups, rule, totals, sweep, wall_clock_schedule: None, stood_still: None }
    }

    /// The alert's time is that of its last event. It has no headers: those of events may hold personal data.
    fn fire(
        &self,
        user: &str,
        evidence: Evidence,
        activity: &Activity,
        context: &mut AlertContext<'_>,
    ) -> Result<(), ProcessorError> {
        let events = activity.events_of(&evidence);
        self.totals.alert(Fired { user: user.to_owned(), evidence: evidence.clone(), events });
        let timestamp = Timestamp::from_millis(evidence.last_event_ms);
        context.forward(Record::new(user.to_owned(), Alert::new(user, evidence), timestamp))
    }

    /// Writes the row and keeps its wake-up in step.
    fn store(&self, user: &String, mut activity: Activity, wake_up_ms: Option<i64>) -> Result<(), ProcessorError> {
        if activity.wake_up_ms != wake_up_ms {
            if let Some(old) = activity.wake_up_ms {
                self.wake_ups.delete(&(old, user.clone()))?;
            }
            if let Some(new) = wake_up_ms {
                self.wake_ups.put(&(new, user.clone()), &())?;
            }
            activity.wake_up_ms = wake_up_ms;
        }
        if activity.is_empty() {
            self.carts.delete(user)?;
        } else {
            self.carts.put(user, &activity)?;
        }
        Ok(())
    }

    /// Looks at the users whose wake-up is due: all of them when the stream stands still.
    fn wake(&self, stream_time: Timestamp, idle: bool, context: &mut AlertContext<'_>) -> Result<(), ProcessorError> {
        let now_ms = stream_time.as_millis();
        let due = if idle { Bound::Unbounded } else { Bound::Excluded((now_ms.saturating_add(1), String::new())) };
        let due: Vec<WakeUp> = self
            .wake_ups
            .range((Bound::Unbounded, due))?
            .map(|row| row.map(|(key, ())| key))
            .collect::<Result<_, _>>()?;
        for wake_up in due {
            self.wake_ups.delete(&wake_up)?;
            let (_, user) = wake_up;
            let mut activity = self.carts.get(&user)?.unwrap_or_default();
            activity.wake_up_ms = None;
            let released = if idle { activity.release_all() } else { activity.release(now_ms, &self.rule) };
            for evidence in released {
                self.fire(&user, evidence, &activity, context)?;
            }
            activity.forget(now_ms, &self.rule);
            let wake_up_ms = activity.next_release_ms(now_ms, &self.rule);
            self.store(&user, activity, wake_up_ms)?;
        }
        Ok(())
    }

    /// True when stream time has been the same for [`Rule::idle`].
    fn is_idle(&mut self, stream_time: Timestamp, now: Timestamp) -> bool {
        match self.stood_still {
            Some((seen, since)) if seen == stream_time => now.since(since) >= self.rule.idle,
            _ => {
                self.stood_still = Some((stream_time, now));
                false
            }
        }
    }
}

impl Processor for BurstDetector {
    type KIn = String;
    type VIn = CartItem;
    type KOut = String;
    type VOut = Alert;

    fn init(&mut self, context: &mut AlertContext<'_>) -> Result<(), ProcessorError> {
        // Ten steps of the sweep in the time that a row lives.
        let tick = (self.rule.window.saturating_add(self.rule.grace) / 10).max(Duration::from_millis(100));
        context.schedule(tick, Punctuation::StreamTime);
        self.wall_clock_schedule = Some(context.schedule(IDLE_CHECK, Punctuation::WallClock));
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, CartItem>,
        context: &mut AlertContext<'_>,
    ) -> Result<(), ProcessorError> {
        let stream_time = context.stream_time().max(record.timestamp);
        if record.timestamp < stream_time.minus(self.rule.grace) {
            return Err(ProcessorError::bad_record("late_event"));
        }
        self.totals.item();
        let (user, now_ms) = (record.key, stream_time.as_millis());
        let mut activity = self.carts.get(&user)?.unwrap_or_default();
        activity.add(Add { at_ms: record.timestamp.as_millis(), item: record.value.item_url }, &self.rule);
        for evidence in activity.release(now_ms, &self.rule) {
            self.fire(&user, evidence, &activity, context)?;
        }
        // After the release: what is forgotten has had its alert.
        activity.forget(now_ms, &self.rule);
        let wake_up_ms = activity.next_release_ms(now_ms, &self.rule);
        self.store(&user, activity, wake_up_ms)
    }

    fn punctuate(
        &mut self,
        schedule: ScheduleId,
        at: Timestamp,
        context: &mut AlertContext<'_>,
    ) -> Result<(), ProcessorError> {
        if Some(schedule) == self.wall_clock_schedule {
            let stream_time = context.stream_time();
            return if self.is_idle(stream_time, at) { self.wake(stream_time, true, context) } else { Ok(()) };
        }
        self.wake(at, false, context)?;
        let (now_ms, rule) = (at.as_millis(), &self.rule);
        self.sweep.step(&self.carts, |_, activity| activity.is_outdated(now_ms, rule))?;
        Ok(())
    }
}
