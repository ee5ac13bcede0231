//! Tables of many rows: how fast they fill, how soon a killed program goes on, how soon one that has lost its disk.

use std::fs;
use std::time::Instant;

use anyhow::{Context, ensure};
use millpond_harness::Outgoing;

use crate::bench::check;
use crate::bench::figures::{Figure, Line, Lines, thousands};
use crate::bench::options::Work;
use crate::bench::program::{Setting, Side};
use crate::bench::say;
use crate::bench::shape::Shape;
use crate::bench::stand::{Bench, Done, Input};
use crate::bench::tail::Tail;

/// From here on one restore takes long enough to be exact, and too long to be repeated.
const MANY: u32 = 5_000_000;
/// So many rows get another record in the end, which shows what they held.
const PROBES: u32 = 10_000;

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    // The peer leaves its group only after 45 seconds when it is killed, unless it is a static member. That is not what
    // is to be compared, so it is one; the figure without that is a line of its own.
    let setting = Setting { static_member: true, ..Setting::of(bench.options) };
    let (mut sides, tables) = (bench.programs.sides(), bench.options.rows());
    for &rows in &tables {
        // In the order of all other tables, whoever begins.
        for side in bench.programs.sides() {
            line(lines, rows, side.name());
        }
        alternate(bench, (&sides, setting), rows, lines)?;
        sides.reverse();
    }
    match tables.iter().min() {
        Some(&rows) if sides.contains(&Side::Streams) && !bench.options.quick => {
            let program = (Side::Streams, "kafka-streams, no static member");
            let mut table = Table::fill(bench, program, Setting { static_member: false, ..setting }, rows, lines)?;
            table.again(bench, false, lines)?;
            table.end(bench)
        }
        _ => Ok(()),
    }
}

/// All programs with a table of this size, in turn; who begins changes with the round.
fn alternate(
    bench: &mut Bench<'_>,
    (sides, setting): (&[Side], Setting),
    rows: u32,
    lines: &mut Lines,
) -> anyhow::Result<()> {
    let mut tables = Vec::new();
    for &side in sides {
        tables.push(Table::fill(bench, (side, side.name()), setting, rows, lines)?);
    }
    let rounds = bench.options.rounds();
    for (lose_disk, rounds) in [(false, rounds), (true, if rows >= MANY { 1 } else { rounds })] {
        for _ in 0..rounds {
            for table in &mut tables {
                table.again(bench, lose_disk, lines)?;
            }
            tables.reverse();
        }
    }
    tables.into_iter().try_for_each(|table| table.end(bench))
}

fn line<'l>(lines: &'l mut Lines, rows: u32, program: &str) -> &'l mut Line {
    let line = lines.line(Work::Table.name(), &case(rows), program);
    line.at = Some(f64::from(rows));
    line
}

fn case(rows: u32) -> String {
    format!("{} rows", thousands(u64::from(rows)))
}

/// A program that runs, with its table and an input of its own.
struct Table {
    side: Side,
    program: &'static str,
    setting: Setting,
    input: Input,
    done: Done,
}

impl Table {
    fn fill(
        bench: &mut Bench<'_>,
        (side, program): (Side, &'static str),
        setting: Setting,
        rows: u32,
        lines: &mut Lines,
    ) -> anyhow::Result<Self> {
        let topic = format!("bench-rows-{}", bench.number);
        let input = bench.input(&topic, Shape::rows(rows, bench.options.partitions()))?;
        let done = bench.fill((side, Work::Table), setting, &input)?;
        done.run.put_into(line(lines, rows, program));
        Ok(Self { side, program, setting, input, done })
    }

    /// Kills the program, starts it again, and measures how long the output of one more record takes.
    fn again(&mut self, bench: &Bench<'_>, lose_disk: bool, lines: &mut Lines) -> anyhow::Result<()> {
        let Self { side, setting, input, done: Done { place, process, .. }, .. } = self;
        process.kill()?;
        if lose_disk {
            fs::remove_dir_all(place.state()).context("lose the state")?;
        }
        let tail = Tail::of(&place.bootstrap_servers, &place.output, input.shape.partitions)?;
        bench.client.produce(&input.topic, [Outgoing::value("1").key("u1")])?;
        input.one_more(1, 1);
        let began = Instant::now();
        *process = bench.programs.launch(*side, Work::Table, place, *setting).start()?;
        let ms = (tail.next(process)? - began).as_secs_f64() * 1e3;
        let what = if lose_disk { "restored" } else { "restarted" };
        let rows = input.shape.users;
        say(&format!("    {:16} {:14} {what} in {ms:.0} ms", case(rows), self.program));
        let line = line(lines, rows, self.program);
        if lose_disk {
            line.push(Figure::RestoreMs, ms);
            line.push(Figure::RestoreRecordsPerSecond, f64::from(rows) / ms * 1e3);
        } else {
            line.push(Figure::RestartMs, ms);
        }
        Ok(())
    }

    /// Gives rows from all over the table one more record, and compares all outputs with the input: what was lost or
    /// came twice on the way shows in their number, and what a row held in its sum.
    fn end(mut self, bench: &Bench<'_>) -> anyhow::Result<()> {
        let Self { side, input, done, .. } = &mut self;
        let rows = input.shape.users;
        let probes = || (0..rows).step_by(usize::try_from(rows.div_ceil(PROBES)).unwrap_or(1).max(1));
        bench.client.produce(&input.topic, probes().map(|user| Outgoing::value("1").key(format!("u{user}"))))?;
        probes().for_each(|user| input.one_more(user, 1));
        let (partitions, events) = (input.shape.partitions, input.shape.events);
        bench.watch(&done.place, partitions, None)?.wait(&mut done.process, events)?;
        let outputs = check::output(&done.place, (*side, Work::Table), &input.expected)?;
        ensure!(outputs == events, "{}: {outputs} outputs of {events} records", done.place.dir.display());
        say(&format!("    {:16} {:14} {outputs} outputs are right", case(rows), self.program));
        bench.end(self.done)?;
        Ok(bench.client.delete_topics(&[&self.input.topic])?)
    }
}
