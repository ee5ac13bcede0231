//! `state get`, `scan` and `export`: rows, decoded where the serdes are known.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use bytes::Bytes;
use millpond::formats::{KeyError, StoreFormat, StoreFormats, bytes_of as raw, hex};
use millpond::state::KeyRange;
use millpond::state::rocksdb::TaskView;
use serde_json::{Value, json};

use super::open::Opened;
use crate::cli::Failure;
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::formats::guess;

/// Which rows `scan` prints.
pub(super) struct Wanted<'a> {
    pub(super) store: &'a str,
    pub(super) prefix: &'a str,
    pub(super) limit: usize,
}

/// Key or value as JSON. What its serde refuses is shown as its bytes: `verify` names it.
fn shown(format: Option<&StoreFormat>, bytes: &[u8], is_key: bool) -> Value {
    let Some(format) = format else { return guess(bytes) };
    let decoded = if is_key { format.key(bytes) } else { format.value(bytes) };
    decoded.unwrap_or_else(|error| json!({ "undecodable": hex(bytes), "reason": error.to_string() }))
}

fn row(place: (&str, &TaskView, &str), format: Option<&StoreFormat>, (key, value): &(Bytes, Bytes)) -> Value {
    let (instance, view, store) = place;
    json!({
        "instance": instance, "task": view.task().to_string(), "store": store,
        "key": shown(format, key, true), "value": shown(format, value, false),
    })
}

/// For a person: `0_3  key  value`, texts without quotes.
fn line(row: &Value) -> String {
    let part = |name: &str| match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    format!("{}\t{}\t{}\n", part("task"), part("key"), part("value"))
}

fn bytes_of(text: &str, format: Option<&StoreFormat>) -> Result<Vec<u8>, Failure> {
    let bytes = format.map_or_else(|| raw(text), |format| format.parse(text));
    bytes.map_err(|reason: KeyError| {
        let fix =
            "say a text as it is, other types as JSON such as 7 or [\"u1\",7], and bytes nobody decodes as 0x00ff";
        Failure::usage(format!("the key does not fit the store: {reason}"), fix)
    })
}

pub(super) fn get(
    opened: &Opened,
    formats: &StoreFormats,
    (store, key): (&str, &str),
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let format = formats.of(store);
    let views = opened.with_store(store)?;
    let bytes = Bytes::from(bytes_of(key, format)?);
    let mut found = Vec::new();
    for (instance, view) in &views {
        if let Some(value) = view.get(store, &bytes)? {
            found.push(row((instance, view, store), format, &(bytes.clone(), value)));
        }
    }
    if found.is_empty() {
        let fix = "see `state scan` for the keys; another instance may have the key's partition";
        return Err(Failure::new("no-such-key", format!("store {store} has no row of this key here"), fix));
    }
    out.answer(|| json!({ "rows": found }), || found.iter().map(line).collect())
}

pub(super) fn scan(
    opened: &Opened,
    formats: &StoreFormats,
    wanted: &Wanted<'_>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let format = formats.of(wanted.store);
    let prefix = raw(wanted.prefix).map_err(|reason| Failure::usage(reason.to_string(), "correct --prefix"))?;
    let range = KeyRange::prefix(&prefix);
    let mut left = if wanted.limit == 0 { usize::MAX } else { wanted.limit };
    for (instance, view) in &opened.with_store(wanted.store)? {
        for found in view.scan(wanted.store, &range)? {
            let found = found?;
            if left == 0 {
                let more = format!("… more; --limit 0 shows all, {} were shown\n", wanted.limit);
                return out.write(if out.json { "{\"more\":true}\n" } else { &more });
            }
            left -= 1;
            let row = row((instance, view, wanted.store), format, &found);
            // For programs a line of JSON each: there may be millions.
            out.write(&if out.json { format!("{row}\n") } else { line(&row) })?;
        }
    }
    Ok(())
}

pub(super) fn export(
    opened: &Opened,
    formats: &StoreFormats,
    (store, file): (Option<&str>, Option<&Path>),
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let Some(path) = file else {
        // A bar would stand between rows that are on the terminal themselves.
        let with_bar = !std::io::stdout().is_terminal();
        write_rows(opened, formats, (store, with_bar), &mut |line| out.write(line))?;
        return Ok(());
    };
    let failed = |error: std::io::Error| {
        let fix = "name a file in a directory in which you may write, with room";
        Failure::new("output", format!("{} cannot be written", path.display()), fix).because(&error)
    };
    let mut writer = BufWriter::new(File::create(path).map_err(failed)?);
    let mut write = |line: &str| writer.write_all(line.as_bytes()).map_err(failed);
    let rows = write_rows(opened, formats, (store, true), &mut write)?;
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    let text = || format!("{rows} rows are in {}", path.display());
    out.answer(|| json!({ "rows": rows, "file": path.display().to_string() }), text)
}

fn write_rows(
    opened: &Opened,
    formats: &StoreFormats,
    (only, with_bar): (Option<&str>, bool),
    write: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let views = match only {
        Some(store) => opened.with_store(store)?,
        None => all_views(opened)?,
    };
    let about = about(&views, only)?;
    let progress = with_bar.then(|| Progress::over("exporting", about));
    let mut rows = 0;
    for (instance, view) in &views {
        for store in view.stores().iter().filter(|store| only.is_none_or(|only| only == **store)) {
            let format = formats.of(store);
            for found in view.scan(store, &KeyRange::all())? {
                write(&format!("{}\n", row((instance, view, store), format, &found?)))?;
                progress.iter().for_each(Progress::step);
                rows += 1;
            }
        }
    }
    Ok(rows)
}

pub(super) fn all_views(opened: &Opened) -> Result<Vec<(String, TaskView)>, Failure> {
    opened.tasks().map(|(instance, task)| Ok((instance.instance.clone(), opened.view(instance, task)?))).collect()
}

/// How many rows there are, by the engine's estimate.
pub(super) fn about(views: &[(String, TaskView)], only: Option<&str>) -> Result<u64, Failure> {
    let mut rows = 0;
    for (_, view) in views {
        for store in view.stores().iter().filter(|store| only.is_none_or(|only| only == **store)) {
            rows += view.stats(store)?.rows;
        }
    }
    Ok(rows)
}
