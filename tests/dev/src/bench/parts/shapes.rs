//! The same with other keys, other sizes of records and batches, and two threads: nothing here is tuned to one input.

use crate::bench::figures::Lines;
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::shape::{Keys, SMALL_BATCH_BYTES, Shape};
use crate::bench::stand::Bench;

use super::works::{alternate, case};

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    let plain = bench.options.shape();
    let plain = Shape { events: plain.events.min(bench.options.pick(1_000_000, 200_000)), ..plain };
    let one = Setting::of(bench.options);
    let two = Setting { threads: 2, ..one };
    let skewed = Shape { keys: Keys::Skewed, ..plain };
    let long = Shape { record_bytes: 1_000, events: plain.events / 2, ..plain };
    let small = Shape { batch_bytes: SMALL_BATCH_BYTES, ..plain };
    let works = bench.options.pick(Work::ALL.as_slice(), &[Work::Redaction, Work::Count]);
    let mut runs = vec![("two-threads", plain, two, works.to_vec())];
    if !bench.options.quick {
        runs.push(("skewed", skewed, one, vec![Work::Count, Work::Fraud, Work::Attribution]));
        runs.push(("long", long, one, vec![Work::Redaction, Work::Count]));
        runs.push(("small-batches", small, one, vec![Work::Redaction, Work::Fraud]));
        runs.push(("many-partitions", Shape { partitions: 64, ..plain }, one, vec![Work::Count]));
    }
    if !bench.options.quick && !bench.options.alone {
        small_heap(bench, plain, lines)?;
    }
    for (name, shape, setting, works) in runs {
        let input = bench.input(&format!("bench-shape-{name}"), shape)?;
        for work in works {
            alternate(bench, (work, setting), &input, lines, &case(&shape, setting))?;
        }
        bench.client.delete_topics(&[&input.topic])?;
    }
    Ok(())
}

/// The peer takes what memory it finds. This is what it costs to keep it small.
fn small_heap(bench: &mut Bench<'_>, shape: Shape, lines: &mut Lines) -> anyhow::Result<()> {
    let setting = Setting { heap_mib: Some(256), ..Setting::of(bench.options) };
    let input = bench.input("bench-shape-small-heap", shape)?;
    for _ in 0..bench.options.rounds() {
        for work in [Work::Redaction, Work::Count] {
            let done = bench.run((Side::Streams, work), setting, &input)?;
            let line = lines.line(work.name(), &case(&shape, setting), "kafka-streams, heap of 256 MiB");
            bench.end(done)?.put_into(line);
        }
    }
    Ok(bench.client.delete_topics(&[&input.topic])?)
}
