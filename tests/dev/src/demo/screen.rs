//! Where the demo writes to: a picture that is drawn again and again on a terminal, lines elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

const WIDTH_WITHOUT_TERMINAL: usize = 120;

/// The terminal or file, standard error when standard output is for JSON alone.
#[derive(Debug)]
pub(crate) struct Screen {
    to_stderr: bool,
    is_terminal: bool,
    /// Lines of the picture that the cursor stands below.
    drawn: usize,
}

impl Screen {
    pub(crate) fn new(json: bool) -> Self {
        let is_terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        Self { to_stderr: json, is_terminal, drawn: 0 }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes text that stays, below the picture.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.drawn = 0;
        self.write(&format!("{text}\n"))
    }

    /// Draws the picture in the place of the one before.
    pub(crate) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let width = if self.is_terminal { self.width() } else { usize::MAX };
        let mut text = String::new();
        if self.is_terminal && self.drawn > 0 {
            let _ = write!(text, "\x1b[{}F\x1b[J", self.drawn);
        }
        for line in lines {
            text.extend(line.chars().filter(|ch| !ch.is_control()).take(width));
            text.push('\n');
        }
        self.drawn = lines.len();
        self.write(&text)
    }

    /// Writes one JSON object to standard output.
    pub(crate) fn json(&mut self, object: &impl serde::Serialize) -> anyhow::Result<()> {
        self.drawn = 0;
        Ok(writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(object)?)?)
    }

    /// Characters that fit into a line.
    pub(crate) fn width(&self) -> usize {
        let size = if self.to_stderr {
            rustix::termios::tcgetwinsize(io::stderr())
        } else {
            rustix::termios::tcgetwinsize(io::stdout())
        };
        size.ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0).unwrap_or(WIDTH_WITHOUT_TERMINAL)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if self.to_stderr {
            return io::stderr().lock().write_all(text.as_bytes());
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}
