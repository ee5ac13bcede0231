//! Where a command's answer goes: text and tables for people, JSON for programs.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::Failure;

/// Standard output, in the form that was asked for.
pub(crate) struct Output<'a> {
    /// True for programs.
    pub(crate) json: bool,
    out: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    pub(crate) fn new(json: bool, out: &'a mut dyn Write) -> Self {
        Self { json, out }
    }

    /// One form of the answer or the other; only what is asked for is made.
    pub(crate) fn answer(
        &mut self,
        json: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let mut text = if self.json { json().to_string() } else { text() };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(&text)
    }

    /// As it is.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            // The reader has seen enough, as in `… | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::new("output-closed", "", "")),
            Err(error) => Err(Failure::output(&error)),
            Ok(()) => Ok(()),
        }
    }
}

/// Each on a line of its own.
pub(crate) fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// Columns that line up, without frames: every cell stays one line, so that it can be searched and cut.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| one_line(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    lines.concat()
}

/// Control characters would break the table, or the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_keeps_each_row_on_one_line() {
        let rows = vec![vec!["0_1".to_owned(), "a\nb".to_owned()], vec!["10_11".to_owned(), String::new()]];
        assert_eq!(table(&["task", "store"], rows), "TASK   STORE\n0_1    a\u{fffd}b\n10_11\n");
    }
}
