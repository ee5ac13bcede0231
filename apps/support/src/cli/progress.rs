//! What is slow shows how far it is: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often a bar is drawn anew although nothing has happened.
const TICK: Duration = Duration::from_millis(200);

/// A bar on standard error over about so many things. It goes when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn over(what: &'static str, about: u64) -> Self {
        let bar = ProgressBar::new(about);
        // The template is ours; a mistake in it would only cost looks.
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of about {human_len}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self(bar)
    }

    /// Something without a known length, such as waiting for a broker.
    pub(crate) fn waiting(what: impl Into<String>) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_message(what.into());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    pub(crate) fn now(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
