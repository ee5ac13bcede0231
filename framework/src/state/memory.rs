//! State in memory that survives close and open like a disk, with the faults of a disk to inject.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;

use super::memory_faults::{DiskFaults, StoreFault};
use super::sorted::SortedRows;
use super::{
    Backend, BackendStats, Checkpoint, CommitBatch, Direction, KeyRange, Row, Scan, StateDirectory, StoreError,
    StoreIndex, StoreKind, StoreSpec,
};
use crate::record::TaskId;

/// How many of a task's last batches [`MemoryDirectory::lose_since`] can take back.
const HISTORY_BATCHES_MAX: usize = 256;

/// A state directory in memory. Clones share the same state, on one thread.
///
/// Dropping a backend without closing it is a crash of the process: everything applied stays, the lock is free.
#[derive(Debug, Clone, Default)]
pub struct MemoryDirectory {
    tasks: Rc<RefCell<BTreeMap<TaskId, Shared>>>,
    /// How many states were set aside.
    quarantined: Rc<RefCell<usize>>,
    faults: Rc<RefCell<DiskFaults>>,
}

type Shared = Rc<RefCell<TaskState>>;
type Map = Rc<RefCell<SortedRows>>;

/// One task's state, open or not.
#[derive(Debug, Default)]
struct TaskState {
    open: bool,
    corrupt: Option<String>,
    fail_applies: usize,
    /// By store name, so that the order of stores may change from open to open.
    stores: BTreeMap<String, Map>,
    checkpoint: Checkpoint,
    /// What undoes the last batches, newest last.
    history: VecDeque<Undo>,
    /// A batch that the process died in: the next open takes back what is there of it.
    torn: Option<Undo>,
}

#[derive(Debug)]
struct Undo {
    rows: Vec<(Map, Row)>,
    checkpoint: Checkpoint,
}

impl MemoryDirectory {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next `count` batches of a task fail; nothing of them is applied.
    pub fn fail_applies(&self, task: TaskId, count: usize) {
        self.state(task).borrow_mut().fail_applies = count;
    }

    /// Takes back the last `count` batches of a crashed task, as a crash of the machine loses what was not synced. Says how
    /// many there were to lose: batches since the task was opened, at most 256; none when it is open or was closed in order.
    pub fn lose_since(&self, task: TaskId, count: usize) -> usize {
        let state = self.state(task);
        let mut state = state.borrow_mut();
        let mut lost = 0;
        if let Some(torn) = state.torn.take() {
            state.take_back(torn);
        }
        while lost < count && !state.open {
            let Some(undo) = state.history.pop_back() else { break };
            state.take_back(undo);
            lost += 1;
        }
        lost
    }

    /// The fault strikes once, after that many batches, whichever task's they are.
    pub fn fail_after(&self, fault: StoreFault, batches: u32) {
        self.faults.borrow_mut().schedule(fault, batches);
    }

    /// The fault that has killed the process, once: whoever drives it asks after every round, and drops it then.
    pub fn take_crash(&self) -> Option<StoreFault> {
        self.faults.borrow_mut().take_crash()
    }

    /// What was to strike and has not does not strike any more.
    pub fn clear_faults(&self) {
        self.faults.borrow_mut().clear();
    }

    /// How often each fault of the disk has struck.
    pub fn faults_hit(&self) -> BTreeMap<StoreFault, u64> {
        self.faults.borrow().hits().clone()
    }

    /// An image of the disk as it is now, as a backup or a volume that is attached again later.
    #[must_use]
    pub fn image(&self) -> Self {
        let tasks = self.tasks.borrow();
        let copies = tasks.iter().map(|(&id, state)| (id, Rc::new(RefCell::new(state.borrow().image()))));
        Self { tasks: Rc::new(RefCell::new(copies.collect())), ..Self::default() }
    }

    /// Damages a task's state: reads of an open backend and the next open give `Corrupt`, until it is set aside or wiped.
    pub fn corrupt(&self, task: TaskId) {
        self.state(task).borrow_mut().corrupt = Some("damaged on purpose".to_owned());
    }

    /// The committed rows of a store, in key order; empty when there is no such store.
    pub fn contents(&self, task: TaskId, store: &str) -> BTreeMap<Bytes, Bytes> {
        let tasks = self.tasks.borrow();
        let map = tasks.get(&task).and_then(|state| state.borrow().stores.get(store).cloned());
        map.map(|map| map.borrow().rows().clone()).unwrap_or_default()
    }

    /// The checkpoint of a task, open or not; `None` when it has no state here.
    pub fn checkpoint(&self, task: TaskId) -> Option<Checkpoint> {
        self.tasks.borrow().get(&task).map(|state| state.borrow().checkpoint.clone())
    }

    /// How many states were set aside so far.
    pub fn quarantined(&self) -> usize {
        *self.quarantined.borrow()
    }

    fn state(&self, task: TaskId) -> Shared {
        Rc::clone(self.tasks.borrow_mut().entry(task).or_default())
    }

    fn remove(&self, task: TaskId) -> Result<(), StoreError> {
        if let Entry::Occupied(entry) = self.tasks.borrow_mut().entry(task) {
            if entry.get().borrow().open {
                return Err(StoreError::Locked { task });
            }
            entry.remove();
        }
        Ok(())
    }
}

impl StateDirectory for MemoryDirectory {
    fn open(&self, task: TaskId, stores: &[StoreSpec]) -> Result<Box<dyn Backend>, StoreError> {
        let shared = self.state(task);
        let mut state = shared.borrow_mut();
        if state.open {
            return Err(StoreError::Locked { task });
        }
        state.check(task)?;
        if let Some(torn) = state.torn.take() {
            // The log's last entry is incomplete: it is dropped as if it had never been written.
            state.take_back(torn);
        }
        let mut maps = Vec::new();
        for spec in stores {
            if spec.kind == StoreKind::InMemory {
                state.stores.remove(&spec.name);
            }
            maps.push(Rc::clone(state.stores.entry(spec.name.clone()).or_default()));
        }
        state.checkpoint.forget_in_memory(stores);
        // Opening replays and syncs the log: only later batches can be lost.
        state.history.clear();
        state.open = true;
        drop(state);
        Ok(Box::new(MemoryBackend { task, maps, state: shared, faults: Rc::clone(&self.faults) }))
    }

    fn quarantine(&self, task: TaskId) -> Result<PathBuf, StoreError> {
        self.remove(task)?;
        *self.quarantined.borrow_mut() += 1;
        Ok(PathBuf::from(format!("{task}.corrupt-{}", self.quarantined())))
    }

    fn wipe(&self, task: TaskId) -> Result<(), StoreError> {
        self.remove(task)
    }

    fn tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        Ok(self.tasks.borrow().keys().copied().collect())
    }
}

impl TaskState {
    fn take_back(&mut self, undo: Undo) {
        for (map, (key, value)) in undo.rows.into_iter().rev() {
            map.borrow_mut().set(&key, value.as_deref());
        }
        self.checkpoint = undo.checkpoint;
    }

    fn image(&self) -> Self {
        let copy = |(name, map): (&String, &Map)| (name.clone(), Rc::new(RefCell::new(map.borrow().clone())));
        Self {
            corrupt: self.corrupt.clone(),
            stores: self.stores.iter().map(copy).collect(),
            checkpoint: self.checkpoint.clone(),
            ..Self::default()
        }
    }

    fn check(&self, task: TaskId) -> Result<(), StoreError> {
        match &self.corrupt {
            Some(reason) => Err(StoreError::Corrupt { task, reason: reason.clone() }),
            None => Ok(()),
        }
    }
}

/// One task's state, opened.
#[derive(Debug)]
struct MemoryBackend {
    task: TaskId,
    /// One per store, in the order given at open.
    maps: Vec<Map>,
    state: Shared,
    faults: Rc<RefCell<DiskFaults>>,
}

impl MemoryBackend {
    fn map(&self, store: StoreIndex) -> Result<&Map, StoreError> {
        let invariant = "a store is used that the backend was not opened with";
        self.maps.get(usize::from(store.0)).ok_or(StoreError::Bug { task: self.task, invariant })
    }
}

impl Backend for MemoryBackend {
    fn read(&self, store: StoreIndex, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        self.state.borrow().check(self.task)?;
        read(self.map(store)?.borrow().get(key).map(Bytes::as_ref));
        Ok(())
    }

    fn scan(&self, store: StoreIndex, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError> {
        self.state.borrow().check(self.task)?;
        let map = self.map(store)?;
        let mut rest = range.clone();
        Ok(Box::new(std::iter::from_fn(move || {
            let row = map.borrow().first(&rest, direction)?;
            rest.advance(&row.0, direction);
            Some(Ok(row))
        })))
    }

    fn approximate_count(&self, store: StoreIndex) -> Result<u64, StoreError> {
        Ok(self.map(store)?.borrow().count())
    }

    fn apply(&mut self, batch: &CommitBatch) -> Result<(), StoreError> {
        let mut state = self.state.borrow_mut();
        state.check(self.task)?;
        if state.fail_applies > 0 {
            state.fail_applies -= 1;
            let reason = "failed on purpose".to_owned();
            return Err(StoreError::Io { task: self.task, operation: "written", reason });
        }
        let struck = self.faults.borrow_mut().strike();
        if let Some(fault @ (StoreFault::WriteFails | StoreFault::CrashBeforeBatch)) = struck {
            return Err(fault.error(self.task));
        }
        let mut undo = Undo { rows: Vec::new(), checkpoint: state.checkpoint.clone() };
        // All stores are looked up before the first row is written: all or nothing.
        let changes: Result<Vec<_>, _> =
            batch.rows.iter().map(|(store, rows)| self.map(*store).map(|map| (map, rows))).collect();
        let changes = changes?;
        let half = changes.iter().map(|(_, rows)| rows.len()).sum::<usize>() / 2;
        for (map, rows) in changes {
            for (key, value) in rows {
                if struck == Some(StoreFault::CrashInBatch) && undo.rows.len() >= half {
                    break;
                }
                let old = map.borrow_mut().set(key, value.as_deref());
                undo.rows.push((Rc::clone(map), (key.clone(), old)));
            }
        }
        if struck == Some(StoreFault::CrashInBatch) {
            state.torn = Some(undo);
            return Err(StoreFault::CrashInBatch.error(self.task));
        }
        state.checkpoint = batch.checkpoint.clone();
        state.history.push_back(undo);
        if state.history.len() > HISTORY_BATCHES_MAX {
            state.history.pop_front();
        }
        struck.map_or(Ok(()), |fault| Err(fault.error(self.task)))
    }

    fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let state = self.state.borrow();
        state.check(self.task)?;
        Ok(state.checkpoint.clone())
    }

    fn stats(&self) -> Result<BackendStats, StoreError> {
        let mut stats = BackendStats::default();
        for map in &self.maps {
            stats.rows += map.borrow().count();
            stats.memory_bytes += map.borrow().bytes();
        }
        Ok(stats)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        // Closing syncs: nothing before it can be lost.
        self.state.borrow_mut().history.clear();
        Ok(())
    }
}

impl Drop for MemoryBackend {
    fn drop(&mut self) {
        self.state.borrow_mut().open = false;
    }
}
