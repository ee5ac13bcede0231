//! Works of ours beside what bare libraries do of them.

use super::figures::{Figure, Line};
use super::goals::show_ratio;
use super::options::Part;
use super::results::Results;

/// Bare programs that do a part of a work each, one after the other.
struct Limit<'a> {
    ours: &'a Line,
    bare: Vec<&'a Line>,
}

/// One row for each work and limit that were measured.
pub(crate) fn rows(results: &Results) -> Vec<Vec<String>> {
    limits(results).iter().filter_map(Limit::row).collect()
}

fn limits(results: &Results) -> Vec<Limit<'_>> {
    let (works, bare) = (results.lines(Part::Works), results.lines(Part::Limits));
    let ours = |line: &&Line| line.program == "millpond";
    let stores = || bare.iter().filter(|line| line.program == "bare-rocksdb");
    let consumers = || bare.iter().filter(|line| line.program == "bare-consumer");
    let mut limits = Vec::new();
    for ours in works.iter().filter(ours) {
        let copies = || works.iter().filter(|line| line.program == "bare-copy");
        match ours.work.as_str() {
            "redaction" => limits.extend(copies().map(|copy| Limit { ours, bare: vec![copy] })),
            "count" => {
                // `uniform of 200,000 keys, …` beside `200,000 keys`
                for store in stores().filter(|store| ours.case.contains(&format!(" of {},", store.case))) {
                    limits.extend(consumers().map(|read| Limit { ours, bare: vec![read, store] }));
                    limits.extend(copies().map(|copy| Limit { ours, bare: vec![copy, store] }));
                }
            }
            _ => {}
        }
    }
    for ours in results.lines(Part::Rows).iter().filter(ours) {
        let same = |store: &&Line| ours.case == store.case.replace(" keys", " rows");
        limits.extend(stores().filter(same).map(|store| Limit { ours, bare: vec![store] }));
    }
    limits
}

impl Limit<'_> {
    fn row(&self) -> Option<Vec<String>> {
        let each = |figure| self.bare.iter().map(|line| line.median(figure)).collect::<Option<Vec<f64>>>();
        let bare_cpu = each(Figure::CpuMicrosPerRecord)?.iter().sum::<f64>();
        // One after the other: the times for a record are added up.
        let bare_rate = 1.0 / each(Figure::RecordsPerSecond)?.iter().map(|rate| 1.0 / rate.max(1e-9)).sum::<f64>();
        let mut row = vec![self.ours.work.clone(), self.ours.case.clone()];
        let bare = self.bare.iter().map(|line| format!("{}, {}", line.program, line.case));
        let bare =
            bare.map(|named| named.split_once(", uniform").map_or(named.clone(), |(program, _)| program.to_owned()));
        row.push(bare.collect::<Vec<_>>().join(", and "));
        for (figure, bare) in [(Figure::CpuMicrosPerRecord, bare_cpu), (Figure::RecordsPerSecond, bare_rate)] {
            let ours = self.ours.median(figure)?;
            row.extend([figure.show(ours), figure.show(bare), show_ratio(ours / bare.max(1e-9))]);
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::Lines;
    use crate::bench::results::Measured;

    fn part(part: Part, of: &[(&str, &str, &str, f64)]) -> Measured {
        let mut lines = Lines::default();
        for (work, case, program, cpu_us) in of {
            let line = lines.line(work, case, program);
            line.push(Figure::CpuMicrosPerRecord, *cpu_us);
            line.push(Figure::RecordsPerSecond, 1e6 / cpu_us);
        }
        Measured::of(part, lines)
    }

    #[test]
    fn a_count_is_set_beside_a_loop_and_a_store_and_a_table_beside_a_store_of_its_size() {
        let case = "uniform of 200 keys, 170 B";
        let works = [("count", case, "millpond", 6.0), ("redaction", case, "bare-copy", 1.0)];
        let bare = [
            ("read", "170 B", "bare-consumer", 0.5),
            ("store", "200 keys", "bare-rocksdb", 2.0),
            ("store", "1,000 keys", "bare-rocksdb", 4.0),
        ];
        let table = [("table", "1,000 rows", "millpond", 8.0), ("table", "9,000 rows", "millpond", 8.0)];
        let parts = vec![part(Part::Works, &works), part(Part::Limits, &bare), part(Part::Rows, &table)];
        let told: Vec<String> =
            rows(&Results { parts }).iter().map(|row| [&row[0..1], &row[2..]].concat().join(" | ")).collect();
        let wanted = [
            "count | bare-consumer, 170 B, and bare-rocksdb, 200 keys | 6.00 | 2.50 | 2.40 | 166,667 | 400,000 | 1/2.4",
            "count | bare-copy, and bare-rocksdb, 200 keys | 6.00 | 3.00 | 2.00 | 166,667 | 333,333 | 1/2.0",
            "table | bare-rocksdb, 1,000 keys | 8.00 | 4.00 | 2.00 | 125,000 | 250,000 | 1/2.0",
        ];
        assert_eq!(told, wanted);
        assert!(rows(&Results::default()).is_empty());
    }
}
