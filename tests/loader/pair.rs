//! Two loaders that share the partitions, of which one may stand still while the other goes on: in the middle of a call, or
//! between two rounds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use loader::{Loader, SharedStatus};
use millpond::broker::sim::{SimBroker, SplitMix64};
use millpond::error::Recovery;
use millpond_harness::Postgres;

use crate::fixture::{APP, config};

const NAMES: [&str; 2] = ["a", "b"];
/// A successor waits that long for the rows that whoever stands still has locked. Here nobody else moves meanwhile.
const LOCK_MAX: Duration = Duration::from_millis(20);

/// The loaders, each with its place in the database.
pub(crate) struct Pair {
    loaders: [RefCell<Option<Loader<SimBroker>>>; 2],
    broker: SimBroker,
    database: String,
    /// The database's address for loaders that start: through a proxy, or not.
    url: RefCell<String>,
    rng: RefCell<SplitMix64>,
    /// Rounds that each sleeps through.
    asleep: [Cell<u64>; 2],
    seen: RefCell<Seen>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Calls in whose middle a loader stood still.
    pub(crate) in_calls: u64,
    /// The same between rounds.
    pub(crate) between_rounds: u64,
    /// Of both, those in which the group had given it up, and the other one has claimed partitions.
    pub(crate) successions: u64,
}

impl Pair {
    pub(crate) fn new(broker: &SimBroker, (database, url): (&str, &str), seed: u64) -> Rc<Self> {
        let this = Rc::new(Self {
            loaders: Default::default(),
            broker: broker.clone(),
            database: database.to_owned(),
            url: RefCell::new(url.to_owned()),
            rng: RefCell::new(SplitMix64::new(seed ^ 0x00F4_025E)),
            asleep: Default::default(),
            seen: RefCell::default(),
        });
        let weak = Rc::downgrade(&this);
        broker.on_pause(Some(Box::new(move || {
            if let Some(this) = weak.upgrade() {
                this.meanwhile();
            }
        })));
        this
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Nobody stands still any more, and the database is reached directly.
    pub(crate) fn heal(&self) {
        self.broker.on_pause(None);
        self.url.replace(self.database.clone());
        self.asleep.iter().for_each(|asleep| asleep.set(0));
    }

    /// As if killed.
    pub(crate) fn kill(&self, number: usize) {
        self.loaders[number].replace(None);
    }

    /// From now on it sleeps for some rounds. While it does, its session ends, and the other one takes over.
    pub(crate) fn fall_asleep(&self, number: usize) {
        let rounds = 8 + self.rng.borrow_mut().below(24);
        self.asleep[number].set(rounds);
        self.seen.borrow_mut().between_rounds += 1;
        self.succeed(number, rounds);
    }

    /// What the other one does while one stands still in the middle of a call.
    fn meanwhile(&self) {
        let Some(still) = self.loaders.iter().position(|slot| slot.try_borrow_mut().is_err()) else { return };
        self.seen.borrow_mut().in_calls += 1;
        let (rounds, is_given_up) = {
            let mut rng = self.rng.borrow_mut();
            (1 + rng.below(12), rng.one_in(2))
        };
        if is_given_up {
            self.succeed(still, rounds);
        } else {
            (0..rounds).for_each(|_| self.round(1 - still));
        }
    }

    /// The group gives one up; the other one goes on for so many rounds.
    fn succeed(&self, still: usize, rounds: u64) {
        let before = self.claims();
        self.broker.expire_session(APP, &format!("{APP}-{}-0", NAMES[still]));
        (0..rounds).for_each(|_| self.round(1 - still));
        if self.claims() > before {
            self.seen.borrow_mut().successions += 1;
        }
    }

    /// How many claims there were so far; none before the first migration.
    fn claims(&self) -> u64 {
        let sum = "SELECT coalesce(sum(epoch), 0) FROM sink_offset";
        let rows = Postgres::shared().unwrap().query(&self.database, sum);
        rows.ok().and_then(|rows| rows.first()?.first()?.parse().ok()).unwrap_or(0)
    }

    /// One round of a loader as its supervisor sees it: whatever ends it, it is started again. Nothing while it stands still.
    pub(crate) fn round(&self, number: usize) {
        let asleep = &self.asleep[number];
        if asleep.get() > 0 {
            asleep.set(asleep.get() - 1);
            return;
        }
        let Ok(mut slot) = self.loaders[number].try_borrow_mut() else { return };
        let result = if let Some(loader) = slot.as_mut() {
            loader.run_once()
        } else {
            let (started, joined) = self.start(number);
            *slot = started;
            joined
        };
        if self.broker.take_crash().is_some() || result.is_err() {
            *slot = None;
        }
        if let Err(error) = result {
            // A bug, a wrong schema or a wedge would show here; what is left are the faults that were drawn.
            let drawn = matches!(&error, loader::Error::Broker(_) | loader::Error::Postgres(_))
                && !matches!(&error, loader::Error::Postgres(error) if error.recovery() == Recovery::Shutdown);
            assert!(drawn, "{}: {error}", NAMES[number]);
        }
    }

    fn start(&self, number: usize) -> (Option<Loader<SimBroker>>, Result<(), loader::Error>) {
        let mut config = config(&self.url.borrow(), NAMES[number]);
        // Rounds are not measured in time here.
        config.batch.linger = Duration::ZERO;
        config.retry_backoff = Duration::ZERO;
        config.limits.lock = LOCK_MAX;
        let mut loader = Loader::new(config, self.broker.clone(), SharedStatus::default()).unwrap();
        let joined = loader.join();
        (joined.is_ok().then_some(loader), joined)
    }
}
