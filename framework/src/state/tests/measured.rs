//! How long operations on stores take is told of a sample of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::{BURSTS, CARTS, RECENT, TASK, checkpoint, specs};
use crate::state::{Direction, KeyRange, MemoryDirectory, StateDirectory, StoreOperation, StoreTimer, TaskStores};
use crate::time::Stopwatch;

/// Time goes on by a second with each look at it.
#[derive(Debug, Default)]
struct Looks {
    count: Cell<u64>,
    told: RefCell<Vec<(String, StoreOperation, Duration)>>,
}

impl Stopwatch for Looks {
    fn reading(&self) -> Duration {
        self.count.set(self.count.get() + 1);
        Duration::from_secs(self.count.get())
    }
}

impl StoreTimer for Looks {
    fn took(&self, store: &str, operation: StoreOperation, time: Duration) {
        self.told.borrow_mut().push((store.to_owned(), operation, time));
    }
}

/// What was told since the last call, counted.
fn told(looks: &Looks) -> BTreeMap<(String, StoreOperation), usize> {
    let mut counts = BTreeMap::new();
    for (store, operation, time) in looks.told.take() {
        assert_eq!(time, Duration::from_secs(1), "the clock is looked at before and after, and at no other time");
        *counts.entry((store, operation)).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(counts: [(&str, StoreOperation, usize); N]) -> BTreeMap<(String, StoreOperation), usize> {
    counts.into_iter().map(|(store, operation, count)| ((store.to_owned(), operation), count)).collect()
}

#[test]
fn a_sample_of_operations_is_measured_by_store_and_every_flush() {
    let stores = TaskStores::new(TASK, specs(), MemoryDirectory::new().open(TASK, &specs()).unwrap());
    let looks = Rc::new(Looks::default());
    let work = |rounds: u32| {
        for number in 0..rounds {
            let key = number.to_be_bytes();
            stores.put(CARTS, &key, b"value").unwrap();
            stores.get(CARTS, &key).unwrap();
            stores.delete(BURSTS, &key).unwrap();
            stores.scan(RECENT, KeyRange::all(), Direction::Forward).unwrap().for_each(drop);
            // Nobody's work but a query's, which is measured as a whole.
            stores.committed_scan(RECENT, KeyRange::all(), Direction::Forward).unwrap().for_each(drop);
        }
    };
    work(10);
    assert_eq!(looks.count.get(), 0, "nobody wants to know");
    stores.measure(Rc::clone(&looks) as Rc<dyn StoreTimer>);
    work(1);
    let first = counts([
        ("carts", StoreOperation::Put, 1),
        ("carts", StoreOperation::Get, 1),
        ("bursts", StoreOperation::Delete, 1),
        ("recent", StoreOperation::Scan, 1),
    ]);
    assert_eq!(told(&looks), first, "also an application with little to do has a figure");
    work(1270);
    assert_eq!(told(&looks), first.into_iter().map(|(what, count)| (what, 10 * count)).collect());
    for sequence in 1..=2 {
        stores.put(CARTS, b"a", b"1").unwrap();
        stores.freeze().unwrap();
        stores.apply_frozen(checkpoint(sequence)).unwrap();
        let flushed = told(&looks).into_keys().filter(|(_, operation)| *operation == StoreOperation::Flush);
        let flushed: Vec<String> = flushed.map(|(store, _)| store).collect();
        assert_eq!(flushed, if sequence == 1 { vec!["bursts", "carts"] } else { vec!["carts"] }, "those with rows");
    }
}
