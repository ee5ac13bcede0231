//! Any sequence of writes, savepoints, commits and crashes, against three plain maps.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{CARTS, RECENT, TASK, checkpoint, specs};
use crate::state::{Direction, KeyRange, RestoredBatch, Row, StateDirectory, StoreIndex, TaskStores};

type Layer = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

#[derive(Debug, Clone)]
enum Step {
    Write(StoreIndex, Vec<u8>, Option<Vec<u8>>),
    Savepoint,
    Release,
    Rollback,
    Freeze,
    Apply,
    Discard,
    /// Rows of a replay, where there is nothing uncommitted.
    Load(Vec<(StoreIndex, Vec<u8>, Option<Vec<u8>>)>),
    Close,
    Crash,
    /// A scan with a step after each row.
    Scan(StoreIndex, KeyRange, Direction, Vec<Step>),
}

/// Few and short keys, so that layers overlap and prefixes of each other occur.
fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(every_key())
}

fn every_key() -> Vec<Vec<u8>> {
    let letters = || [0, 1, 0xfe, 0xff].into_iter();
    let long = letters().flat_map(|first| letters().map(move |second| vec![first, second]));
    std::iter::once(Vec::new()).chain(letters().map(|letter| vec![letter])).chain(long).collect()
}

/// Seldom one that is larger than a small cache.
fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let length = prop_oneof![9 => 0..4_usize, 1 => 500..501_usize];
    let value = length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length));
    proptest::option::weighted(0.7, value)
}

fn store() -> impl Strategy<Value = StoreIndex> {
    prop_oneof![3 => Just(CARTS), 1 => Just(RECENT)]
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Forward), Just(Direction::Reverse)]
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        Just(KeyRange::all()),
        key().prop_map(|prefix| KeyRange::prefix(&prefix)),
        (key(), proptest::option::of(key())).prop_map(|(start, end)| KeyRange { start, end }),
    ]
}

/// What may also happen while a scan is open.
fn inner_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (store(), key(), value()).prop_map(|(store, key, value)| Step::Write(store, key, value)),
        2 => Just(Step::Savepoint),
        1 => Just(Step::Release),
        1 => Just(Step::Rollback),
        2 => Just(Step::Freeze),
        2 => Just(Step::Apply),
        1 => Just(Step::Discard),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let inner = proptest::collection::vec(inner_step(), 0..6);
    prop_oneof![
        20 => inner_step(),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
        2 => proptest::collection::vec((store(), key(), value()), 0..12).prop_map(Step::Load),
        8 => (store(), range(), direction(), inner)
            .prop_map(|(store, range, direction, inner)| Step::Scan(store, range, direction, inner)),
    ]
}

/// What a store should hold.
#[derive(Debug, Clone, Default)]
struct Model {
    committed: BTreeMap<Vec<u8>, Vec<u8>>,
    frozen: Layer,
    active: Layer,
    saved: Option<Layer>,
    /// Bytes written since the last freeze, or since a rollback has left nothing.
    written: usize,
}

impl Model {
    fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = self.committed.clone();
        merge(&mut rows, &self.frozen);
        merge(&mut rows, &self.active);
        rows
    }

    fn bytes(&self) -> usize {
        let frozen = self.frozen.iter().map(|(key, value)| 128 + key.len() + value.as_ref().map_or(0, Vec::len));
        let active = if self.active.is_empty() { 0 } else { 128 * self.active.len() + self.written };
        frozen.sum::<usize>() + active
    }

    /// The first row of `range` in `direction`, beyond `last`.
    fn after(&self, range: &KeyRange, direction: Direction, last: Option<&[u8]>) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut rows: Vec<_> = self.rows().into_iter().filter(|(key, _)| range.contains(key)).collect();
        if direction == Direction::Reverse {
            rows.reverse();
        }
        rows.into_iter().find(|(key, _)| last.is_none_or(|last| direction.is_before(last, key)))
    }
}

fn merge(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, layer: &Layer) {
    for (key, value) in layer {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

struct Run<D> {
    directory: D,
    stores: Rc<TaskStores>,
    models: BTreeMap<StoreIndex, Model>,
    in_flight: bool,
    sequence: u64,
}

/// Runs `cases` random histories, each on a fresh directory.
pub(super) fn check<D: Deref<Target: StateDirectory>>(cases: u32, directory: impl Fn() -> D) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let steps = proptest::collection::vec(step(), 1..80);
    let ran = runner.run(&steps, |steps| {
        let directory = directory();
        let stores = open(&*directory);
        let models = [(CARTS, Model::default()), (RECENT, Model::default())].into();
        let mut run = Run { directory, stores, models, in_flight: false, sequence: 0 };
        for step in steps {
            run.step(step);
            run.compare();
        }
        Ok(())
    });
    ran.unwrap();
}

fn open(directory: &(impl StateDirectory + ?Sized)) -> Rc<TaskStores> {
    TaskStores::new(TASK, specs(), directory.open(TASK, &specs()).unwrap())
}

impl<D: Deref<Target: StateDirectory>> Run<D> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Write(store, key, value) => self.write(store, &key, value),
            Step::Savepoint => {
                self.stores.savepoint();
                self.each(|model| model.saved = Some(model.active.clone()));
            }
            Step::Release => {
                self.stores.release();
                self.each(|model| model.saved = None);
            }
            Step::Rollback => {
                self.stores.rollback();
                self.each(|model| {
                    if let Some(saved) = model.saved.take() {
                        model.active = saved;
                        model.written = if model.active.is_empty() { 0 } else { model.written };
                    }
                });
            }
            Step::Freeze => {
                assert_eq!(self.stores.freeze().is_err(), self.in_flight);
                if !self.in_flight {
                    self.each(|model| {
                        model.frozen = std::mem::take(&mut model.active);
                        model.saved = None;
                        model.written = 0;
                    });
                }
                self.in_flight = true;
                self.compare_frozen();
            }
            Step::Apply => self.apply(),
            Step::Discard => {
                self.stores.discard();
                self.forget_uncommitted();
            }
            Step::Load(rows) => self.load(rows),
            Step::Close => {
                self.stores.close().unwrap();
                self.reopen();
            }
            Step::Crash => {
                // The last `Rc` of the stores goes: no close. A second empty directory holds the place meanwhile.
                let empty = crate::state::MemoryDirectory::new();
                self.stores = TaskStores::new(TASK, specs(), empty.open(TASK, &specs()).unwrap());
                self.reopen();
            }
            Step::Scan(store, range, direction, inner) => self.scan(store, &range, direction, inner),
        }
    }

    fn write(&mut self, store: StoreIndex, key: &[u8], value: Option<Vec<u8>>) {
        match value.clone() {
            Some(value) => self.stores.put(store, key, &value).unwrap(),
            None => self.stores.delete(store, key).unwrap(),
        }
        let model = self.models.get_mut(&store).unwrap();
        model.written += key.len() + value.as_ref().map_or(0, Vec::len);
        model.active.insert(key.to_vec(), value);
    }

    fn apply(&mut self) {
        let next = checkpoint(self.sequence + 1);
        assert_eq!(self.stores.apply_frozen(next).is_ok(), self.in_flight);
        if self.in_flight {
            self.sequence += 1;
            self.each(|model| merge(&mut model.committed, &std::mem::take(&mut model.frozen)));
        }
        self.in_flight = false;
    }

    fn load(&mut self, rows: Vec<(StoreIndex, Vec<u8>, Option<Vec<u8>>)>) {
        self.stores.discard();
        self.forget_uncommitted();
        self.sequence += 1;
        let mut batch = RestoredBatch { checkpoint: checkpoint(self.sequence), ..RestoredBatch::default() };
        for (store, key, value) in rows {
            assert!(batch.rows.entry(store).or_default().push(&key, value.as_deref()));
            merge(&mut self.models.get_mut(&store).unwrap().committed, &[(key, value)].into());
        }
        self.stores.load(batch).unwrap();
        self.stores.settle().unwrap();
    }

    fn reopen(&mut self) {
        self.stores = open(&*self.directory);
        self.forget_uncommitted();
        self.models.get_mut(&RECENT).unwrap().committed.clear();
    }

    fn forget_uncommitted(&mut self) {
        self.in_flight = false;
        self.each(|model| *model = Model { committed: std::mem::take(&mut model.committed), ..Model::default() });
    }

    fn each(&mut self, change: impl Fn(&mut Model)) {
        self.models.values_mut().for_each(change);
    }

    fn scan(&mut self, store: StoreIndex, range: &KeyRange, direction: Direction, inner: Vec<Step>) {
        let mut rows = self.stores.scan(store, range.clone(), direction).unwrap();
        let mut inner = inner.into_iter();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let row = rows.next().map(|row| row.unwrap()).map(|(key, value)| (key.to_vec(), value.to_vec()));
            assert_eq!(row, self.models[&store].after(range, direction, last.as_deref()));
            let Some((key, _)) = row else { break };
            last = Some(key);
            if let Some(step) = inner.next() {
                self.step(step);
            }
        }
        assert!(rows.next().is_none(), "an ended scan stays ended");
    }

    fn compare(&self) {
        for (store, model) in &self.models {
            let rows = model.rows();
            for key in every_key() {
                let value = self.stores.get(*store, &key).unwrap().map(|value| value.to_vec());
                assert_eq!(value.as_ref(), rows.get(&key));
                let committed = self.stores.committed_get(*store, &key).unwrap().map(|value| value.to_vec());
                assert_eq!(committed.as_ref(), model.committed.get(&key));
            }
        }
        assert_eq!(self.stores.uncommitted_bytes(), self.models.values().map(Model::bytes).sum::<usize>());
        assert_eq!(self.stores.checkpoint().unwrap().sequence, self.sequence);
    }

    fn compare_frozen(&self) {
        let row = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| -> Row {
            (Bytes::from(key.clone()), value.clone().map(Bytes::from))
        };
        let models = self.models.iter().filter(|(_, model)| !model.frozen.is_empty());
        let expected: BTreeMap<_, Vec<_>> =
            models.map(|(store, model)| (*store, model.frozen.iter().map(row).collect())).collect();
        assert_eq!(self.stores.frozen_rows(), expected);
    }
}
