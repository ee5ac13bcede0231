//! What the page tells of fraud: the last alerts, each with the events that fired it.

use std::sync::Arc;

use millpond::http::{Block, Mark, Section, Story, Timeline, Traffic};
use millpond::time::Timestamp;
use millpond_support::Mask;

use crate::activity::Add;
use crate::last::Fired;
use crate::{Rule, Totals};

/// The last alerts as a section of the page. Users and items are hidden unless the configuration says otherwise.
#[derive(Debug)]
pub struct FraudStory {
    totals: Arc<Totals>,
    rule: Rule,
    mask: Mask,
}

impl FraudStory {
    /// A story of what is kept in `totals`.
    pub fn new(totals: Arc<Totals>, rule: Rule, mask: Mask) -> Self {
        Self { totals, rule, mask }
    }

    fn timeline(&self, fired: &Fired) -> Timeline {
        let user = self.mask.show("user", &fired.user);
        let (first_ms, last_ms) = (fired.evidence.first_event_ms, fired.evidence.last_event_ms);
        let marks = if fired.events.is_empty() {
            let items: Vec<Option<&str>> = fired.evidence.items.iter().map(|item| Some(item.as_str())).collect();
            let names = self.names(&items);
            names.into_iter().map(|label| Mark { after_ms: None, label }).collect()
        } else {
            let items: Vec<Option<&str>> = fired.events.iter().map(|add| add.item.as_deref()).collect();
            let after = |add: &Add| u64::try_from(add.at_ms.saturating_sub(first_ms)).ok();
            let marks = fired.events.iter().zip(self.names(&items));
            marks.map(|(add, label)| Mark { after_ms: after(add), label }).collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let seconds = last_ms.saturating_sub(first_ms) as f64 / 1000.0;
        let label = format!("{user}: {} events in {seconds:.1} s", fired.evidence.events);
        Timeline { label, at_ms: first_ms, marks }
    }

    /// Letters in the place of items, so that one sees which are the same.
    fn names(&self, items: &[Option<&str>]) -> Vec<String> {
        let mut known: Vec<&str> = Vec::new();
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            names.push(match *item {
                None => "no item".to_owned(),
                Some(item) if self.mask.is_plain() => item.to_owned(),
                Some(item) => {
                    let place = known.iter().position(|have| *have == item).unwrap_or(known.len());
                    if place == known.len() {
                        known.push(item);
                    }
                    match u8::try_from(place) {
                        Ok(place @ 0..26) => format!("item {}", char::from(b'A' + place)),
                        _ => format!("item {}", place + 1),
                    }
                }
            });
        }
        names
    }
}

impl Story for FraudStory {
    fn tell(&self, _now: Timestamp, traffic: &Traffic) -> Section {
        let (rule, (last, total)) = (&self.rule, self.totals.last_alerts());
        let what = if rule.distinct_items { "distinct items" } else { "items" };
        let says = format!("{} {what} in less than {} s", rule.count, rule.window.as_secs_f64());
        let written = traffic.written.iter().filter(|(topic, _)| !topic.ends_with("-repartition"));
        let alerts = written.fold(0.0, |sum, (_, rate)| sum + rate);
        let facts = Block::facts([
            ("Alerts since the start", total.to_string()),
            ("Alerts now", format!("{alerts:.1}/s")),
            ("Rule", says),
            ("Grace for late events", format!("{} s", rule.grace.as_secs_f64())),
        ]);
        let section = Section::new("Alerts").with(facts);
        if last.is_empty() {
            return section.with(Block::Note("No alert since the start of this process.".to_owned()));
        }
        let timelines = Block::Timelines {
            caption: "The last ones, with the events that fired them".to_owned(),
            length: rule.window,
            timelines: last.iter().map(|fired| self.timeline(fired)).collect(),
        };
        let note = if self.mask.is_plain() {
            "Users and items are shown as they are: app.page_unmasked is true."
        } else {
            "Names and letters stand for users and items; a user keeps the name until this process ends. \
             app.page_unmasked = true shows them to everybody who reaches this page."
        };
        section.with(timelines).with(Block::Note(note.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evidence;

    fn story(plain: bool) -> FraudStory {
        let totals = Totals::default();
        let events: Vec<Add> = [(0, "a"), (500, "b"), (900, "a"), (1_000, "c"), (4_000, "d")]
            .map(|(at_ms, item)| Add { at_ms: 10_000 + at_ms, item: Some(format!("/i/{item}?mail=x@y.z")) })
            .into();
        let items = events.iter().filter_map(|add| add.item.clone()).collect();
        let evidence = Evidence { first_event_ms: 10_000, last_event_ms: 14_000, events: 5, items };
        totals.alert(Fired { user: "ann@example.com".to_owned(), evidence: evidence.clone(), events });
        // Held until its events were forgotten.
        totals.alert(Fired { user: "bob".to_owned(), evidence, events: vec![] });
        FraudStory::new(Arc::new(totals), Rule::default(), Mask::new(plain))
    }

    fn timelines(story: &FraudStory) -> Vec<Timeline> {
        let section = story.tell(Timestamp::EPOCH, &Traffic::default());
        let found = section.blocks.into_iter().find_map(|block| match block {
            Block::Timelines { timelines, .. } => Some(timelines),
            _ => None,
        });
        found.unwrap()
    }

    #[test]
    fn the_events_that_fired_are_told_without_saying_who_and_what() {
        let told = timelines(&story(false));
        let marks: Vec<_> = told[1].marks.iter().map(|mark| (mark.after_ms.unwrap(), mark.label.as_str())).collect();
        assert_eq!(marks, [(0, "item A"), (500, "item B"), (900, "item A"), (1_000, "item C"), (4_000, "item D")]);
        assert!(told[1].label.ends_with(": 5 events in 4.0 s"), "{}", told[1].label);
        assert!(told[0].marks.iter().all(|mark| mark.after_ms.is_none()) && told[0].marks.len() == 5);
        let all = format!("{:?}", story(false).tell(Timestamp::EPOCH, &Traffic::default()));
        for hidden in ["ann", "example", "bob", "/i/", "x@y.z"] {
            assert!(!all.contains(hidden), "{hidden} is in {all}");
        }
        assert!(all.contains("app.page_unmasked"), "{all}");
    }

    #[test]
    fn whoever_asks_for_it_sees_users_and_items() {
        let told = timelines(&story(true));
        assert!(told[1].label.starts_with("ann@example.com: "), "{}", told[1].label);
        assert_eq!(told[1].marks[1].label, "/i/b?mail=x@y.z");
    }
}
