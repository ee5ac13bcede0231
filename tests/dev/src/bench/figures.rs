//! What was measured: lines of figures, each with its median and spread over the runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    RecordsPerSecond,
    CpuMicrosPerRecord,
    PeakResidentMib,
    DiskBytesPerRecord,
    BrokerBytesPerRecord,
    BrokerCpuMicrosPerRecord,
    FirstCommitMs,
    RestartMs,
    RestoreMs,
    RestoreRecordsPerSecond,
    LatencyP50Ms,
    LatencyP99Ms,
    LatencyP999Ms,
    ReadMetricsMs,
}

impl Figure {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::RecordsPerSecond => "Records/s",
            Self::CpuMicrosPerRecord => "CPU µs/record",
            Self::PeakResidentMib => "Peak MiB",
            Self::DiskBytesPerRecord => "Disk B/record",
            Self::BrokerBytesPerRecord => "Broker B/record",
            Self::BrokerCpuMicrosPerRecord => "Broker's CPU µs/record",
            Self::FirstCommitMs => "First commit ms",
            Self::RestartMs => "Restart ms",
            Self::RestoreMs => "Restore ms",
            Self::RestoreRecordsPerSecond => "Restored records/s",
            Self::LatencyP50Ms => "p50 ms",
            Self::LatencyP99Ms => "p99 ms",
            Self::LatencyP999Ms => "p99.9 ms",
            Self::ReadMetricsMs => "A reading ms",
        }
    }

    /// The value for people.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::CpuMicrosPerRecord | Self::BrokerCpuMicrosPerRecord | Self::ReadMetricsMs => format!("{value:.2}"),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number for people")]
            _ => thousands(value.round() as u64),
        }
    }
}

/// Least, median and most of a figure over the runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let lower = if values.len().is_multiple_of(2) { *values.get(middle.checked_sub(1)?)? } else { upper };
        Some(Self { min: *values.first()?, median: f64::midpoint(lower, upper), max: *values.last()? })
    }
}

/// One program at one piece of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) work: String,
    /// Which input or load: `10,000/s`, `1,000,000 rows`.
    pub(crate) case: String,
    pub(crate) program: String,
    /// Where the case lies on the axis of a plot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<f64>,
    pub(crate) figures: BTreeMap<Figure, Spread>,
    #[serde(skip)]
    samples: BTreeMap<Figure, Vec<f64>>,
}

impl Line {
    pub(crate) fn median(&self, figure: Figure) -> Option<f64> {
        self.spread(figure).map(|spread| spread.median)
    }

    pub(crate) fn spread(&self, figure: Figure) -> Option<&Spread> {
        self.figures.get(&figure)
    }

    pub(crate) fn push(&mut self, figure: Figure, value: f64) {
        let samples = self.samples.entry(figure).or_default();
        samples.push(value);
        self.figures.extend(Spread::of(samples).map(|spread| (figure, spread)));
    }
}

/// Lines in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) Vec<Line>);

impl Lines {
    /// The line of this program at this work and case, made when there is none.
    pub(crate) fn line(&mut self, work: &str, case: &str, program: &str) -> &mut Line {
        let is = |line: &Line| line.work == work && line.case == case && line.program == program;
        let place = self.0.iter().position(is).unwrap_or(self.0.len());
        if place == self.0.len() {
            let (work, case, program) = (work.to_owned(), case.to_owned(), program.to_owned());
            self.0.push(Line { work, case, program, at: None, figures: BTreeMap::new(), samples: BTreeMap::new() });
        }
        #[expect(clippy::indexing_slicing, reason = "it was just found or pushed")]
        &mut self.0[place]
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_of_the_runs() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_line_collects_the_runs_of_a_program() {
        let mut lines = Lines::default();
        for value in [1.0, 3.0, 2.0] {
            lines.line("count", "uniform", "millpond").push(Figure::RestartMs, value);
            lines.line("count", "uniform", "bare").push(Figure::RestartMs, value);
        }
        assert_eq!(lines.0.len(), 2);
        assert_eq!(lines.line("count", "uniform", "millpond").median(Figure::RestartMs), Some(2.0));
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
