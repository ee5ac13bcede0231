//! What the demo shows, once a second.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::applications::Applications;
use super::database::{Database, RowCounts};
use super::feed::Counts;
use super::names::Application;
use super::page::Numbers;
use super::report::ApplicationReport;
use super::samples::{Samples, SharedSamples};

/// What the columns mean.
const LEGEND: [&str; 3] = [
    "in/s: records read, repartitioned ones again; lag: records not committed yet;",
    "ms: from the event's time to its commit, at most; rows: in the stores;",
    "dead: records set aside; one in a thousand events of the shop is malformed",
];

/// Numbers of an application between two looks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) application: Application,
    pub(crate) page: String,
    pub(crate) in_rate: f64,
    pub(crate) out_rate: f64,
    pub(crate) commit_rate: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) now: Numbers,
}

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) seconds: u64,
    pub(crate) events: u64,
    pub(crate) event_rate: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) samples: Samples,
    pub(crate) database: RowCounts,
}

/// Looks at everything and remembers the look before.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) samples: SharedSamples,
    database: Database,
    began: Instant,
    looked: Instant,
    events: u64,
    rows: RowCounts,
    last: BTreeMap<Application, Numbers>,
    peaks: BTreeMap<Application, f64>,
}

impl Viewer {
    pub(crate) fn new(samples: SharedSamples, database: Database) -> Self {
        let (now, last, peaks) = (Instant::now(), BTreeMap::new(), BTreeMap::new());
        Self { samples, database, began: now, looked: now, events: 0, rows: RowCounts::default(), last, peaks }
    }

    /// The picture of the time since the last look.
    pub(crate) fn look(&mut self, applications: &Applications, events: &Counts) -> Picture {
        let now = Instant::now();
        let since = now.duration_since(self.looked).max(Duration::from_millis(1)).as_secs_f64();
        let produced = events.acknowledged();
        // A number that cannot be had now is shown as it was: the picture must not end a run.
        self.rows = self.database.about().unwrap_or(self.rows);
        let rows = applications.pages().map(|(application, page)| {
            let before = self.last.get(&application).cloned().unwrap_or_default();
            let numbers = page.numbers().unwrap_or_else(|_| before.clone());
            let row = Row {
                application,
                page: page.to_string(),
                in_rate: (numbers.records_in - before.records_in) / since,
                out_rate: (numbers.records_out - before.records_out) / since,
                commit_rate: (numbers.commits - before.commits) / since,
                p50_ms: numbers.latency_ms(&before, 0.5),
                p99_ms: numbers.latency_ms(&before, 0.99),
                now: numbers.clone(),
            };
            let peak = self.peaks.entry(application).or_default();
            *peak = peak.max(numbers.resident_bytes);
            self.last.insert(application, numbers);
            row
        });
        let picture = Picture {
            seconds: now.duration_since(self.began).as_secs(),
            events: produced,
            event_rate: float(produced - self.events) / since,
            rows: rows.collect(),
            samples: self.samples.get(),
            database: self.rows,
        };
        (self.looked, self.events) = (now, produced);
        picture
    }

    /// The applications over the whole run.
    pub(crate) fn totals(&mut self, applications: &Applications) -> BTreeMap<&'static str, ApplicationReport> {
        let totals = applications.pages().map(|(application, page)| {
            let numbers = page.numbers().ok().or_else(|| self.last.remove(&application)).unwrap_or_default();
            let peak = self.peaks.get(&application).copied().unwrap_or_default();
            let report = ApplicationReport {
                records_in: numbers.records_in,
                records_out: numbers.records_out,
                dead_letters: numbers.dead_letters,
                commits: numbers.commits,
                state_rows: numbers.rows,
                latency_p50_ms: numbers.latency_ms(&Numbers::default(), 0.5),
                latency_p99_ms: numbers.latency_ms(&Numbers::default(), 0.99),
                peak_resident_bytes: peak.max(numbers.resident_bytes),
            };
            (application.name(), report)
        });
        totals.collect()
    }

    pub(crate) fn database(&mut self) -> &mut Database {
        &mut self.database
    }
}

impl Picture {
    /// The whole picture, for a terminal of that many columns.
    pub(crate) fn lines(&self, width: usize) -> Vec<String> {
        // Half an address is of no use; all of them were told at the start.
        let with_page = self.rows.iter().all(|row| row.line(true).len() <= width);
        let mut lines = vec![
            format!(
                "{} s   {} events, {} per second",
                self.seconds,
                grouped(float(self.events)),
                grouped(self.event_rate)
            ),
            format!(
                "{:<11}{:>8}{:>8}{:>9}{:>9}{:>7}{:>7}{:>10}{:>6}{:>5}{}",
                "application",
                "in/s",
                "out/s",
                "lag",
                "commit/s",
                "p50 ms",
                "p99 ms",
                "rows",
                "dead",
                "MiB",
                if with_page { "  page" } else { "" }
            ),
        ];
        lines.extend(self.rows.iter().map(|row| row.line(with_page)));
        let sample = |title: &str, text: &Option<String>| {
            let text = text.as_deref().unwrap_or("none yet");
            format!("{title:<20}{text}")
        };
        lines.push(sample("last alert", &self.samples.alert));
        lines.push(sample("last attribution", &self.samples.attribution));
        lines.push(sample("last redacted", &self.samples.redacted));
        let RowCounts { events, purchase_marketing_attributions } = self.database;
        lines.push(format!(
            "{:<20}events {}, purchase_marketing_attributions {}",
            "rows in PostgreSQL",
            grouped(float(events.unsigned_abs())),
            grouped(float(purchase_marketing_attributions.unsigned_abs()))
        ));
        lines.extend(LEGEND.map(str::to_owned));
        lines
    }

    /// The picture in one line, for a log.
    pub(crate) fn line(&self) -> String {
        let mut line =
            format!("{:>4} s  {} events, {}/s", self.seconds, grouped(float(self.events)), grouped(self.event_rate));
        for row in &self.rows {
            let (name, rate, lag) = (row.application.name(), grouped(row.in_rate), grouped(row.now.lag));
            let _ = write!(line, " | {name} {rate}/s lag {lag}");
        }
        let RowCounts { events, purchase_marketing_attributions } = self.database;
        let _ = write!(line, " | rows {events} + {purchase_marketing_attributions}");
        line
    }
}

impl Row {
    /// At most 80 columns without the page.
    fn line(&self, with_page: bool) -> String {
        let latency = |millis: Option<f64>| millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.0}"));
        format!(
            "{:<11}{:>8}{:>8}{:>9}{:>9.1}{:>7}{:>7}{:>10}{:>6}{:>5.0}{}",
            self.application.name(),
            grouped(self.in_rate),
            grouped(self.out_rate),
            grouped(self.now.lag),
            self.commit_rate,
            latency(self.p50_ms),
            latency(self.p99_ms),
            grouped(self.now.rows),
            grouped(self.now.dead_letters),
            self.now.resident_bytes / f64::from(1 << 20),
            if with_page { format!("  {}", self.page) } else { String::new() }
        )
    }
}

/// A whole number with commas between groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[expect(clippy::cast_precision_loss, reason = "shown numbers are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let now = Numbers { lag: 1_234.0, rows: 42.0, resident_bytes: 50.0 * 1024.0 * 1024.0, ..Numbers::default() };
        let row = Row {
            application: Application::Fraud,
            page: "http://127.0.0.1:1/".to_owned(),
            in_rate: 20_000.4,
            out_rate: 7.0,
            commit_rate: 9.96,
            p50_ms: Some(100.0),
            p99_ms: None,
            now,
        };
        let samples = Samples { alert: Some("{\"user_id\":\"u1\"}".to_owned()), ..Samples::default() };
        let database = RowCounts { events: 99_000, purchase_marketing_attributions: 7 };
        Picture { seconds: 12, events: 240_000, event_rate: 20_000.0, rows: vec![row], samples, database }
    }

    #[test]
    fn the_picture_shows_each_number_below_its_title() {
        let lines = picture().lines(120);
        assert_eq!(lines[0], "12 s   240,000 events, 20,000 per second");
        let titles = ["in/s", "out/s", "lag", "commit/s", "p50 ms", "p99 ms", "rows", "dead", "MiB"];
        let values = ["20,000", "7", "1,234", "10.0", "100", "-", "42", "0", "50"];
        for (title, value) in titles.iter().zip(values) {
            let end = lines[1].find(title).unwrap() + title.len();
            assert!(lines[2][..end].ends_with(value), "{title}: {}", lines[2]);
        }
        assert!(lines[2].starts_with("fraud ") && lines[2].ends_with("http://127.0.0.1:1/"));
        assert_eq!(lines[3], "last alert          {\"user_id\":\"u1\"}");
        assert_eq!(lines[4], "last attribution    none yet");
        assert_eq!(lines[6], "rows in PostgreSQL  events 99,000, purchase_marketing_attributions 7");
    }

    #[test]
    fn a_terminal_of_eighty_columns_shows_every_number() {
        let mut picture = picture();
        let row = &mut picture.rows[0];
        row.application = Application::Attribution;
        (row.in_rate, row.now.lag, row.now.rows) = (123_456.0, 9_999_999.0, 99_999_999.0);
        let lines = picture.lines(80);
        assert!(lines[1].ends_with("dead  MiB") && lines[2].ends_with("0   50"), "{lines:?}");
        assert!([1, 2].into_iter().chain(6..lines.len()).all(|line| lines[line].len() <= 80), "{lines:?}");
    }

    #[test]
    fn a_log_gets_one_line() {
        assert_eq!(picture().line(), "  12 s  240,000 events, 20,000/s | fraud 20,000/s lag 1,234 | rows 99000 + 7");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let shown = [0.0, 999.0, 1_000.0, 1_234_567.0, -3.0].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "0"]);
    }
}
