//! What is slow shows how far it is: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn anew although nothing has happened.
const TICK: Duration = Duration::from_millis(200);

/// A bar on standard error over about so many things. It goes when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn over(what: &'static str, about: u64) -> Self {
        Self::over_on(ProgressDrawTarget::stderr(), what, about)
    }

    fn over_on(target: ProgressDrawTarget, what: &'static str, about: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(about), target);
        // The template is ours; a mistake in it would only cost looks.
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of about {human_len}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self(bar)
    }

    /// Something without a known length, such as waiting for a broker.
    pub(crate) fn waiting(what: impl Into<String>) -> Self {
        Self::waiting_on(ProgressDrawTarget::stderr(), what)
    }

    fn waiting_on(target: ProgressDrawTarget, what: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::default_spinner());
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

#[cfg(test)]
mod tests {
    use std::io::IsTerminal;

    use indicatif::InMemoryTerm;

    use super::*;

    /// A terminal, and a way to draw on it.
    fn terminal() -> (InMemoryTerm, ProgressDrawTarget) {
        let terminal = InMemoryTerm::new(5, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        (terminal, target)
    }

    #[test]
    fn a_bar_shows_what_is_done_and_how_much_of_it_and_leaves_nothing() {
        let (terminal, target) = terminal();
        let progress = Progress::over_on(target, "verifying", 2_000);
        for _ in 0..3 {
            progress.step();
        }
        let shown = terminal.contents();
        assert!(shown.starts_with("verifying ") && shown.contains(" 3 of about 2,000, "), "{shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
        // What was only about so many may be more.
        progress.0.inc(1_998);
        let shown = terminal.contents();
        assert!(shown.contains(" 2,001 of about 2,000, "), "{shown}");
        drop(progress);
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn what_has_no_length_says_what_it_waits_for_and_leaves_nothing() {
        let (terminal, target) = terminal();
        let progress = Progress::waiting_on(target, "asking the cluster");
        // Its thread would draw while the test looks.
        progress.0.disable_steady_tick();
        progress.now("looking at topics");
        let shown = terminal.contents();
        assert!(shown.ends_with(" looking at topics"), "{shown}");
        progress.now("trying a transaction");
        let shown = terminal.contents();
        assert!(shown.ends_with(" trying a transaction") && !shown.contains("topics"), "{shown}");
        drop(progress);
        assert_eq!(terminal.contents(), "");
    }

    /// Tests that run commands see that no byte of it is written.
    #[test]
    fn nothing_is_drawn_where_standard_error_is_no_terminal() {
        let hidden =
            [Progress::over("verifying", 4), Progress::waiting("asking")].map(|progress| progress.0.is_hidden());
        assert!(std::io::stderr().is_terminal() || hidden == [true; 2], "{hidden:?}");
    }
}
