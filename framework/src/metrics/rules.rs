//! What every table of metrics keeps to.

use std::collections::BTreeSet;

use super::{Kind, Metric, Unit};

/// What is wrong with a table: nothing, one hopes. `labels` are the only ones that it may have; each of them must have a
/// bounded number of values, none of them from a record.
///
/// Names begin with `millpond_`, end in their unit, and in `_total` when they only grow; all have a sentence that says what
/// they are.
pub fn check<'m>(table: impl IntoIterator<Item = &'m Metric>, labels: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for metric in table {
        let name = metric.name;
        let mut rule = |kept: bool, rule: &str| {
            if !kept {
                wrong.push(format!("{name}: {rule}"));
            }
        };
        rule(names.insert(name), "stands twice");
        rule(name.starts_with("millpond_"), "begins with millpond_");
        rule(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "has small letters");
        rule(name.ends_with("_total") == (metric.kind == Kind::Counter), "a counter, and no other, ends in _total");
        let unit = match metric.unit {
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
            Unit::BytesPerSecond => "_bytes_per_second",
            Unit::Offset => "_offset",
            Unit::Count | Unit::Truth => "",
        };
        rule(name.trim_end_matches("_total").ends_with(unit), "ends in its unit");
        rule(metric.kind != Kind::Histogram || metric.unit == Unit::Seconds, "a histogram is of seconds");
        rule(metric.help.len() > 10 && !metric.help.ends_with('.'), "has a sentence without a full stop");
        rule(metric.labels.iter().all(|label| labels.contains(label)), "has only labels that are known to be bounded");
    }
    wrong
}
