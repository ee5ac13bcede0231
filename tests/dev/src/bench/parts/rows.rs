//! Tables of many rows: how fast they fill, how soon a killed program goes on, how soon one that has lost its disk.

use std::fs;
use std::time::Instant;

use anyhow::Context;
use millpond_harness::Outgoing;

use crate::bench::figures::{Figure, Lines, thousands};
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::say;
use crate::bench::shape::Shape;
use crate::bench::stand::{Bench, Done, Input};
use crate::bench::tail::Tail;

/// From here on one restore takes long enough to be exact, and too long to be repeated.
const MANY: u32 = 5_000_000;

/// A program with its table.
#[derive(Clone, Copy)]
struct Table {
    side: Side,
    setting: Setting,
    restores: u32,
}

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    // The peer leaves its group only after 45 seconds when it is killed, unless it is a static member. That is not what
    // is to be compared, so it is one; the figure without that is a line of its own.
    let setting = Setting { static_member: true, ..Setting::of(bench.options) };
    let mut smallest = true;
    for rows in bench.options.rows() {
        let mut input = bench.input(&format!("bench-rows-{rows}"), Shape::rows(rows, bench.options.partitions()))?;
        let restores = if rows >= MANY { 1 } else { bench.options.rounds() };
        for side in bench.programs.sides() {
            Table { side, setting, restores }.measure(bench, side.name(), &mut input, lines)?;
        }
        if smallest && !bench.options.alone && !bench.options.quick {
            let setting = Setting { static_member: false, ..setting };
            let table = Table { side: Side::Streams, setting, restores: 0 };
            table.measure(bench, "kafka-streams, no static member", &mut input, lines)?;
        }
        smallest = false;
        bench.client.delete_topics(&[&input.topic])?;
    }
    Ok(())
}

impl Table {
    fn measure(self, bench: &mut Bench<'_>, program: &str, input: &mut Input, lines: &mut Lines) -> anyhow::Result<()> {
        let rows = input.shape.users;
        let mut done = bench.run((self.side, Work::Table), self.setting, input)?;
        let line = lines.line(Work::Table.name(), &format!("{} rows", thousands(u64::from(rows))), program);
        line.at = Some(f64::from(rows));
        done.run.put_into(line);
        for _ in 0..bench.options.rounds() {
            line.push(Figure::RestartMs, self.again(bench, &mut done, input, false)?);
        }
        for _ in 0..self.restores {
            let ms = self.again(bench, &mut done, input, true)?;
            line.push(Figure::RestoreMs, ms);
            line.push(Figure::RestoreRecordsPerSecond, f64::from(rows) / ms * 1e3);
        }
        bench.end(done).map(drop)
    }

    /// Kills the program, starts it again, and waits for the output of one more record: milliseconds from the start.
    fn again(self, bench: &Bench<'_>, done: &mut Done, input: &mut Input, lose_disk: bool) -> anyhow::Result<f64> {
        let (Done { place, process, .. }, Self { side, setting, .. }) = (done, self);
        process.kill()?;
        if lose_disk {
            fs::remove_dir_all(place.state()).context("lose the state")?;
        }
        let tail = Tail::of(&place.bootstrap_servers, &place.output, input.shape.partitions)?;
        bench.client.produce(&input.topic, [Outgoing::value("1").key("u1")])?;
        input.one_more(1, 1);
        let began = Instant::now();
        *process = bench.programs.launch(side, Work::Table, place, setting).start()?;
        let ms = (tail.next(process)? - began).as_secs_f64() * 1e3;
        let what = if lose_disk { "restored" } else { "restarted" };
        say(&format!("    {:12} {:14} {what} in {ms:.0} ms", format!("{} rows", input.shape.users), side.name()));
        Ok(ms)
    }
}
