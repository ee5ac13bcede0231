//! Compares every output with what the input that is actually in the topic asks for.

mod differences;
mod expected;
mod log;
mod partition;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use attribution::Attribution;
use attribution::reference::Fact;
use fraud::reference::{CartAdd, Difference};
use fraud::{Alert, Rule};
use millpond_harness::Received;
use millpond_support::Stop;

pub(crate) use differences::Differences;

use super::Interrupted;
use super::database::Database;
use super::names::{APPLICATIONS, Application, Names};
use log::Log;
use partition::{Position, Redactions, compare_dead_letters};
use tables::{EventsTable, compare_attributions};

const LATE: &str = "late_event";
/// How long alerts may be held back after everything has come through.
const HELD_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) differences: Differences,
    pub(crate) events: u64,
    pub(crate) processed: u64,
    pub(crate) redacted: u64,
    pub(crate) alerts: u64,
    pub(crate) orders: u64,
    /// Attributions that replaced one of the same order.
    pub(crate) corrections: u64,
    /// Cart events that fraud detection refused because they were too old.
    pub(crate) late_events: u64,
    pub(crate) dead_letters: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

/// What to compare.
#[derive(Debug)]
pub(crate) struct Verification<'v> {
    pub(crate) bootstrap_servers: &'v str,
    pub(crate) names: &'v Names,
    pub(crate) partitions: i32,
    pub(crate) database: &'v mut Database,
    pub(crate) stop: &'v Stop,
}

/// What the events ask of the other applications.
#[derive(Debug, Default)]
struct Input {
    adds: Vec<CartAdd>,
    facts: Vec<Fact>,
    refused_by_fraud: Vec<Position>,
    refused_by_attribution: Vec<Position>,
    newest_ms: i64,
}

impl Verification<'_> {
    /// Reads and compares everything. All lags are zero before.
    pub(crate) fn run(mut self) -> anyhow::Result<Findings> {
        let mut findings = Findings::default();
        let mut letters = BTreeMap::new();
        for application in APPLICATIONS {
            letters.insert(application, self.dead_letters(application, &mut findings)?);
        }
        let mut take = |application: Application| letters.remove(&application).unwrap_or_default();
        let (input, redactions, refused_by_loader) = self.compare_events(&mut findings)?;
        findings.redacted = redactions.redacted;
        let fraud_letters = take(Application::Fraud);
        self.compare_alerts(&input, &fraud_letters, &mut findings)?;
        self.compare_attributions(&input, &mut findings)?;
        let positions = |letters: Vec<Received>| letters.iter().filter_map(position).collect::<Vec<_>>();
        let on_time = fraud_letters.into_iter().filter(|letter| reason(letter) != LATE).collect();
        for (application, expected, found) in [
            (Application::Redaction, redactions.refused, take(Application::Redaction)),
            (Application::Fraud, input.refused_by_fraud, on_time),
            (Application::Attribution, input.refused_by_attribution, take(Application::Attribution)),
            (Application::Loader, refused_by_loader, take(Application::Loader)),
        ] {
            compare_dead_letters(application.name(), expected, positions(found), &mut findings.differences);
        }
        Ok(findings)
    }

    /// Events, processed events and the table of processed events, side by side.
    fn compare_events(&mut self, findings: &mut Findings) -> anyhow::Result<(Input, Redactions, Vec<Position>)> {
        let (mut input, mut redactions) = (Input::default(), Redactions::default());
        let mut table = EventsTable::new(self.database, &self.names.processed);
        for partition in 0..self.partitions {
            let open = |topic: &str| Log::open(self.bootstrap_servers, topic, partition, self.stop);
            let (mut events, mut processed) = (open(&self.names.events)?, open(&self.names.processed)?);
            redactions.begin();
            while let Some(event) = events.next()? {
                findings.events += 1;
                input.add(&self.names.events, &event);
                if let Some(record) = redactions.event(&self.names.events, &event, || processed.next())? {
                    findings.processed += 1;
                    table.processed(&record)?;
                }
                if findings.events.is_multiple_of(10_000) && self.stop.is_requested() {
                    return Err(Interrupted.into());
                }
            }
            while let Some(record) = processed.next()? {
                redactions.surplus(&record);
                findings.processed += 1;
                table.processed(&record)?;
            }
        }
        table.end()?;
        findings.differences.append(std::mem::take(&mut redactions.differences));
        findings.differences.append(table.differences);
        Ok((input, redactions, table.refused))
    }

    fn compare_alerts(&self, input: &Input, letters: &[Received], findings: &mut Findings) -> anyhow::Result<()> {
        let (rule, mut adds) = (Rule::default(), input.adds.clone());
        for letter in letters.iter().filter(|letter| reason(letter) == LATE) {
            findings.late_events += 1;
            if !leave_out(&mut adds, letter, input.newest_ms, &rule) {
                findings
                    .differences
                    .add(format!("fraud: refused as late without being so: {}", header(letter, "offset")));
            }
        }
        let began = Instant::now();
        loop {
            let alerts: Vec<Alert> = self.parsed(&self.names.alerts)?.into_iter().map(|(_, _, alert)| alert).collect();
            let differences = fraud::reference::verify(&rule, &adds, &alerts);
            // Alerts may be held back until the partition has been idle for a while.
            let only_missing = differences.iter().all(|found| matches!(found, Difference::Missing { .. }));
            if differences.is_empty() || !only_missing || began.elapsed() > HELD_MAX {
                findings.alerts = u64::try_from(alerts.len()).unwrap_or(u64::MAX);
                findings.differences.extend(differences);
                return Ok(());
            }
            if self.stop.wait(LOOK) {
                return Err(Interrupted.into());
            }
        }
    }

    fn compare_attributions(&mut self, input: &Input, findings: &mut Findings) -> anyhow::Result<()> {
        let written: Vec<(Received, String, Attribution)> = self.parsed(&self.names.attributions)?;
        let pairs = written.iter().map(|(_, order_id, attribution)| (order_id.as_str(), attribution));
        findings.differences.extend(attribution::reference::verify(&input.facts, pairs));
        let rows = self.database.attributions(&self.names.attributions)?;
        findings.orders = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        findings.corrections = u64::try_from(written.len().saturating_sub(rows.len())).unwrap_or(u64::MAX);
        compare_attributions(&written, rows, &mut findings.differences);
        Ok(())
    }

    /// The application's dead letters; those of fraud detection about late events come from its inner topic.
    fn dead_letters(&self, application: Application, findings: &mut Findings) -> anyhow::Result<Vec<Received>> {
        let letters = self.records(&self.names.dead_letters(application))?;
        let counts = findings.dead_letters.entry(application.name()).or_default();
        for letter in &letters {
            *counts.entry(reason(letter)).or_default() += 1;
        }
        Ok(letters)
    }

    /// All records with their keys as text and their values as JSON.
    fn parsed<T: serde::de::DeserializeOwned>(&self, topic: &str) -> anyhow::Result<Vec<(Received, String, T)>> {
        let records = self.records(topic)?.into_iter().map(|record| {
            let place = || format!("{topic}-{}@{} is not what the topic holds", record.partition, record.offset);
            let value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).with_context(place)?;
            let key = record.key_text();
            Ok((record, key, value))
        });
        records.collect()
    }

    fn records(&self, topic: &str) -> anyhow::Result<Vec<Received>> {
        let partitions = millpond_harness::Client::new(self.bootstrap_servers).partition_count(topic)?;
        let logs =
            (0..partitions).map(|partition| Log::open(self.bootstrap_servers, topic, partition, self.stop)?.rest());
        Ok(logs.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

impl Input {
    fn add(&mut self, topic: &str, event: &Received) {
        let (at_ms, value) = (event.timestamp_ms, event.value.as_deref());
        let position = || (topic.to_owned(), event.partition, event.offset);
        self.newest_ms = self.newest_ms.max(at_ms);
        self.adds.extend(CartAdd::read(at_ms, value));
        self.facts.extend(Fact::read(at_ms, value));
        if !expected::fraud_takes(value) {
            self.refused_by_fraud.push(position());
        }
        if !expected::attribution_takes(value) {
            self.refused_by_attribution.push(position());
        }
    }
}

/// Takes the event that the letter is about out of `adds`. False when there is none or it was not late.
fn leave_out(adds: &mut Vec<CartAdd>, letter: &Received, newest_ms: i64, rule: &Rule) -> bool {
    let Ok(at_ms) = header(letter, "timestamp").parse::<i64>() else { return false };
    let (user, value) = (letter.key_text(), letter.value.as_deref().unwrap_or_default());
    let is_it = |add: &CartAdd| {
        let item = add.item_url.as_deref().unwrap_or_default().as_bytes();
        // The value is in the application's own format: the item is somewhere in it.
        add.user_id == user
            && add.at_ms == at_ms
            && (item.is_empty() || value.windows(item.len()).any(|part| part == item))
    };
    let is_late = i128::from(newest_ms - at_ms) > i128::try_from(rule.grace.as_millis()).unwrap_or(i128::MAX);
    match adds.iter().position(is_it) {
        Some(place) => drop(adds.swap_remove(place)),
        None => return false,
    }
    is_late
}

fn header(letter: &Received, name: &str) -> String {
    let value = letter.header(&format!("__streams.errors.{name}")).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn reason(letter: &Received) -> String {
    header(letter, "reason")
}

/// Where the record came from that the letter is about.
fn position(letter: &Received) -> Option<Position> {
    Some((header(letter, "topic"), header(letter, "partition").parse().ok()?, header(letter, "offset").parse().ok()?))
}
