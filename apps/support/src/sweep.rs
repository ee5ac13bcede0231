//! Removing outdated rows a few at a time, so that no round is long and no index by time is needed.

use std::ops::Bound;

use millpond::state::{KeyValueStore, StoreError};

/// Rows looked at in each step, however small the store.
const ROWS_MIN: u64 = 256;

/// Walks through a store in steps and begins again at its end. Each step looks at a tenth of the rows that there were
/// when the walk began, so that every row is looked at within about ten steps.
///
/// The position is not state: after a restart the walk begins at the first row, which is only a matter of work.
#[derive(Debug)]
pub struct Sweep<K> {
    walk: Option<Walk<K>>,
}

/// A walk that was cut short.
#[derive(Debug)]
struct Walk<K> {
    after: K,
    rows_per_step: usize,
}

impl<K> Default for Sweep<K> {
    fn default() -> Self {
        Self { walk: None }
    }
}

impl<K: Clone + 'static> Sweep<K> {
    /// Deletes what is outdated among the next rows. Returns how many rows went.
    ///
    /// # Errors
    /// [`StoreError`], also when a row does not decode: stop the task.
    pub fn step<V: 'static>(
        &mut self,
        store: &KeyValueStore<K, V>,
        outdated: impl Fn(&K, &V) -> bool,
    ) -> Result<usize, StoreError> {
        let (start, rows_per_step) = if let Some(walk) = self.walk.take() {
            (Bound::Excluded(walk.after), walk.rows_per_step)
        } else {
            let rows = store.approximate_count()?.div_ceil(10).max(ROWS_MIN);
            (Bound::Unbounded, usize::try_from(rows).unwrap_or(usize::MAX))
        };
        let mut delete = Vec::new();
        for (row, looked_at) in store.range((start, Bound::Unbounded))?.zip(1..) {
            let (key, value) = row?;
            if outdated(&key, &value) {
                delete.push(key.clone());
            }
            if looked_at == rows_per_step {
                self.walk = Some(Walk { after: key, rows_per_step });
                break;
            }
        }
        for key in &delete {
            store.delete(key)?;
        }
        Ok(delete.len())
    }
}

#[cfg(test)]
mod tests {
    use millpond::record::{Partition, TaskId};
    use millpond::serde::{Int64, Ordered};
    use millpond::state::{MemoryDirectory, StateDirectory, StoreIndex, StoreKind, StoreSpec, TaskStores};

    use super::*;

    fn store() -> KeyValueStore<i64, i64> {
        let task = TaskId { subtopology: 0, partition: Partition(0) };
        let specs = vec![StoreSpec { name: "rows".into(), kind: StoreKind::InMemory, changelog: None }];
        let backend = MemoryDirectory::new().open(task, &specs).unwrap();
        KeyValueStore::new(TaskStores::new(task, specs, backend), StoreIndex(0), &Ordered, &Int64)
    }

    #[test]
    fn every_outdated_row_goes_within_a_few_steps_and_no_other() {
        let store = store();
        for key in 0..5_000 {
            store.put(&key, &(key % 3)).unwrap();
        }
        let mut sweep = Sweep::default();
        let removed: Vec<usize> = (0..11).map(|_| sweep.step(&store, |_, value| *value == 0).unwrap()).collect();
        assert_eq!(removed.iter().sum::<usize>(), 1_667, "{removed:?}");
        assert!(removed.iter().all(|&rows| rows <= 167), "no step does it all: {removed:?}");
        assert!(store.all().unwrap().all(|row| row.unwrap().1 != 0));
        assert_eq!(store.all().unwrap().count(), 3_333);
    }

    #[test]
    fn a_walk_that_reached_the_end_begins_again() {
        let store = store();
        let mut sweep = Sweep::default();
        for round in 0..3 {
            store.put(&1, &round).unwrap();
            assert_eq!(sweep.step(&store, |_, _| true).unwrap(), 1);
            assert_eq!(sweep.step(&store, |_, _| true).unwrap(), 0);
        }
    }

    #[test]
    fn keys_decide_as_well_as_values() {
        let store = store();
        store.put(&1, &0).unwrap();
        store.put(&2, &0).unwrap();
        Sweep::default().step(&store, |key, _| *key == 1).unwrap();
        assert_eq!(store.all().unwrap().map(|row| row.unwrap().0).collect::<Vec<_>>(), [2]);
    }
}
