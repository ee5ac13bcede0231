//! `--from-file`: where each partition begins, a line each, in the form that `kafka-consumer-groups.sh` writes with `--export` and
//! takes with `--from-file`.

use std::collections::BTreeMap;
use std::path::Path;

use millpond::record::{Offset, Partition, TopicPartition};

use crate::cli::Failure;

const FORM: &str = "write topic,partition,offset, as in events,0,42";

/// The places in that file.
pub(super) fn read(path: &Path) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let fix = "correct the path; the file has a line topic,partition,offset for each partition";
        Failure::usage(format!("--from-file={shown} cannot be read"), fix).because(&error)
    })?;
    parse(&text).map_err(|Wrong { line, reason, fix }| {
        let at = line.map_or_else(String::new, |line| format!(":{line}"));
        Failure::usage(format!("--from-file={shown}{at}: {reason}"), fix)
    })
}

/// What is wrong with the file, and in which line of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Wrong {
    pub(in crate::cli) line: Option<usize>,
    pub(in crate::cli) reason: String,
    pub(in crate::cli) fix: &'static str,
}

pub(in crate::cli) fn parse(text: &str) -> Result<BTreeMap<TopicPartition, Offset>, Wrong> {
    let mut places = BTreeMap::new();
    let mut lines = BTreeMap::new();
    let rows = text.lines().zip(1..).map(|(row, line)| (row.trim(), line)).filter(|(row, _)| !row.is_empty());
    for (row, line) in rows {
        let wrong = |reason: String, fix| Wrong { line: Some(line), reason, fix };
        let (at, to) = place(row).map_err(|(reason, fix)| wrong(reason, fix))?;
        if let Some(before) = lines.insert(at.clone(), line) {
            return Err(wrong(format!("{at} stands in line {before} already"), "leave one of the two out"));
        }
        places.insert(at, to);
    }
    if places.is_empty() {
        return Err(Wrong { line: None, reason: "it has no line".to_owned(), fix: FORM });
    }
    Ok(places)
}

fn place(row: &str) -> Result<(TopicPartition, Offset), (String, &'static str)> {
    let cells: Vec<&str> = row.split(',').map(unquoted).collect();
    let (topic, partition, offset) = match cells.as_slice() {
        &[topic, partition, offset] => (topic, partition, offset),
        [_, _, _, _] => {
            let fix = "leave the first column out, and lines of other groups: write topic,partition,offset";
            return Err(("it has four columns, as a file of several groups".to_owned(), fix));
        }
        _ => return Err((format!("columns={}, and there are three", cells.len()), FORM)),
    };
    if topic.is_empty() {
        return Err(("the topic is missing".to_owned(), FORM));
    }
    let natural = |what: &str, cell: &str| (format!("`{cell}` is no {what}: a whole number, from 0 on"), FORM);
    let number = partition.parse().ok().filter(|number: &i32| *number >= 0);
    let number = number.ok_or_else(|| natural("partition", partition))?;
    let next = offset.parse().ok().filter(|next: &i64| *next >= 0).ok_or_else(|| natural("offset", offset))?;
    Ok((TopicPartition::new(topic, Partition(number)), Offset(next)))
}

/// A cell as it is meant: Kafka's tool puts some names in quotes.
fn unquoted(cell: &str) -> &str {
    let cell = cell.trim();
    cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_partition_with_its_offset() {
        let places = parse("events,0,42\n\n \"orders\" , 1 , 7 \r\nevents,11,0\n").unwrap();
        let of = |topic: &str, partition, offset| (TopicPartition::new(topic, Partition(partition)), Offset(offset));
        assert_eq!(places, [of("events", 0, 42), of("events", 11, 0), of("orders", 1, 7)].into());
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_what_to_do() {
        for (text, line, said) in [
            ("events,0,1\nevents,1", Some(2), "columns=2, and there are three"),
            ("events,0,1,2,3", Some(1), "columns=5, and there are three"),
            ("shop,events,0,1", Some(1), "four columns, as a file of several groups"),
            ("topic,partition,offset\nevents,0,1", Some(1), "`partition` is no partition"),
            ("\n\nevents,-1,1", Some(3), "`-1` is no partition"),
            ("events,0,-1", Some(1), "`-1` is no offset"),
            ("events,0,latest", Some(1), "`latest` is no offset"),
            ("events,0,99999999999999999999", Some(1), "is no offset"),
            (",0,1", Some(1), "the topic is missing"),
            ("events,0,1\nevents,1,1\nevents,0,2", Some(3), "events-0 stands in line 1 already"),
            ("", None, "it has no line"),
            ("\n \n", None, "it has no line"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert_eq!(wrong.line, line, "{text}: {wrong:?}");
            assert!(wrong.reason.contains(said) && wrong.fix.len() > 20, "{text}: {wrong:?}");
        }
    }

    #[test]
    fn a_file_is_named_with_its_line_and_one_that_is_missing_with_its_cause() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "events,0,1\nevents;1;1\n").unwrap();
        let told = read(file.path()).unwrap_err().to_string();
        let place = format!("--from-file={}:2: columns=1, and there are three\n", file.path().display());
        assert!(told.contains(&place) && told.contains("fix: write topic,partition,offset"), "{told}");
        let told = read(Path::new("/nowhere/places.csv")).unwrap_err().to_string();
        assert!(told.contains("/nowhere/places.csv cannot be read\n  cause: No such file"), "{told}");
    }
}
