//! Whether the cost of a record stays flat while something grows.

use super::figures::{Figure, Line, thousands};
use super::goals::show_ratio;
use super::options::Part;
use super::parts::AXES;
use super::results::Results;

/// A cost that grows by more than this is not flat.
const FLAT: f64 = 1.5;

/// One row for each axis: from where to where, what a record costs at both ends, and whether that is flat.
pub(crate) fn rows(results: &Results) -> Vec<Vec<String>> {
    let lines = results.lines(Part::Growth);
    if lines.is_empty() { Vec::new() } else { AXES.iter().map(|axis| row(axis, lines)).collect() }
}

fn row(axis: &str, lines: &[Line]) -> Vec<String> {
    let ending = format!(" against {axis}");
    let mut points: Vec<(f64, f64)> = Vec::new();
    for line in lines.iter().filter(|line| line.work.ends_with(&ending)) {
        points.extend(line.at.zip(line.median(Figure::CpuMicrosPerRecord)));
    }
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (scale, unit) = scale(axis);
    let costs: Vec<f64> = points.iter().map(|(at, cpu_us)| cpu_us / scale(*at)).collect();
    let ends = points.first().zip(points.last()).zip(costs.first().zip(costs.last()));
    let Some(((from, to), (first, last))) = ends.filter(|_| points.len() > 1) else {
        let missing = std::iter::repeat_n("not measured", 5);
        return [axis, "not measured", unit].into_iter().chain(missing).map(str::to_owned).collect();
    };
    let most = costs.iter().copied().fold(0.0, f64::max);
    let ratio = |cost: f64| cost / first.max(1e-9);
    let show = |cost: f64| Figure::CpuMicrosPerRecord.show(cost);
    let flat = if ratio(most) <= FLAT { "yes" } else { "**no**" };
    vec![
        axis.to_owned(),
        format!("{} to {}", whole(from.0), whole(to.0)),
        unit.to_owned(),
        show(*first),
        show(*last),
        show_ratio(ratio(*last)),
        show_ratio(ratio(most)),
        flat.to_owned(),
    ]
}

/// What a record's cost is divided by: a record that is longer, or counted in more stores, is more work.
fn scale(axis: &str) -> (fn(f64) -> f64, &'static str) {
    match axis {
        "record bytes" => (|bytes| bytes / 1000.0, "CPU µs/KB"),
        "stores" => (|stores| stores, "CPU µs/record and store"),
        _ => (|_| 1.0, "CPU µs/record"),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and positive")]
fn whole(at: f64) -> String {
    thousands(at as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Lines;

    fn lines(axis: &str, points: &[(f64, f64)]) -> Vec<Line> {
        let mut lines = Lines::default();
        for (at, cpu_us) in points {
            let line = lines.line(&format!("count against {axis}"), &at.to_string(), "millpond");
            line.at = Some(*at);
            line.push(Figure::CpuMicrosPerRecord, *cpu_us);
        }
        lines.0
    }

    #[test]
    fn a_cost_is_flat_when_no_point_is_far_above_the_first() {
        let told = |axis: &str, points: &[(f64, f64)]| row(axis, &lines(axis, points));
        let flat = ["keys", "10 to 1,000", "CPU µs/record", "2.00", "2.50", "1.25", "1.50", "yes"];
        assert_eq!(told("keys", &[(10.0, 2.0), (100.0, 3.0), (1000.0, 2.5)]), flat);
        assert_eq!(told("keys", &[(10.0, 2.0), (100.0, 3.1), (1000.0, 2.0)]).last().unwrap(), "**no**");
    }

    #[test]
    fn longer_records_cost_by_the_byte_and_more_stores_by_the_store() {
        let cost = |axis: &str, points: &[(f64, f64)]| row(axis, &lines(axis, points))[3..6].join(" ");
        assert_eq!(cost("record bytes", &[(100.0, 1.0), (100_000.0, 100.0)]), "10.00 1.00 1/10.0");
        assert_eq!(cost("stores", &[(1.0, 4.0), (8.0, 32.0)]), "4.00 4.00 1.00");
    }

    #[test]
    fn an_axis_that_was_left_out_is_named() {
        assert_eq!(row("threads", &lines("keys", &[(1.0, 1.0)]))[1], "not measured");
        assert!(rows(&Results::default()).is_empty());
    }
}
