//! What was to be reached, and whether it was.

use super::figures::{Figure, Line};
use super::options::Part;
use super::results::Results;

/// What ours is compared with.
#[derive(Debug, Clone, Copy)]
enum Against {
    Peer,
    /// Another program of the same work and case.
    Program(&'static str),
    /// Ours at another case: it must stay flat.
    Case(&'static str),
}

/// A bound on a ratio of ours to another.
#[derive(Debug)]
struct Goal {
    part: Part,
    work: &'static str,
    /// The beginning of the case.
    case: &'static str,
    figure: Figure,
    against: Against,
    bound: Bound,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table of goals.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) ours: Option<String>,
    pub(crate) other: Option<String>,
    /// The ratio, and whether it is within the bound; not there unless both were measured.
    pub(crate) ratio: Option<(String, bool)>,
}

const GOALS: &[Goal] = &{
    use Against::{Case, Peer, Program};
    use Bound::{AtLeast, AtMost};
    use Figure::{
        CpuMicrosPerRecord as Cpu, LatencyP50Ms as P50, LatencyP99Ms as P99, PeakResidentMib as Memory,
        RecordsPerSecond as Rate, RestartMs as Restart, RestoreRecordsPerSecond as Restore,
    };
    use Part::{Latency, Loader, Rows, Works};
    type Of = (Part, &'static str, &'static str);
    const fn goal((part, work, case): Of, figure: Figure, against: Against, bound: Bound) -> Goal {
        Goal { part, work, case, figure, against, bound }
    }
    [
        goal((Works, "redaction", "uniform"), Cpu, Peer, AtMost(1.0 / 4.0)),
        goal((Works, "redaction", "uniform"), Cpu, Program("bare-copy"), AtMost(1.5)),
        goal((Works, "redaction", "uniform"), Rate, Peer, AtLeast(4.0)),
        goal((Works, "redaction", "uniform"), Memory, Peer, AtMost(1.0 / 8.0)),
        goal((Works, "count", "uniform"), Cpu, Peer, AtMost(1.0 / 5.0)),
        goal((Works, "count", "uniform"), Rate, Peer, AtLeast(4.0)),
        goal((Works, "count", "uniform"), Memory, Peer, AtMost(1.0 / 10.0)),
        goal((Works, "fraud", "uniform"), Cpu, Peer, AtMost(1.0 / 4.0)),
        goal((Works, "fraud", "uniform"), Rate, Peer, AtLeast(3.0)),
        goal((Works, "fraud", "uniform"), Memory, Peer, AtMost(1.0 / 10.0)),
        goal((Works, "attribution", "uniform"), Cpu, Peer, AtMost(1.0 / 4.0)),
        goal((Works, "attribution", "uniform"), Rate, Peer, AtLeast(3.0)),
        goal((Works, "attribution", "uniform"), Memory, Peer, AtMost(1.0 / 10.0)),
        goal((Rows, "table", "1,000,000 rows"), Restore, Peer, AtLeast(3.0)),
        goal((Rows, "table", "10,000,000 rows"), Restore, Peer, AtLeast(3.0)),
        goal((Rows, "table", "100,000 rows"), Restart, Peer, AtMost(1.0 / 10.0)),
        goal((Rows, "table", "1,000,000 rows"), Restart, Peer, AtMost(1.0 / 10.0)),
        goal((Rows, "table", "10,000,000 rows"), Restart, Peer, AtMost(1.0 / 10.0)),
        goal((Rows, "table", "10,000,000 rows"), Restart, Case("100,000 rows"), AtMost(1.5)),
        goal((Latency, "redaction", "10,000/s"), P50, Peer, AtMost(1.0)),
        goal((Latency, "redaction", "10,000/s"), P99, Peer, AtMost(1.0)),
        goal((Latency, "count", "10,000/s"), P50, Peer, AtMost(1.0)),
        goal((Latency, "count", "10,000/s"), P99, Peer, AtMost(1.0)),
        goal((Loader, "load", "events"), Rate, Program("plain COPY"), AtLeast(0.7)),
    ]
};

/// All goals, also those for which there are no figures.
pub(crate) fn outcomes(results: &Results) -> Vec<Outcome> {
    GOALS.iter().map(|goal| goal.outcome(results.lines(goal.part))).collect()
}

impl Goal {
    fn outcome(&self, lines: &[Line]) -> Outcome {
        let of = |program: &str, case: &str| {
            let is = |line: &&Line| line.work == self.work && line.case.starts_with(case) && line.program == program;
            lines.iter().find(is)?.median(self.figure)
        };
        let ours_is = if self.part == Part::Loader { "loader" } else { "millpond" };
        let (other, name) = match self.against {
            Against::Peer => (of("kafka-streams", self.case), "Kafka Streams"),
            Against::Program(program) => (of(program, self.case), program),
            Against::Case(case) => (of(ours_is, case), case),
        };
        let ours = of(ours_is, self.case);
        let ratio = ours.zip(other).map(|(ours, other)| ours / other.max(1e-9));
        let show = |value: f64| self.figure.show(value);
        let case = if self.case == "uniform" { String::new() } else { format!(", {}", self.case) };
        Outcome {
            what: format!("{}{case}: {}, to {name}", self.work, self.figure.title()),
            wanted: self.bound.wanted(),
            ours: ours.map(show),
            other: other.map(show),
            ratio: ratio.map(|ratio| (self.bound.show(ratio), self.bound.is_met(ratio))),
        }
    }
}

impl Bound {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(bound) => ratio <= bound,
            Self::AtLeast(bound) => ratio >= bound,
        }
    }

    /// The ratio in the form of the bound.
    fn show(self, ratio: f64) -> String {
        match self {
            Self::AtLeast(bound) if bound < 1.0 => format!("{ratio:.2}"),
            _ => show_ratio(ratio),
        }
    }

    fn wanted(self) -> String {
        match self {
            Self::AtMost(bound) if bound < 1.0 => format!("≤ 1/{:.0}", 1.0 / bound),
            Self::AtMost(bound) => format!("≤ {bound}"),
            Self::AtLeast(bound) => format!("≥ {bound}"),
        }
    }
}

/// Small ratios as fractions: `1/5.3`.
pub(crate) fn show_ratio(ratio: f64) -> String {
    if ratio > 0.0 && ratio < 0.95 && 1.0 / ratio < 1e6 {
        format!("1/{:.1}", 1.0 / ratio)
    } else {
        format!("{ratio:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Lines;

    #[test]
    fn a_goal_is_met_or_missed_or_says_what_was_not_measured() {
        let (ours, peer) = (("millpond", 10.0), ("kafka-streams", 40.0));
        let outcome = |programs: &[(&str, f64)]| {
            let mut lines = Lines::default();
            for (program, cpu) in programs {
                lines.line("redaction", "uniform of 9 keys", program).push(Figure::CpuMicrosPerRecord, *cpu);
            }
            GOALS[0].outcome(&lines.0)
        };
        assert_eq!(outcome(&[ours, peer]).ratio, Some(("1/4.0".to_owned(), true)));
        assert_eq!(outcome(&[ours, ("kafka-streams", 39.0)]).ratio, Some(("1/3.9".to_owned(), false)));
        let alone = outcome(&[ours]);
        assert_eq!((alone.ours.as_deref(), alone.other, alone.ratio), (Some("10.00"), None, None));
    }

    #[test]
    fn goals_without_a_figure_are_told_too() {
        let outcomes = outcomes(&Results::default());
        assert_eq!(outcomes.len(), GOALS.len());
        assert!(outcomes.iter().all(|outcome| outcome.ours.is_none() && outcome.ratio.is_none()));
    }
}
