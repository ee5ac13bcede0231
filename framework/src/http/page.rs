//! The page for people, rendered here: sections that stand alone, so that each can be sent again when it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;

use super::TopologyText;
use super::format::{bytes, duration, grouped, moment, rate, short, time_of_day};
use super::graph::Graph;
use super::picture::{Flow, Picture};
use super::status::{Input, Restore, Setting, Status, Store, Table, Task};
use super::story::{Block, Tone};

/// The page's other files.
pub(super) const STYLE: &str = include_str!("../../templates/style.css");
/// Not htmx with its extensions for events and for keeping focus, which are 70 kB: this is 3 kB. ARCHITECTURE.md, section 17.
pub(super) const SCRIPT: &str = include_str!("../../templates/live.js");
pub(super) const ICON: &str = include_str!("../../templates/icon.svg");

/// How the tasks are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    /// By their numbers.
    #[default]
    Task,
    /// Those with most records to go first.
    Lag,
    /// Those whose oldest record waits longest first.
    Age,
}

impl Sort {
    /// What nobody knows is the usual order: the page is shown all the same.
    pub(super) fn named(name: Option<&str>) -> Self {
        match name {
            Some("lag") => Self::Lag,
            Some("age") => Self::Age,
            _ => Self::Task,
        }
    }
}

/// What is shown, and how.
#[derive(Debug)]
pub(super) struct View<'a> {
    status: Status,
    graph: &'a Graph,
    topology: &'a str,
    sort: Sort,
}

/// A row of the table of tasks.
struct Row<'a> {
    task: &'a Task,
    input: Option<&'a Input>,
}

/// A store over all its tasks.
#[derive(Debug, Default)]
struct StoreSum {
    tasks: usize,
    rows: u64,
    bytes: u64,
    /// `None` for a store in memory.
    table: Option<Table>,
}

/// All restores together.
struct Restoring {
    tasks: usize,
    whole: Restore,
}

macro_rules! section {
    ($name:ident, $path:tt) => {
        #[derive(Template)]
        #[template(path = $path)]
        #[allow(dead_code, reason = "not every section needs both")]
        struct $name<'a> {
            view: &'a View<'a>,
            status: &'a Status,
        }
    };
}

section!(Summary, "sections/summary.html");
section!(Figures, "sections/figures.html");
section!(Story, "sections/story.html");
section!(Topology, "sections/topology.html");
section!(Tasks, "sections/tasks.html");
section!(Stores, "sections/stores.html");
section!(Transactions, "sections/transactions.html");
section!(Errors, "sections/errors.html");
section!(Config, "sections/config.html");

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    status: &'a Status,
    sections: BTreeMap<&'static str, String>,
}

impl Page<'_> {
    fn section(&self, id: &str) -> &str {
        self.sections.get(id).map_or("", String::as_str)
    }
}

/// The whole page.
pub(super) fn render(view: &View<'_>) -> Result<String, askama::Error> {
    Page { status: &view.status, sections: sections(view)? }.render()
}

/// Its sections by the element that holds them. Texts are escaped.
pub(super) fn sections(view: &View<'_>) -> Result<BTreeMap<&'static str, String>, askama::Error> {
    let status = &view.status;
    Ok(BTreeMap::from([
        ("summary", Summary { view, status }.render()?),
        ("figures", Figures { view, status }.render()?),
        ("story", Story { view, status }.render()?),
        ("topology", Topology { view, status }.render()?),
        ("tasks", Tasks { view, status }.render()?),
        ("stores", Stores { view, status }.render()?),
        ("transactions", Transactions { view, status }.render()?),
        ("errors", Errors { view, status }.render()?),
        ("config", Config { view, status }.render()?),
    ]))
}

impl<'a> View<'a> {
    pub(super) fn new(status: Status, topology: &'a TopologyText, sort: Sort) -> Self {
        Self { status, graph: &topology.graph, topology: &topology.text, sort }
    }

    fn pictures(&self) -> Vec<Picture> {
        if self.graph.vertices.is_empty() {
            return Vec::new();
        }
        [Flow::Right, Flow::Down].map(|flow| Picture::draw(self.graph, &self.status, flow)).into()
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = self.status.tasks.iter().flat_map(Row::of).collect();
        let lag = |row: &Row<'_>| row.input.and_then(|input| input.lag_records);
        let age = |row: &Row<'_>| row.input.and_then(|input| input.lag_seconds).unwrap_or(0.0);
        match self.sort {
            Sort::Task => {}
            Sort::Lag => rows.sort_by_key(|row| std::cmp::Reverse(lag(row))),
            Sort::Age => rows.sort_by(|left, right| age(right).total_cmp(&age(left))),
        }
        rows
    }

    /// How many tasks are in each state: `61 running`, `3 restoring`.
    fn states(&self) -> Vec<String> {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for task in &self.status.tasks {
            *states.entry(task.state).or_default() += 1;
        }
        states.into_iter().map(|(state, count)| format!("{count} {state}")).collect()
    }

    fn running(&self) -> usize {
        self.status.tasks.iter().filter(|task| task.state == "running").count()
    }

    fn restoring(&self) -> Option<Restoring> {
        let restores: Vec<&Restore> = self.status.tasks.iter().filter_map(|task| task.restore.as_ref()).collect();
        // Tasks restore side by side: the last one ends last. Unknown as soon as one is.
        let longest = |longest: Option<f64>, one: &&Restore| Some(longest?.max(one.remaining_seconds?));
        (!restores.is_empty()).then(|| Restoring {
            tasks: restores.len(),
            whole: Restore {
                done: restores.iter().map(|restore| restore.done).sum(),
                total: restores.iter().map(|restore| restore.total).sum(),
                remaining_seconds: restores.iter().fold(Some(0.0), longest),
            },
        })
    }

    /// The tasks of each sub-topology, for the map of all of them.
    fn parts(&self) -> BTreeMap<&str, Vec<&Task>> {
        let mut parts: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
        for task in &self.status.tasks {
            parts.entry(task.id.split('_').next().unwrap_or_default()).or_default().push(task);
        }
        parts
    }

    fn stores(&self) -> BTreeMap<&str, StoreSum> {
        let mut sums: BTreeMap<&str, StoreSum> = BTreeMap::new();
        for store in self.status.tasks.iter().flat_map(|task| &task.stores) {
            let sum = sums.entry(&store.name).or_default();
            sum.tasks += 1;
            sum.rows += store.rows;
            sum.bytes += store.bytes;
            if let Some(table) = store.table {
                let all = sum.table.get_or_insert_default();
                all.disk_bytes += table.disk_bytes;
                all.memtable_bytes += table.memtable_bytes;
                all.row_cache_bytes += table.row_cache_bytes;
            }
        }
        sums
    }

    fn task_stores(&self) -> Vec<(&Task, &Store)> {
        self.status.tasks.iter().flat_map(|task| task.stores.iter().map(move |store| (task, store))).collect()
    }

    fn settings(&self, defaults: bool) -> Vec<&Setting> {
        self.status
            .config
            .iter()
            .filter(|setting| setting.is_default == defaults && (!defaults || !setting.value.is_empty()))
            .collect()
    }

    fn read_total(&self) -> f64 {
        self.status.topics.iter().map(|topic| topic.read).sum()
    }

    fn written_total(&self) -> f64 {
        self.status.topics.iter().map(|topic| topic.written).sum()
    }

    /// The slowest thread's.
    fn slowest(&self, of: impl Fn(&super::status::Thread) -> Option<f64>) -> Option<f64> {
        self.status.threads.iter().filter_map(of).reduce(f64::max)
    }

    fn end_to_end_p99(&self) -> Option<f64> {
        self.slowest(|thread| thread.end_to_end_p99_ms)
    }

    fn end_to_end_p50(&self) -> Option<f64> {
        self.slowest(|thread| thread.end_to_end_p50_ms)
    }

    fn letters(&self) -> u64 {
        self.status.dead_letters.values().sum()
    }
}

impl<'a> Row<'a> {
    /// One for each input, or one without.
    fn of(task: &'a Task) -> Vec<Self> {
        let mut rows: Vec<Self> = task.inputs.iter().map(|input| Row { task, input: Some(input) }).collect();
        if rows.is_empty() {
            rows.push(Row { task, input: None });
        }
        rows
    }
}

/// Words of the templates.
mod word {
    #![expect(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "templates hand out references")]

    use std::borrow::Borrow;

    use super::{
        Block, Duration, Restore, Table, Task, Tone, bytes, duration, grouped, moment, rate, short, time_of_day,
    };

    pub(super) fn count(number: &u64) -> String {
        grouped(*number)
    }

    /// Templates hand out fields by reference, and results by value.
    pub(super) fn few(number: impl Borrow<u64>) -> String {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        short(*number.borrow() as f64)
    }

    pub(super) fn pace(per_second: impl Borrow<f64>) -> String {
        rate(*per_second.borrow())
    }

    pub(super) fn size(of: &u64) -> String {
        bytes(*of)
    }

    /// A part of a store's bytes; those of a store in memory have none.
    fn part(table: &Option<Table>, of: impl Fn(&Table) -> u64) -> String {
        table.as_ref().map_or_else(|| "–".to_owned(), |table| bytes(of(table)))
    }

    pub(super) fn disk(table: &Option<Table>) -> String {
        part(table, |table| table.disk_bytes)
    }

    pub(super) fn memtables(table: &Option<Table>) -> String {
        part(table, |table| table.memtable_bytes)
    }

    pub(super) fn row_cache(table: &Option<Table>) -> String {
        part(table, |table| table.row_cache_bytes)
    }

    pub(super) fn offset(offset: &Option<i64>) -> String {
        offset
            .map_or_else(|| "–".to_owned(), |offset| u64::try_from(offset).map_or_else(|_| offset.to_string(), grouped))
    }

    /// A lag; nothing is known of it before the first answer to a fetch.
    pub(super) fn lag(records: &Option<u64>) -> String {
        records.map_or_else(|| "–".to_owned(), grouped)
    }

    /// The same, in three digits.
    pub(super) fn few_lag(records: &Option<u64>) -> String {
        records.map_or_else(|| "–".to_owned(), few)
    }

    pub(super) fn seconds(seconds: &Option<f64>) -> String {
        seconds.map_or_else(|| "–".to_owned(), span)
    }

    fn span(seconds: f64) -> String {
        duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    pub(super) fn is_late(seconds: &Option<f64>) -> bool {
        seconds.is_some_and(|seconds| seconds >= 10.0)
    }

    pub(super) fn uptime(seconds: &u64) -> String {
        duration(Duration::from_secs(*seconds))
    }

    /// A latency is known to be below the bound of its bucket.
    pub(super) fn latency(millis: impl Borrow<Option<f64>>) -> String {
        let below = |millis: f64| Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default();
        let millis: &Option<f64> = millis.borrow();
        millis.map_or_else(
            || "–".to_owned(),
            |millis| match below(millis) {
                tiny if tiny.as_millis() == 0 => format!("≤ {} µs", tiny.as_micros()),
                long => format!("≤ {}", duration(long)),
            },
        )
    }

    pub(super) fn silent(millis: &Option<u128>) -> String {
        let length = |millis: u128| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        match millis.map(length) {
            None => "not yet".to_owned(),
            // What is published twice a second is never much older than that: it would flicker.
            Some(length) if length < Duration::from_secs(2) => "now".to_owned(),
            Some(length) => format!("{} ago", duration(Duration::from_secs(length.as_secs()))),
        }
    }

    pub(super) fn percent(restore: &Restore) -> u64 {
        restore.done.saturating_mul(100).checked_div(restore.total).unwrap_or(100).min(100)
    }

    pub(super) fn left(restore: &Restore) -> String {
        restore.remaining_seconds.map_or_else(String::new, |left| format!(", about {} left", span(left.ceil())))
    }

    pub(super) fn at(at_ms: &i64) -> String {
        moment(*at_ms)
    }

    pub(super) fn clock(at_ms: &i64) -> String {
        time_of_day(*at_ms)
    }

    /// The class of a task in the map: how it is told from afar. The words are in its title.
    pub(super) fn tone(task: &Task) -> &'static str {
        let late = task.inputs.iter().any(|input| is_late(&input.lag_seconds));
        match task.state {
            "running" if late => "late",
            "running" => "running",
            "restoring" => "restoring",
            _ => "waiting",
        }
    }

    pub(super) fn partition(task: &Task) -> &str {
        task.id.split_once('_').map_or("", |(_, partition)| partition)
    }

    pub(super) fn title(task: &Task) -> String {
        let records = task.inputs.iter().filter_map(|input| input.lag_records).reduce(|all, one| all + one);
        format!("task {}: {}, lag {}", task.id, task.state, lag(&records))
    }

    pub(super) fn fact(tone: &Tone) -> &'static str {
        match tone {
            Tone::Plain => "",
            Tone::Good => "good",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
        }
    }

    pub(super) fn share(count: &u64, block: &Block) -> String {
        let Block::Shares { shares, .. } = block else { return String::new() };
        let all: u64 = shares.iter().map(|share| share.count).sum();
        let tenths = count.saturating_mul(1000).checked_div(all).unwrap_or(0);
        format!("{}.{}", tenths / 10, tenths % 10)
    }

    /// The place of a moment on a line of a hundred and twenty steps, of which ten are left free at each end.
    pub(super) fn mark(after_ms: &u64, length: &Duration) -> u64 {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        10 + (after_ms.saturating_mul(100) / length).min(100)
    }

    pub(super) fn after(after_ms: &u64) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a moment of a few seconds")]
        let seconds = *after_ms as f64 / 1000.0;
        format!("+{seconds:.1} s")
    }

    /// A line through the points, as an SVG path in a box of 120 by 30; its ground is zero.
    pub(super) fn line(points: &[f64]) -> String {
        use std::fmt::Write as _;

        let top = points.iter().copied().fold(0.0, f64::max);
        let mut path = String::new();
        if points.len() < 2 {
            return path;
        }
        #[expect(clippy::cast_precision_loss, reason = "some points")]
        let step = 120.0 / (points.len() - 1) as f64;
        let mut x = 0.0;
        for point in points {
            let height = if top > 0.0 { point / top * 26.0 } else { 0.0 };
            let lead = if path.is_empty() { 'M' } else { 'L' };
            // Writing to a text does not fail.
            let _ = write!(path, "{lead}{x:.1} {:.1}", 28.0 - height);
            x += step;
        }
        path
    }
}
