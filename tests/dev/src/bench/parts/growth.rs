//! Cost per record while one thing grows and all else stays.

use crate::bench::figures::Lines;
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::shape::Shape;
use crate::bench::stand::Bench;

/// What grows: the name of the axis.
pub(crate) const AXES: [&str; 5] = ["keys", "partitions", "record bytes", "stores", "threads"];

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    let plain = bench.options.shape();
    let plain = Shape { events: plain.events.min(bench.options.pick(2_000_000, 200_000)), ..plain };
    let quick = bench.options.quick;
    let less = |all: &[u32]| -> Vec<u32> {
        let ends = [all.first(), all.last()].into_iter().flatten().copied();
        if quick { ends.collect() } else { all.to_vec() }
    };
    let [keys, partitions, bytes, stores, threads] = AXES;
    for users in less(&[10_000, 100_000, 1_000_000, 10_000_000]) {
        // Enough records that a table of that size is there for most of the run.
        let events = if quick { plain.events } else { plain.events.max(u64::from(users) / 2) };
        point(bench, (keys, users), Work::Count, Shape { events, users, ..plain }, lines)?;
    }
    for number in less(&[1, 4, 16, 64]) {
        let shape = Shape { partitions: i32::try_from(number)?, ..plain };
        point(bench, (partitions, number), Work::Count, shape, lines)?;
    }
    if quick {
        return Ok(());
    }
    for record_bytes in [100_u32, 1_000, 10_000, 100_000] {
        let events = (1_000_000_000 / u64::from(record_bytes)).min(plain.events);
        let shape = Shape { record_bytes: usize::try_from(record_bytes)?, events, ..plain };
        point(bench, (bytes, record_bytes), Work::Redaction, shape, lines)?;
    }
    for number in [1, 2, 4, 8] {
        point(bench, (stores, number), Work::Count, plain, lines)?;
    }
    for number in [1, 2, 4] {
        point(bench, (threads, number), Work::Count, plain, lines)?;
    }
    Ok(())
}

fn point(
    bench: &mut Bench<'_>,
    (axis, at): (&str, u32),
    work: Work,
    shape: Shape,
    lines: &mut Lines,
) -> anyhow::Result<()> {
    let mut setting = Setting::of(bench.options);
    match axis {
        "stores" => setting.stores = at,
        "threads" => setting.threads = at,
        _ => {}
    }
    let input = bench.input(&format!("bench-growth-{}-{at}", axis.replace(' ', "-")), shape)?;
    for _ in 0..bench.options.rounds() {
        let done = bench.run((Side::Millpond, work), setting, &input)?;
        let line = lines.line(&format!("{} against {axis}", work.name()), &at.to_string(), Side::Millpond.name());
        line.at = Some(f64::from(at));
        bench.end(done)?.put_into(line);
    }
    bench.client.delete_topics(&[&input.topic])?;
    Ok(())
}
