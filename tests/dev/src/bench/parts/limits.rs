//! What bare libraries do: nothing that uses them can do better.

use std::time::Duration;

use anyhow::Context;

use crate::bench::figures::{Figure, Lines, thousands};
use crate::bench::say;
use crate::bench::shape::Shape;
use crate::bench::stand::{Bench, Input};

/// About what a commit holds.
const BATCH: u64 = 30_000;
const LIMIT: Duration = Duration::from_mins(10);

pub(super) fn measure(bench: &mut Bench<'_>, input: &Input, lines: &mut Lines) -> anyhow::Result<()> {
    let Shape { events, users, record_bytes, .. } = input.shape;
    for _ in 0..bench.options.rounds() {
        consumer(bench, input, lines, &format!("{record_bytes} B"))?;
        rocks(bench, (u64::from(users), events), lines)?;
    }
    // Once: as many keys as the tables of `rows` have.
    let tables: &[u64] = bench.options.pick(&[1_000_000, 10_000_000], &[]);
    tables.iter().try_for_each(|&keys| rocks(bench, (keys, keys), lines))
}

fn consumer(bench: &mut Bench<'_>, input: &Input, lines: &mut Lines, case: &str) -> anyhow::Result<()> {
    let place = bench.place("consume", &input.topic)?;
    let commit_ms = bench.options.commit_ms.to_string();
    let arguments = [place.bootstrap_servers.as_str(), &place.application_id, &place.input, &commit_ms];
    let launch = bench.programs.tool("bench-consume", &place).args(arguments);
    let (run, mut process) = bench.watch(&place, input.shape.partitions, None)?.run(launch, input.shape.events)?;
    process.stop()?;
    say(&format!("    bare consumer {:>9.0}/s {:>6.2} µs", run.rate(), run.cpu_us()));
    run.put_into(lines.line("read", case, "bare-consumer"));
    bench.forget(&place)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn rocks(bench: &mut Bench<'_>, (keys, records): (u64, u64), lines: &mut Lines) -> anyhow::Result<()> {
    let place = bench.place("rocks", "none")?;
    let arguments = [place.state().display().to_string(), keys.to_string(), records.to_string(), BATCH.to_string()];
    let mut process = bench.programs.tool("bench-rocks", &place).args(arguments).start()?;
    let status = process.wait(LIMIT)?;
    let printed = process.log();
    let mut numbers = printed.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(took)), Some(Ok(used))) = (numbers.next(), numbers.next()) else {
        anyhow::bail!("the bare RocksDB writer failed ({status}): {printed}")
    };
    let records = records as f64;
    say(&format!("    bare RocksDB {:>10.0}/s {:>6.2} µs", records / took, used * 1e6 / records));
    let line = lines.line("count in a store", &format!("{} keys", thousands(keys)), "bare-rocksdb");
    line.push(Figure::RecordsPerSecond, (records / took).round());
    line.push(Figure::CpuMicrosPerRecord, used * 1e6 / records);
    bench.forget(&place).context("remove the bare store")
}
