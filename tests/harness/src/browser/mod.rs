//! A real Chromium without a window, driven through its `DevTools` protocol.
//!
//! Through two pipes, which the browser offers beside its socket: no crate is needed for what a test of a page asks.

mod pipe;
mod tab;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Error, Launch, Process, install};
use pipe::Pipe;
pub use tab::Tab;

/// A browser. Dropping it kills it.
#[derive(Debug)]
pub struct Browser {
    process: Process,
    pipe: Pipe,
}

/// What a page is looked at on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Whether the person prefers dark colours.
    pub dark: bool,
    /// Whether pages may run JavaScript.
    pub script: bool,
}

/// How long the browser may take for one step, on a machine that is busy.
pub(crate) const STEP: Duration = Duration::from_secs(30);

impl Browser {
    /// The program, if this machine has one.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] with what to do.
    pub fn program() -> Result<PathBuf, Error> {
        install::chromium()
    }

    /// Starts the browser with its profile under `dir`.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] without a Chromium, [`Error::Ended`] with its log when it does not come up.
    pub fn start(dir: &Path) -> Result<Self, Error> {
        let program = Self::program()?;
        std::fs::create_dir_all(dir).map_err(Error::io("make the directory", dir))?;
        let pipe = Pipe::new(dir)?;
        let mut launch = Launch::new("/bin/sh", dir.join("chromium.log"))
            .args(["-c", r#"in=$1 out=$2; shift 2; exec "$@" 3<"$in" 4>"$out""#, "sh"])
            .arg(pipe.requests())
            .arg(pipe.answers())
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-extensions", "--disable-sync", "--mute-audio", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", dir.join("profile").display()))
            .env("HOME", dir);
        if rustix::process::getuid().is_root() {
            // Its sandbox refuses to be root's. What is looked at is our own page.
            launch = launch.arg("--no-sandbox");
        }
        let mut browser = Self { process: launch.start()?, pipe };
        browser.call(None, "Browser.getVersion", &json!({}))?;
        Ok(browser)
    }

    /// Opens an empty page on that screen.
    ///
    /// # Errors
    /// [`Error::Tool`] when the browser refuses.
    pub fn tab(&mut self, screen: Screen) -> Result<Tab<'_>, Error> {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let made = self.call(None, "Target.createTarget", &json!({ "url": "about:blank" }))?;
        let target = text(&made, "targetId");
        let attached = self.call(None, "Target.attachToTarget", &json!({ "targetId": target, "flatten": true }))?;
        Tab::open(self, target, text(&attached, "sessionId"), screen)
    }

    /// Asks for one thing and waits for the answer; what the browser tells meanwhile is kept.
    pub(crate) fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Result<Value, Error> {
        let id = self.pipe.ask(session, method, params)?;
        loop {
            let Some(mut answer) = self.pipe.next(STEP)? else { return Err(self.silent(method)) };
            if answer.get("id").and_then(Value::as_u64) == Some(id) {
                if let Some(error) = answer.get("error") {
                    return Err(Error::Tool { tool: "Chromium", output: format!("{method}: {error}") });
                }
                return Ok(answer.get_mut("result").map(Value::take).unwrap_or_default());
            }
            self.pipe.keep(answer);
        }
    }

    /// Waits for the browser to tell something; `None` when it does not in time.
    pub(crate) fn told(&mut self, session: &str, method: &str, limit: Duration) -> Result<Option<Value>, Error> {
        self.pipe.told(session, method, limit)
    }

    /// All that it has told so far by that name.
    pub(crate) fn all_told(&mut self, session: &str, method: &str) -> Result<Vec<Value>, Error> {
        let mut all = Vec::new();
        while let Some(one) = self.pipe.told(session, method, Duration::ZERO)? {
            all.push(one);
        }
        Ok(all)
    }

    fn silent(&mut self, method: &str) -> Error {
        match self.process.ended() {
            Ok(Some(_)) => Error::Ended { name: "Chromium".into(), log: self.process.log_tail() },
            _ => Error::Late { what: format!("Chromium answers {method}"), limit: STEP },
        }
    }
}
