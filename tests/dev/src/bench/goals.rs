//! What was to be reached, and whether it was.

use super::figures::{Figure, Line};
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
    work: &'static str,
    /// The beginning of the case; empty for any.
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
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) ours: String,
    pub(crate) other: String,
    pub(crate) ratio: String,
    pub(crate) is_met: bool,
}

const GOALS: &[Goal] = &{
    use Against::{Case, Peer, Program};
    use Bound::{AtLeast, AtMost};
    use Figure::{
        CpuMicrosPerRecord as Cpu, LatencyP50Ms as P50, LatencyP99Ms as P99, PeakResidentMib as Memory,
        RecordsPerSecond as Rate, RestartMs as Restart, RestoreRecordsPerSecond as Restore,
    };
    const fn goal(work: &'static str, case: &'static str, figure: Figure, against: Against, bound: Bound) -> Goal {
        Goal { work, case, figure, against, bound }
    }
    [
        goal("redaction", "uniform", Cpu, Peer, AtMost(1.0 / 4.0)),
        goal("redaction", "uniform", Cpu, Program("bare-copy"), AtMost(1.5)),
        goal("redaction", "uniform", Rate, Peer, AtLeast(4.0)),
        goal("redaction", "uniform", Memory, Peer, AtMost(1.0 / 8.0)),
        goal("count", "uniform", Cpu, Peer, AtMost(1.0 / 5.0)),
        goal("count", "uniform", Rate, Peer, AtLeast(4.0)),
        goal("count", "uniform", Memory, Peer, AtMost(1.0 / 10.0)),
        goal("fraud", "uniform", Cpu, Peer, AtMost(1.0 / 4.0)),
        goal("fraud", "uniform", Rate, Peer, AtLeast(3.0)),
        goal("fraud", "uniform", Memory, Peer, AtMost(1.0 / 10.0)),
        goal("attribution", "uniform", Cpu, Peer, AtMost(1.0 / 4.0)),
        goal("attribution", "uniform", Rate, Peer, AtLeast(3.0)),
        goal("attribution", "uniform", Memory, Peer, AtMost(1.0 / 10.0)),
        goal("table", "1,000,000 rows", Restore, Peer, AtLeast(3.0)),
        goal("table", "10,000,000 rows", Restore, Peer, AtLeast(3.0)),
        goal("table", "100,000 rows", Restart, Peer, AtMost(1.0 / 10.0)),
        goal("table", "1,000,000 rows", Restart, Peer, AtMost(1.0 / 10.0)),
        goal("table", "10,000,000 rows", Restart, Peer, AtMost(1.0 / 10.0)),
        goal("table", "10,000,000 rows", Restart, Case("100,000 rows"), AtMost(1.5)),
        goal("redaction", "10,000/s", P50, Peer, AtMost(1.0)),
        goal("redaction", "10,000/s", P99, Peer, AtMost(1.0)),
        goal("count", "10,000/s", P50, Peer, AtMost(1.0)),
        goal("count", "10,000/s", P99, Peer, AtMost(1.0)),
        goal("load", "", Rate, Program("plain COPY"), AtLeast(0.7)),
    ]
};

/// All goals for which there are figures.
pub(crate) fn outcomes(results: &Results) -> Vec<Outcome> {
    let lines: Vec<&Line> = results.parts.iter().flat_map(|part| &part.lines).collect();
    GOALS.iter().filter_map(|goal| goal.outcome(&lines)).collect()
}

impl Goal {
    fn outcome(&self, lines: &[&Line]) -> Option<Outcome> {
        let of = |program: &str, case: &str| {
            let is = |line: &&&Line| line.work == self.work && line.case.starts_with(case) && line.program == program;
            lines.iter().find(is)?.median(self.figure)
        };
        let ours_is = if self.work == "load" { "loader" } else { "millpond" };
        let ours = of(ours_is, self.case)?;
        let (other, name) = match self.against {
            Against::Peer => (of("kafka-streams", self.case)?, "Kafka Streams"),
            Against::Program(program) => (of(program, self.case)?, program),
            Against::Case(case) => (of(ours_is, case)?, case),
        };
        let ratio = ours / other.max(1e-9);
        let (is_met, wanted) = match self.bound {
            Bound::AtMost(bound) if bound < 1.0 => (ratio <= bound, format!("≤ 1/{:.0}", 1.0 / bound)),
            Bound::AtMost(bound) => (ratio <= bound, format!("≤ {bound}")),
            Bound::AtLeast(bound) => (ratio >= bound, format!("≥ {bound}")),
        };
        let show = |value: f64| self.figure.show(value);
        let case = if self.case == "uniform" { String::new() } else { format!(", {}", self.case) };
        let case = if self.case.is_empty() { String::new() } else { case };
        Some(Outcome {
            what: format!("{}{case}: {}, to {name}", self.work, self.figure.title()),
            wanted,
            ours: show(ours),
            other: show(other),
            ratio: show_ratio(ratio),
            is_met,
        })
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
