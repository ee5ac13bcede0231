//! Each work by each program, on the same input.

use crate::bench::figures::{Lines, thousands};
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::shape::{LARGE_BATCH_BYTES, Shape};
use crate::bench::stand::{Bench, Input};

pub(super) fn measure(bench: &mut Bench<'_>, input: &Input, lines: &mut Lines) -> anyhow::Result<()> {
    let setting = Setting::of(bench.options);
    for work in bench.options.works() {
        alternate(bench, (work, setting), input, lines, &case(&input.shape, setting))?;
    }
    Ok(())
}

/// What a reader has to know of the input, in few words.
pub(super) fn case(shape: &Shape, setting: Setting) -> String {
    let Shape { keys, users, record_bytes, partitions, batch_bytes, .. } = shape;
    let (users, threads) = (thousands(u64::from(*users)), setting.threads);
    let threads = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    let batches = match *batch_bytes {
        LARGE_BATCH_BYTES => String::new(),
        bytes => format!(" in batches of {} KiB", bytes / 1024),
    };
    format!("{} of {users} keys, {record_bytes} B{batches}, {partitions} partitions, {threads}", keys.name())
}

/// All rounds of one work; who begins changes with the round.
pub(super) fn alternate(
    bench: &mut Bench<'_>,
    (work, setting): (Work, Setting),
    input: &Input,
    lines: &mut Lines,
    case: &str,
) -> anyhow::Result<()> {
    let mut sides = bench.programs.sides();
    if work == Work::Redaction && setting.threads == 1 {
        sides.push(Side::Bare);
    }
    for _ in 0..bench.options.rounds() {
        for side in &sides {
            let done = bench.run((*side, work), setting, input)?;
            bench.end(done)?.put_into(lines.line(work.name(), case, side.name()));
        }
        sides.reverse();
    }
    Ok(())
}
