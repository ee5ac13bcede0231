//! The status page: rendered here, no script, no request to elsewhere; the browser reloads it every two seconds.

use askama::Template;

use super::status::{Restore, Status, Task};

/// The page's only other file.
pub(super) const STYLE: &str = include_str!("../../templates/style.css");

#[derive(Template)]
#[template(path = "status.html")]
struct Page<'a> {
    status: &'a Status,
    topology: &'a str,
}

/// The page as HTML; texts are escaped.
pub(super) fn render(status: &Status, topology: &str) -> Result<String, askama::Error> {
    Page { status, topology }.render()
}

#[expect(
    clippy::unused_self,
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the template calls methods of the page, with references"
)]
impl Page<'_> {
    fn number(&self, value: &Option<i64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| value.to_string())
    }

    fn latency(&self, millis: &Option<f64>) -> String {
        millis.map_or_else(|| "–".to_owned(), |millis| format!("≤ {millis} ms"))
    }

    fn bytes(&self, bytes: &u64) -> String {
        match bytes {
            0..1024 => format!("{bytes} B"),
            1024..1_048_576 => format!("{} KiB", bytes / 1024),
            1_048_576..1_073_741_824 => format!("{} MiB", bytes / 1_048_576),
            _ => format!("{} GiB", bytes / 1_073_741_824),
        }
    }

    fn seconds(&self, seconds: &f64) -> String {
        format!("{seconds:.1}")
    }

    fn percent(&self, restore: &Restore) -> u64 {
        restore.done.saturating_mul(100).checked_div(restore.total).unwrap_or(100).min(100)
    }

    fn ago(&self, at_ms: &i64) -> String {
        format!("{} s ago", self.status.now_ms.saturating_sub(*at_ms).max(0) / 1000)
    }

    fn stores(&self) -> impl Iterator<Item = &Task> {
        self.status.tasks.iter().filter(|task| !task.stores.is_empty())
    }
}
