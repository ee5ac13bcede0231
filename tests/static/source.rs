//! Source files with comments, strings and tests told apart from code.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of Rust that is no test.
pub(crate) struct File {
    /// From the top of the repository, with `/`.
    pub(crate) path: String,
    /// As it is, up to its tests.
    pub(crate) text: String,
    /// The same lines, with comments and the insides of strings blanked.
    pub(crate) code: String,
    /// How many lines it has without its tests.
    pub(crate) lines: usize,
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files below a directory of the repository, those of tests left out.
pub(crate) fn files(directory: &str) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    collect(&root.join(directory), &mut found);
    found.sort();
    assert!(!found.is_empty(), "directory={directory} has no source files");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let text = without_tests(&text);
        let path = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        File { path, code: code(&text), lines: text.lines().count(), text }
    };
    found.into_iter().map(read).collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // `tests` inside a crate; `ui` holds programs that are wrong on purpose.
            let skipped = matches!(name.as_str(), "tests" | "ui" | "target") || name.starts_with('.');
            if !skipped {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Tests at the end of a file, by convention in `mod tests`.
fn without_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair == ["#[cfg(test)]", "mod tests {"]);
    lines.get(..tests.unwrap_or(lines.len())).unwrap_or_default().join("\n")
}

/// Blanks comments and strings; lines stay where they are. Block comments and raw strings are not used here but in tests.
fn code(text: &str) -> String {
    text.lines().map(code_of_line).collect::<Vec<_>>().join("\n")
}

fn code_of_line(line: &str) -> String {
    let mut code = String::new();
    let mut chars = line.chars().peekable();
    let mut in_string = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_string => {
                chars.next();
            }
            '"' if code.ends_with('\'') && chars.peek() == Some(&'\'') => {}
            '"' => {
                in_string = !in_string;
                code.push('"');
            }
            _ if in_string => {}
            '/' if chars.peek() == Some(&'/') => break,
            _ => code.push(c),
        }
    }
    code
}

/// Identifiers and keywords in order.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
