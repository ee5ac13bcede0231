//! A replay is idempotent: rows are absolute, so it may begin anywhere at or before what is on disk, come in any batches, and
//! happen twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{CARTS, TASK, restored, row, specs};
use crate::state::{Backend, Direction, KeyRange, MemoryDirectory, StateDirectory};

/// Key and value of each record of a changelog; `None` deletes. Few keys, so that most rows are replaced.
type Log = Vec<(u8, Option<u8>)>;

/// Replays `log[from..to]` in batches of these sizes, over and over.
fn replay(backend: &mut dyn Backend, log: &Log, (from, to): (usize, usize), sizes: &[usize]) {
    let mut at = from;
    for size in sizes.iter().cycle() {
        if at >= to {
            return;
        }
        let end = (at + size).min(to);
        let rows = log[at..end].iter().map(|(key, value)| {
            let value = value.map(|value| format!("v{value}"));
            row(&format!("k{key}"), value.as_deref())
        });
        backend.load(restored(end as u64, [(CARTS, rows.collect())])).unwrap();
        at = end;
    }
}

fn rows(backend: &mut dyn Backend) -> BTreeMap<String, String> {
    backend.settle().unwrap();
    let rows = backend.scan(CARTS, &KeyRange::all(), Direction::Forward).unwrap();
    rows.map(|row| super::text(row.unwrap())).collect()
}

fn fold(log: &Log) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for (key, value) in log {
        let key = format!("k{key}");
        match value {
            Some(value) => rows.insert(key, format!("v{value}")),
            None => rows.remove(&key),
        };
    }
    rows
}

fn check(
    directory: &dyn StateDirectory,
    log: &Log,
    (from, have): (usize, usize),
    sizes: &[usize],
) -> Result<(), TestCaseError> {
    let mut backend = directory.open(TASK, &specs()).unwrap();
    replay(&mut *backend, log, (0, have), &[1]);
    for _ in 0..2 {
        replay(&mut *backend, log, (from, log.len()), sizes);
        prop_assert_eq!(rows(&mut *backend), fold(log), "from {} with {} there", from, have);
    }
    Ok(())
}

fn logs() -> impl Strategy<Value = (Log, (usize, usize), Vec<usize>)> {
    let record = (0_u8..6, prop::option::weighted(0.7, any::<u8>()));
    let log = prop::collection::vec(record, 1..40);
    (log, any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::collection::vec(1_usize..9, 1..5)).prop_map(
        |(log, have, from, sizes)| {
            let have = have.index(log.len() + 1);
            let from = from.index(have + 1);
            (log, (from, have), sizes)
        },
    )
}

proptest! {
    #[test]
    fn a_replay_from_any_older_offset_in_any_batches_gives_the_same_rows((log, places, sizes) in logs()) {
        check(&MemoryDirectory::new(), &log, places, &sizes)?;
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn so_it_does_on_disk((log, places, sizes) in logs()) {
        check(&*super::on_rocksdb::temporary(), &log, places, &sizes)?;
    }
}
