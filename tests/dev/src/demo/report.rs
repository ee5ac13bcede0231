//! What a run comes to: one JSON object, or a few lines.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::database::RowCounts;
use super::picture::float;
use super::scrape::Watched;
use super::verify::Findings;

/// The JSON object. Times in seconds, sizes in bytes, rates per second.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) wanted_rate: u32,
    pub(crate) events: u64,
    /// From the first event to the last acknowledgement.
    pub(crate) produced_in: f64,
    pub(crate) rate: f64,
    /// From the start of this program until some output was seen.
    pub(crate) first_result_after: Option<f64>,
    /// Offsets without a commit when the last event was there; none: nobody waited, because of Ctrl-C.
    pub(crate) lag_at_end: Option<i64>,
    /// From the last acknowledgement until every committed offset equalled its end; none: it never did.
    pub(crate) lag_zero_after: Option<f64>,
    pub(crate) rows: RowCounts,
    pub(crate) applications: BTreeMap<&'static str, ApplicationReport>,
    /// None when nothing was verified.
    pub(crate) verified: Option<bool>,
    pub(crate) verification: Option<Outputs>,
    /// What Prometheus has seen of the run; none when nothing was verified, or when there is no Prometheus.
    pub(crate) watched: Option<Watched>,
    pub(crate) differences: u64,
    pub(crate) first_differences: Vec<String>,
}

/// One application over the whole run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ApplicationReport {
    pub(crate) records_in: f64,
    pub(crate) records_out: f64,
    pub(crate) dead_letters: f64,
    pub(crate) commits: f64,
    pub(crate) state_rows: f64,
    pub(crate) latency_p50_ms: Option<f64>,
    pub(crate) latency_p99_ms: Option<f64>,
    pub(crate) peak_resident_bytes: f64,
}

/// What the verification has read in the outputs.
#[derive(Debug, Serialize)]
pub(crate) struct Outputs {
    pub(crate) processed_events: u64,
    pub(crate) redacted_events: u64,
    pub(crate) alerts: u64,
    pub(crate) attributed_orders: u64,
    pub(crate) corrections: u64,
    pub(crate) late_events: u64,
    pub(crate) dead_letters: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Report {
    pub(crate) fn produced(&mut self, events: u64, within: Duration) {
        self.events = events;
        self.produced_in = within.as_secs_f64();
        self.rate = float(events) / self.produced_in;
    }

    /// Notes that something is not as it must be.
    pub(crate) fn differ(&mut self, difference: String) {
        self.verified = Some(false);
        self.differences += 1;
        self.first_differences.push(difference);
    }

    /// Whether nothing is wrong; if it was to be verified, it must have been.
    pub(crate) fn is_good(&self, verify: bool) -> bool {
        self.verified.unwrap_or(!verify)
    }

    pub(crate) fn found(&mut self, findings: Findings, within: Duration) {
        let seconds = within.as_secs_f64();
        self.verified = Some(findings.differences.is_empty() && self.verified != Some(false));
        self.differences += findings.differences.count;
        self.first_differences.extend(findings.differences.first);
        self.verification = Some(Outputs {
            processed_events: findings.processed,
            redacted_events: findings.redacted,
            alerts: findings.alerts,
            attributed_orders: findings.orders,
            corrections: findings.corrections,
            late_events: findings.late_events,
            dead_letters: findings.dead_letters,
            seconds,
        });
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let seconds = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), |time| format!("{time:.1} s"));
        let lag = match self.lag_at_end {
            Some(lag) => format!("at the end a lag of {lag}, zero after {}", seconds(self.lag_zero_after)),
            None => "stopped at once, without waiting for the lag".to_owned(),
        };
        let mut lines = vec![
            format!("{} events in {:.1} s: {:.0} per second", self.events, self.produced_in, self.rate),
            format!("first result after {}; {lag}", seconds(self.first_result_after)),
            format!(
                "rows in PostgreSQL: events {}, purchase_marketing_attributions {}",
                self.rows.events, self.rows.purchase_marketing_attributions
            ),
        ];
        if let Some(found) = &self.verification {
            lines.push(format!(
                "{} processed events ({} redacted), {} alerts, {} attributed orders ({} corrections), {} late events",
                found.processed_events,
                found.redacted_events,
                found.alerts,
                found.attributed_orders,
                found.corrections,
                found.late_events
            ));
            for (application, reasons) in &found.dead_letters {
                lines.push(format!("dead letters of {application}: {reasons:?}"));
            }
        }
        if let Some(Watched { applications, rules }) = &self.watched {
            lines.push(format!("Prometheus has scraped {applications} applications and evaluated {rules} rules"));
        }
        lines.extend(self.first_differences.iter().map(|difference| format!("difference: {difference}")));
        match self.verified {
            Some(true) => lines.push("verified: every output is exactly what the input asks for".to_owned()),
            Some(false) => lines.push(format!("NOT verified, differences: {}", self.differences)),
            None => {}
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_cut_short_claims_nothing_about_its_lag() {
        let cut = Report { first_result_after: Some(8.2), ..Report::default() };
        assert_eq!(cut.lines()[1], "first result after 8.2 s; stopped at once, without waiting for the lag");
        let whole = Report { lag_at_end: Some(7), lag_zero_after: Some(0.3), ..Report::default() };
        assert_eq!(whole.lines()[1], "first result after never; at the end a lag of 7, zero after 0.3 s");
    }
}
