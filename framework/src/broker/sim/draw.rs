//! A log as a line of text, for people who look for the step that went wrong.

use bytes::Bytes;

use crate::record::TopicPartition;

use super::SimBroker;
use super::log::{Fate, SeenBody};

/// Characters shown of a key or a value.
const TEXT_MAX: usize = 40;

impl SimBroker {
    /// The entries of a partition from its start on. `P1.0` is a producer with its epoch, `C` and `A` are its markers;
    /// aborted records are in parentheses, those of open transactions have a question mark.
    ///
    /// ```text
    /// 0:a=1 P1.0 | 1:C P1.0 | 2:(b=2) P2.3 | 3:A P2.4 | 4:c=3? P1.0
    /// ```
    pub fn drawn(&self, at: &TopicPartition) -> String {
        let shared = self.shared();
        let cluster = shared.borrow();
        let Ok(log) = cluster.topics.log(at) else { return "no such partition".to_owned() };
        let entry = |(offset, seen): (crate::record::Offset, super::log::Seen<'_>)| {
            let what = match seen.what {
                SeenBody::Marker { commit } => if commit { "C" } else { "A" }.to_owned(),
                SeenBody::Data { key, value, fate } => {
                    let value = value.map_or_else(|| "null".to_owned(), text);
                    let pair = key.map_or_else(|| value.clone(), |key| format!("{}={value}", text(key)));
                    match fate {
                        Fate::Open => format!("{pair}?"),
                        Fate::Aborted => format!("({pair})"),
                        Fate::Committed => pair,
                    }
                }
            };
            let producer = seen.producer.map_or_else(String::new, |by| format!(" P{}.{}", by.id, by.epoch));
            format!("{offset}:{what}{producer}")
        };
        log.entries().map(entry).collect::<Vec<_>>().join(" | ")
    }
}

/// Bytes as text: what is legible of them, or a number.
fn text(bytes: &Bytes) -> String {
    if let Ok(number) = <[u8; 8]>::try_from(bytes.as_ref()) {
        return i64::from_be_bytes(number).to_string();
    }
    let legible = String::from_utf8_lossy(bytes);
    let mut shown: String = legible.chars().filter(|c| !c.is_control() && *c != '\u{FFFD}').take(TEXT_MAX).collect();
    if shown.len() < legible.len() && legible.chars().count() > TEXT_MAX {
        shown.push('…');
    }
    shown
}
