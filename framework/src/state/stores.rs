//! All stores of one task: what the task commits, and what typed handles read and write.

use std::cell::{Cell, OnceCell, Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::changelog::RESERVED_PREFIX;
use super::overlay::{Lookup, Overlay};
use super::rows::{Rows, View};
use super::sampling::Sampling;
use super::{
    Backend, BackendStats, Checkpoint, CommitBatch, DatabaseStats, Direction, KeyRange, RestoredBatch, Row, StoreError,
    StoreIndex, StoreOperation, StoreSpec, StoreTimer,
};
use crate::record::TaskId;

/// The stores of one task, shared by `Rc` between the task and its handles, on one thread.
///
/// Writes stay in overlays until their commit succeeded:
///
/// ```text
///  put/delete ─▶ active ──freeze()──▶ frozen ──apply_frozen()──▶ backend (rows + checkpoint, one batch)
///                   └──────────────────┴──────discard()──▶ nothing
/// ```
pub struct TaskStores {
    task: TaskId,
    specs: Vec<StoreSpec>,
    /// One per spec.
    overlays: Vec<RefCell<Overlay>>,
    /// `None` once closed.
    backend: RefCell<Option<Box<dyn Backend>>>,
    /// Rises whenever committed rows may have changed, so that open iterators read them again.
    generation: Cell<u64>,
    /// True from `freeze` to `apply_frozen` or `discard`.
    in_flight: Cell<bool>,
    /// One per spec.
    samplings: Vec<Sampling>,
    /// Who is told how long operations take: nobody before the task runs.
    timer: OnceCell<Rc<dyn StoreTimer>>,
}

impl TaskStores {
    /// Stores over an opened backend; `specs` are those that it was opened with, in the same order.
    pub fn new(task: TaskId, specs: Vec<StoreSpec>, backend: Box<dyn Backend>) -> Rc<Self> {
        let overlays = specs.iter().map(|_| RefCell::default()).collect();
        let samplings = specs.iter().map(|_| Sampling::default()).collect();
        Rc::new(Self {
            task,
            specs,
            overlays,
            backend: RefCell::new(Some(backend)),
            generation: Cell::new(0),
            in_flight: Cell::new(false),
            samplings,
            timer: OnceCell::new(),
        })
    }

    /// The task.
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The stores, in the order of their [`StoreIndex`].
    pub fn specs(&self) -> &[StoreSpec] {
        &self.specs
    }

    /// Bytes of uncommitted rows in memory, those in flight included, with about 128 bytes added for each row. Commit
    /// early when this passes the configured limit.
    pub fn uncommitted_bytes(&self) -> usize {
        self.sum(Overlay::bytes)
    }

    /// The value of a key as this task sees it: its own uncommitted writes over committed rows.
    ///
    /// # Errors
    /// [`StoreError`]; `Closed` after [`close`](Self::close).
    pub fn get(&self, store: StoreIndex, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(store, key, |value| value.map(Bytes::copy_from_slice))
    }

    /// As [`get`](Self::get), without a copy. `read` must not write to the store.
    pub(crate) fn read<R>(
        &self,
        store: StoreIndex,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        self.timed(store, StoreOperation::Get, || self.look_up(store, key, read))
    }

    fn look_up<R>(
        &self,
        store: StoreIndex,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, StoreError> {
        let overlay = self.overlay(store)?;
        match overlay.get(key) {
            // Overlays are empty once the stores are closed.
            Lookup::Found(value) => Ok(read(Some(value))),
            Lookup::Deleted => Ok(read(None)),
            Lookup::Absent => {
                drop(overlay);
                let (mut read, mut result) = (Some(read), None);
                let mut once = |value: Option<&[u8]>| result = read.take().map(|read| read(value));
                self.with_committed(store, |backend| backend.read(store, key, &mut once))?;
                result.ok_or_else(|| self.bug("a backend has read and shown nothing"))
            }
        }
    }

    /// The committed value of a key, for queries.
    ///
    /// # Errors
    /// [`StoreError`]; `Closed` after [`close`](Self::close).
    pub fn committed_get(&self, store: StoreIndex, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.with_committed(store, |backend| backend.get(store, key))
    }

    /// Writes a row; it is not committed before [`apply_frozen`](Self::apply_frozen).
    ///
    /// # Errors
    /// `ReservedKey` when the key begins with [`RESERVED_PREFIX`], `Closed` after [`close`](Self::close).
    pub fn put(&self, store: StoreIndex, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(store, key, Some(value))
    }

    /// Deletes a row, present or not.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(&self, store: StoreIndex, key: &[u8]) -> Result<(), StoreError> {
        self.write(store, key, None)
    }

    fn write(&self, store: StoreIndex, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        if key.starts_with(RESERVED_PREFIX) {
            return Err(StoreError::ReservedKey { store: self.name(store).to_owned() });
        }
        drop(self.open(store)?);
        let operation = if value.is_some() { StoreOperation::Put } else { StoreOperation::Delete };
        self.timed(store, operation, || {
            self.overlay_mut(store)?.write(key, value);
            Ok(())
        })
    }

    /// The rows of a range as this task sees them. See [`Rows`] for what writes during the scan do.
    ///
    /// # Errors
    /// `Closed` after [`close`](Self::close); errors of the engine come as items.
    pub fn scan(self: &Rc<Self>, store: StoreIndex, range: KeyRange, direction: Direction) -> Result<Rows, StoreError> {
        drop(self.open(store)?);
        Ok(Rows::new(Rc::clone(self), store, range, direction, View::Own))
    }

    /// The committed rows of a range, for queries.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn committed_scan(
        self: &Rc<Self>,
        store: StoreIndex,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Rows, StoreError> {
        drop(self.open(store)?);
        Ok(Rows::new(Rc::clone(self), store, range, direction, View::Committed))
    }

    /// About how many rows the store has: the backend's count, plus rows written and minus rows deleted since the last
    /// commit. Between commits each update of a committed row counts as one more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn approximate_count(&self, store: StoreIndex) -> Result<u64, StoreError> {
        let committed = self.with_committed(store, |backend| backend.approximate_count(store))?;
        let (written, deleted) = self.overlay(store)?.counts();
        let count = committed.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(count.saturating_sub(u64::try_from(deleted).unwrap_or(u64::MAX)))
    }

    /// About how many committed rows the store has, for queries: the backend's count alone.
    ///
    /// # Errors
    /// [`StoreError`]; `Closed` after [`close`](Self::close).
    pub fn committed_count(&self, store: StoreIndex) -> Result<u64, StoreError> {
        self.with_committed(store, |backend| backend.approximate_count(store))
    }

    /// What committed rows cost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stats(&self) -> Result<BackendStats, StoreError> {
        self.backend()?.stats()
    }

    /// What the engine tells about itself, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn database_stats(&self) -> Result<Option<DatabaseStats>, StoreError> {
        self.backend()?.database_stats()
    }

    /// Remembers this moment, so that [`rollback`](Self::rollback) can undo the writes of one record. An open savepoint is
    /// forgotten.
    pub fn savepoint(&self) {
        self.each(Overlay::savepoint);
    }

    /// Forgets the savepoint, keeps the writes.
    pub fn release(&self) {
        self.each(Overlay::release);
    }

    /// Undoes all writes since the savepoint, and forgets it; nothing without one.
    pub fn rollback(&self) {
        self.each(Overlay::rollback);
    }

    /// Sets the uncommitted rows aside for the commit that begins now; later writes belong to the next one.
    ///
    /// # Errors
    /// `Bug` when a commit is in flight already: its rows would be taken for these.
    pub fn freeze(&self) -> Result<(), StoreError> {
        if self.in_flight.replace(true) {
            return Err(self.bug("frozen while a commit is in flight"));
        }
        self.each(Overlay::freeze);
        Ok(())
    }

    /// The rows whose commit is in flight, by store and in key order, each key once: what goes to the changelogs. Stores
    /// without changes are left out.
    pub fn frozen_rows(&self) -> BTreeMap<StoreIndex, Vec<Row>> {
        let rows = self.overlays.iter().zip(0..).map(|(overlay, index)| {
            let rows = overlay.try_borrow().map(|overlay| overlay.frozen().to_vec()).unwrap_or_default();
            (StoreIndex(index), rows)
        });
        rows.filter(|(_, rows)| !rows.is_empty()).collect()
    }

    /// After the transaction committed: makes the frozen rows and the checkpoint durable in one batch, and forgets the
    /// layer.
    ///
    /// # Errors
    /// [`StoreError`]: close the task. Kafka is ahead of this disk then, and the next owner replays the rows.
    pub fn apply_frozen(&self, checkpoint: Checkpoint) -> Result<(), StoreError> {
        if !self.in_flight.get() {
            return Err(self.bug("applied without a commit in flight"));
        }
        let mut batch = CommitBatch { rows: BTreeMap::new(), checkpoint };
        for (overlay, index) in self.overlays.iter().zip(0..) {
            let rows = overlay.try_borrow_mut().map_err(|_| self.busy())?.take_frozen();
            if !rows.is_empty() {
                batch.rows.insert(StoreIndex(index), rows);
            }
        }
        let began = self.timer.get().map(|timer| timer.reading());
        if let Err(error) = self.apply(&batch) {
            // Reads stay right until the task is closed.
            for (store, rows) in batch.rows {
                self.overlay_mut(store)?.restore_frozen(rows);
            }
            return Err(error);
        }
        self.tell(batch.rows.keys().copied(), StoreOperation::Flush, began);
        self.in_flight.set(false);
        Ok(())
    }

    /// Makes rows replayed from the changelogs durable together with the positions reached. Overlays must be empty. A batch
    /// without rows only moves the checkpoint.
    ///
    /// # Errors
    /// [`StoreError`]; `Bug` when there are uncommitted writes.
    pub fn apply_restored(&self, batch: &CommitBatch) -> Result<(), StoreError> {
        if self.in_flight.get() || self.uncommitted_bytes() > 0 {
            return Err(self.bug("restored over uncommitted writes"));
        }
        self.apply(batch)
    }

    /// Makes rows replayed from the changelogs durable together with the positions reached, by the engine's fastest way. It may
    /// still be at it when this returns. Overlays must be empty.
    ///
    /// # Errors
    /// [`StoreError`], also of the load before; `Bug` when there are uncommitted writes.
    pub fn load(&self, batch: RestoredBatch) -> Result<(), StoreError> {
        if self.in_flight.get() || self.uncommitted_bytes() > 0 {
            return Err(self.bug("loaded over uncommitted writes"));
        }
        self.change(|backend| backend.load(batch))
    }

    /// True while the rows of a [`load`](Self::load) are on their way.
    pub fn is_loading(&self) -> bool {
        self.borrow_backend().is_some_and(|backend| backend.is_loading())
    }

    /// Waits for them.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn settle(&self) -> Result<(), StoreError> {
        self.change(|backend| backend.settle())
    }

    /// Writes a batch whatever is uncommitted: for the breakages that tests must find.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn apply_regardless(&self, batch: &CommitBatch) -> Result<(), StoreError> {
        self.apply(batch)
    }

    fn apply(&self, batch: &CommitBatch) -> Result<(), StoreError> {
        self.change(|backend| backend.apply(batch))
    }

    fn change(&self, change: impl FnOnce(&mut dyn Backend) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut backend = self.backend.try_borrow_mut().map_err(|_| self.busy())?;
        change(&mut **backend.as_mut().ok_or_else(|| self.closed("all"))?)?;
        self.generation.set(self.generation.get().wrapping_add(1));
        Ok(())
    }

    /// Drops all uncommitted writes, those in flight included.
    pub fn discard(&self) {
        self.each(Overlay::discard);
        self.in_flight.set(false);
    }

    /// The checkpoint of the last batch, or load: it is waited for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.settle()?;
        self.backend()?.checkpoint()
    }

    /// Drops uncommitted writes and closes the backend. Handles that are still around give `Closed` from now on. A second
    /// close does nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the stores count as closed nevertheless.
    pub fn close(&self) -> Result<(), StoreError> {
        self.discard();
        let backend = self.backend.try_borrow_mut().map_err(|_| self.busy())?.take();
        self.generation.set(self.generation.get().wrapping_add(1));
        backend.map_or(Ok(()), Backend::close)
    }

    /// Tells `timer` from now on how long a sample of all operations takes; the first that comes is told for good.
    pub fn measure(&self, timer: Rc<dyn StoreTimer>) {
        let _ = self.timer.set(timer);
    }

    /// Does `operation`, and measures it when its turn has come.
    pub(super) fn timed<R>(&self, store: StoreIndex, operation: StoreOperation, act: impl FnOnce() -> R) -> R {
        let due = self
            .timer
            .get()
            .filter(|_| self.samplings.get(usize::from(store.0)).is_some_and(|sampling| sampling.takes(operation)));
        let began = due.map(|timer| timer.reading());
        let done = act();
        self.tell([store], operation, began);
        done
    }

    fn tell(&self, stores: impl IntoIterator<Item = StoreIndex>, operation: StoreOperation, began: Option<Duration>) {
        if let (Some(timer), Some(began)) = (self.timer.get(), began) {
            let took = timer.reading().saturating_sub(began);
            stores.into_iter().for_each(|store| timer.took(self.name(store), operation, took));
        }
    }

    /// Name of a store, for messages.
    pub(crate) fn name(&self, store: StoreIndex) -> &str {
        self.specs.get(usize::from(store.0)).map_or("unknown", |spec| &spec.name)
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation.get()
    }

    pub(crate) fn first_overlaid(
        &self,
        store: StoreIndex,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Option<Row>, StoreError> {
        let overlay = self.overlay(store)?;
        Ok(overlay.first(range, direction).map(|(key, value)| (key.clone(), value.cloned())))
    }

    pub(crate) fn with_committed<R>(
        &self,
        store: StoreIndex,
        read: impl FnOnce(&dyn Backend) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        read(&**self.open(store)?)
    }

    fn open(&self, store: StoreIndex) -> Result<Ref<'_, Box<dyn Backend>>, StoreError> {
        self.borrow_backend().ok_or_else(|| self.closed(self.name(store)))
    }

    fn backend(&self) -> Result<Ref<'_, Box<dyn Backend>>, StoreError> {
        self.borrow_backend().ok_or_else(|| self.closed("all"))
    }

    fn borrow_backend(&self) -> Option<Ref<'_, Box<dyn Backend>>> {
        Ref::filter_map(self.backend.try_borrow().ok()?, Option::as_ref).ok()
    }

    fn overlay(&self, store: StoreIndex) -> Result<Ref<'_, Overlay>, StoreError> {
        let overlay = self.overlays.get(usize::from(store.0)).ok_or_else(|| self.unknown())?;
        overlay.try_borrow().map_err(|_| self.busy())
    }

    fn overlay_mut(&self, store: StoreIndex) -> Result<RefMut<'_, Overlay>, StoreError> {
        let overlay = self.overlays.get(usize::from(store.0)).ok_or_else(|| self.unknown())?;
        overlay.try_borrow_mut().map_err(|_| self.busy())
    }

    fn each(&self, change: impl Fn(&mut Overlay)) {
        for overlay in &self.overlays {
            change(&mut overlay.borrow_mut());
        }
    }

    fn sum(&self, part: impl Fn(&Overlay) -> usize) -> usize {
        self.overlays.iter().map(|overlay| part(&overlay.borrow())).sum()
    }

    fn closed(&self, store: &str) -> StoreError {
        StoreError::Closed { task: self.task, store: store.to_owned() }
    }

    fn busy(&self) -> StoreError {
        self.bug("a store is used from within its own serde")
    }

    fn unknown(&self) -> StoreError {
        self.bug("a handle names a store that the task does not have")
    }

    const fn bug(&self, invariant: &'static str) -> StoreError {
        StoreError::Bug { task: self.task, invariant }
    }
}

impl fmt::Debug for TaskStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskStores").field("task", &self.task).field("specs", &self.specs).finish_non_exhaustive()
    }
}
