//! What the page tells of redaction: how many addresses went, by how they were written, and what is done to one record.

use std::sync::Arc;

use bytes::Bytes;
use millpond::http::{Block, Section, Share, Story, Traffic};
use millpond::record::Headers;
use millpond::time::Timestamp;

use crate::{Class, Place, Redactor, Totals};

/// Made up: nobody's record, with an address in each place that a value has.
const EXAMPLE: &str = r#"{
  "user_id": "u-1042",
  "event_name": "order_confirmed",
  "order_id": "o-77",
  "order_email": "jo.miller@example.com",
  "note": "also to \"Jo M.\"@example.org, or jo%40example.net",
  "item_url": "https://shop.example/i/7?to=jo@example.com",
  "package": "react@18.2.0"
}"#;

/// Counts of redacted addresses as a section of the page, with an example that this process's own redactor has redacted.
#[derive(Debug)]
pub struct RedactionStory {
    totals: Arc<Totals>,
    after: String,
}

impl RedactionStory {
    /// A story of what is counted in `totals`.
    pub fn new(totals: Arc<Totals>, redactor: Redactor) -> Self {
        let redacted = redactor.redact_record(None, Some(Bytes::from_static(EXAMPLE.as_bytes())), &Headers::new());
        let after = match redacted.map(|redacted| redacted.value.unwrap_or_default()) {
            Ok(value) => String::from_utf8_lossy(&value).into_owned(),
            Err(refusal) => refusal.to_string(),
        };
        Self { totals, after }
    }
}

impl Story for RedactionStory {
    fn tell(&self, _now: Timestamp, traffic: &Traffic) -> Section {
        let counts = self.totals.snapshot();
        let of = |place| Class::ALL.into_iter().map(|class| counts.get(place, class)).sum::<u64>();
        let facts = Block::facts([
            ("Addresses redacted", counts.total().to_string()),
            ("In values", of(Place::Value).to_string()),
            ("In keys", of(Place::Key).to_string()),
            ("In headers", of(Place::Header).to_string()),
            ("Records now", format!("{:.1}/s", traffic.read_total())),
        ]);
        let share = |class: Class| {
            let count = Place::ALL.into_iter().map(|place| counts.get(place, class)).sum();
            Share { label: class.name().to_owned(), count }
        };
        let shares = Block::Shares {
            caption: "By how they were written, since the start of this process".to_owned(),
            shares: Class::ALL.into_iter().map(share).collect(),
        };
        let change = Block::Change {
            caption: "What is done, to a record that is made up".to_owned(),
            before: EXAMPLE.to_owned(),
            after: self.after.clone(),
        };
        Section::new("Redaction").with(facts).with(shares).with(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counts, MARKER};

    #[test]
    fn the_example_is_redacted_by_the_redactor_itself() {
        let story = RedactionStory::new(Arc::default(), Redactor::default());
        assert_eq!(story.after.matches(MARKER).count(), 4, "{}", story.after);
        assert!(!story.after.contains("miller") && story.after.contains("react@18.2.0"), "{}", story.after);
    }

    #[test]
    fn counts_are_told_by_place_and_class() {
        let totals = Arc::new(Totals::default());
        let value = Some(Bytes::from_static(br#"{"a":"x@example.com","b":"y%40example.com"}"#));
        let key = Some(Bytes::from_static(b"z@example.com"));
        let redacted = Redactor::default().redact_record(key, value, &Headers::new()).unwrap();
        totals.add(&redacted.counts);
        totals.add(&Counts::default());
        let section = RedactionStory::new(totals, Redactor::default()).tell(Timestamp::EPOCH, &Traffic::default());
        let Block::Facts(facts) = &section.blocks[0] else { panic!("{section:?}") };
        let values: Vec<&str> = facts.iter().map(|fact| fact.value.as_str()).collect();
        assert_eq!(values, ["3", "2", "1", "0", "0.0/s"]);
        let Block::Shares { shares, .. } = &section.blocks[1] else { panic!("{section:?}") };
        let told: Vec<_> =
            shares.iter().filter(|share| share.count > 0).map(|share| (share.label.as_str(), share.count)).collect();
        assert_eq!(told, [("plain", 2), ("encoded", 1)]);
    }
}
