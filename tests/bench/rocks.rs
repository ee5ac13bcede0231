//! Counts keys in a RocksDB with nothing around it: the limit for any program with such a store.
//!
//! `bench-rocks DIR KEYS RECORDS BATCH` reads each record's key unless the batch has it already, adds one, and writes sorted
//! batches. It prints how long that took in seconds, and how much CPU time in seconds, and ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use rocksdb::{BlockBasedOptions, Cache, DB, Options, WriteBatch};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, keys, records, batch] = arguments.as_slice() else { anyhow::bail!("say DIR KEYS RECORDS BATCH") };
    let (keys, records): (u64, u64) = (keys.parse().context("KEYS")?, records.parse().context("RECORDS")?);
    let batch: usize = batch.parse().context("BATCH")?;
    let database = DB::open(&options(), dir)?;
    let (began, before) = (Instant::now(), cpu_seconds()?);
    let mut random = 1_u64;
    let mut counts = BTreeMap::<Vec<u8>, u64>::new();
    for number in 0..records {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = format!("u{}", (random >> 33) % keys).into_bytes();
        let count = match counts.get(&key) {
            Some(count) => *count,
            None => match database.get_pinned(&key)? {
                Some(bytes) => u64::from_be_bytes(bytes.as_ref().try_into().context("eight bytes")?),
                None => 0,
            },
        };
        counts.insert(key, count + 1);
        if usize::try_from(number + 1)? % batch == 0 {
            write(&database, &mut counts)?;
        }
    }
    write(&database, &mut counts)?;
    let (took, used) = (began.elapsed().as_secs_f64(), cpu_seconds()? - before);
    writeln!(std::io::stdout(), "{took:.3} {used:.3}")?;
    Ok(())
}

fn write(database: &DB, counts: &mut BTreeMap<Vec<u8>, u64>) -> anyhow::Result<()> {
    let mut rows = WriteBatch::default();
    for (key, count) in std::mem::take(counts) {
        rows.put(key, count.to_be_bytes());
    }
    Ok(database.write(rows)?)
}

/// The same sizes as the library's defaults.
fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(64 << 20));
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options
}

/// User and system time of this process, background threads included.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum::<u32>();
    Ok(f64::from(ticks) / 100.0)
}
