//! A terminal of the test's own: what a command writes to it, and what a person has seen there.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// Both ends of a pseudo-terminal.
pub(super) struct Terminal {
    /// Where a person looks at.
    eyes: File,
    /// Where a process writes to.
    line: OwnedFd,
}

/// All that was written to a terminal.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) code: i32,
    bytes: Vec<u8>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        let eyes = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&eyes).unwrap();
        unlockpt(&eyes).unwrap();
        tcsetwinsize(&eyes, SIZE).unwrap();
        let name = ptsname(&eyes, Vec::new()).unwrap();
        let path = std::ffi::OsStr::from_bytes(name.as_bytes());
        let line = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { eyes: eyes.into(), line }
    }

    /// For a command's standard error or output.
    pub(super) fn line(&self) -> Stdio {
        self.line.try_clone().unwrap().into()
    }

    /// Runs a command that writes here, and looks on until it has ended.
    pub(super) fn watch(self, mut command: Command) -> Seen {
        let mut child = command.env("TERM", "xterm").spawn().unwrap();
        // Once nobody else has the line open, the process's end of it is the end.
        drop((command, self.line));
        let mut eyes = self.eyes;
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        // Linux tells the end by an error, others by nothing.
        while let Ok(count @ 1..) = eyes.read(&mut part) {
            bytes.extend_from_slice(&part[..count]);
        }
        Seen { code: child.wait().unwrap().code().unwrap(), bytes }
    }
}

impl Seen {
    /// Every picture in turn, as it was before something was done to it.
    pub(super) fn pictures(&self) -> Vec<String> {
        let mut screen = vt100::Parser::new(SIZE.ws_row, SIZE.ws_col, 0);
        let mut pictures = Vec::new();
        for (at, byte) in self.bytes.iter().enumerate() {
            screen.process(&[*byte]);
            if matches!(self.bytes.get(at + 1), Some(b'\r' | b'\x1b')) {
                let picture = screen.screen().contents().trim_end().to_owned();
                if !picture.is_empty() && pictures.last() != Some(&picture) {
                    pictures.push(picture);
                }
            }
        }
        pictures
    }

    /// What stands there in the end.
    pub(super) fn left(&self) -> String {
        let mut screen = vt100::Parser::new(SIZE.ws_row, SIZE.ws_col, 0);
        screen.process(&self.bytes);
        assert!(!screen.screen().hide_cursor(), "the cursor is left hidden");
        screen.screen().contents()
    }

    /// All that was written, as a text; the terminal has made two characters of each end of a line.
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap().replace("\r\n", "\n")
    }
}
