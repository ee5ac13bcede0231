//! The loader into PostgreSQL, beside a plain COPY of the rows that it has written.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millpond_harness::{Postgres, PostgresOptions};

use crate::bench::figures::{Figure, Lines};
use crate::bench::say;
use crate::bench::shape::{Content, Shape};
use crate::bench::stand::{Bench, Input};
use crate::bench::usage::Usage;

const LOOK: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_mins(10);

/// A topic that is loaded, and where its rows go.
struct Route {
    case: &'static str,
    table: &'static str,
    /// The topics of both routes: one is loaded, the other has nothing.
    topics: String,
    input: Input,
}

pub(super) fn measure(bench: &mut Bench<'_>, lines: &mut Lines) -> anyhow::Result<()> {
    let shape = bench.options.shape();
    let shape = Shape { events: shape.events.min(bench.options.pick(1_000_000, 200_000)), ..shape };
    let (loaded, nothing) = (["bench-loaded", "bench-upserted"], "bench-nothing");
    let [events, orders] = loaded;
    bench.topic(nothing, 1)?;
    let (case, table, topics) = ("events, appended", "events", format!("{events},{nothing}"));
    let append = Route { case, table, topics, input: bench.input(events, shape)? };
    let (case, table) = ("attributions, upserted", "purchase_marketing_attributions");
    let input = bench.input(orders, Shape { content: Content::Attributions, ..shape })?;
    let upsert = Route { case, table, topics: format!("{nothing},{orders}"), input };
    // Commits wait for the disk, as they do in production.
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    let postgres = Postgres::start_with(bench.dir.join("postgres"), options)?;
    for round in 0..bench.options.rounds() {
        for route in [&append, &upsert] {
            let url = postgres.create_database()?;
            load(bench, &url, route, lines)?;
            copy(bench, (&postgres, &url), route, round, lines)?;
        }
    }
    Ok(bench.client.delete_topics(&loaded)?)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn load(bench: &mut Bench<'_>, url: &str, route: &Route, lines: &mut Lines) -> anyhow::Result<()> {
    let Route { case, table, topics, input } = route;
    let place = bench.place("loader", &input.topic)?;
    let state = place.state();
    let arguments = [
        format!("--bootstrap-servers={}", place.bootstrap_servers),
        format!("--application-id={}", place.application_id),
        format!("--state-dir={}", state.display()),
        format!("--input={topics}"),
        "--http=127.0.0.1:0".to_owned(),
    ];
    let launch = bench.programs.tool("loader", &place).args(arguments).env("MILLPOND_APP_DATABASE_URL", url);
    let began = Instant::now();
    let mut process = launch.start()?;
    let (mut first, events) = (None, input.shape.events);
    let (rows, took, usage) = loop {
        let done = loaded(url);
        if done > 0 && first.is_none() {
            first = Some((done, Instant::now(), Usage::of(process.pid())?));
        }
        if let Some((before, at, used)) = &first
            && done >= events
        {
            break (events - before, at.elapsed(), Usage::of(process.pid())?.since(used));
        }
        if process.ended()?.is_some() || began.elapsed() > LIMIT {
            bail!("the loader is not through:\n{}", process.log_tail());
        }
        if bench.stop.wait(LOOK) {
            bail!("interrupted");
        }
    };
    process.stop()?;
    let found = number(url, &format!("SELECT count(*) FROM {table}"))?;
    ensure!(found == events, "{found} rows of {events} events");
    let orders = number(url, &format!("SELECT count(DISTINCT order_id) FROM {table}"))?;
    ensure!(orders == input.expected.addresses, "{orders} orders of {}", input.expected.addresses);
    let line = lines.line("load", case, "loader");
    let (rate, rows) = (rows as f64 / took.as_secs_f64(), rows as f64);
    line.push(Figure::RecordsPerSecond, rate.round());
    line.push(Figure::CpuMicrosPerRecord, usage.cpu.as_secs_f64() * 1e6 / rows);
    line.push(Figure::PeakResidentMib, usage.peak_resident_bytes as f64 / f64::from(1 << 20));
    say(&format!("    {case:22} loader     {rate:>9.0} rows/s"));
    bench.forget(&place)
}

/// Copies the rows out and into a table of the same columns and constraints.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn copy(
    bench: &Bench<'_>,
    (postgres, url): (&Postgres, &str),
    Route { case, table, .. }: &Route,
    round: u32,
    lines: &mut Lines,
) -> anyhow::Result<()> {
    let path = bench.dir.join("postgres/data").join(format!("{table}-{round}"));
    let file = path.display();
    postgres.query(url, &format!("COPY {table} TO '{file}'"))?;
    postgres.query(url, &format!("CREATE TABLE copied (LIKE {table} INCLUDING ALL)"))?;
    postgres.query(url, "CHECKPOINT")?;
    let began = Instant::now();
    postgres.query(url, &format!("COPY copied FROM '{file}'"))?;
    let took = began.elapsed().as_secs_f64();
    let rows = number(url, "SELECT count(*) FROM copied")?;
    say(&format!("    {case:22} plain COPY {:>9.0} rows/s", rows as f64 / took));
    let line = lines.line("load", case, "plain COPY");
    line.push(Figure::RecordsPerSecond, (rows as f64 / took).round());
    std::fs::remove_file(&path).context("remove the copy")
}

/// How many records are behind the offsets in the database; none while the tables are not there yet.
fn loaded(url: &str) -> u64 {
    number(url, "SELECT coalesce(sum(next_offset), 0) FROM sink_offset").unwrap_or(0)
}

fn number(url: &str, sql: &str) -> anyhow::Result<u64> {
    let rows = millpond_harness::query(url, sql)?;
    rows.first().and_then(|row| row.first()?.parse().ok()).context("PostgreSQL gave no number")
}
