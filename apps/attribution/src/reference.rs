//! What the application must write, said naively from all events at once. For tests, and for the demo's `--verify`.

use std::collections::BTreeMap;
use std::fmt;

use millpond::record::Record;
use millpond::serde::Serde;
use millpond::time::Timestamp;
use millpond_support::EventJson;
use millpond_support::event::by_user;

use crate::attribution::{Step, is_relevant, step};
use crate::{Attribution, ORGANIC};

/// One well-formed visit or order of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Who.
    pub user_id: String,
    /// Event time, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub deed: Deed,
}

/// What a user did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Visited, through that channel; [`ORGANIC`] when none was named.
    Visited(String),
    /// Confirmed the order of that id.
    Ordered(String),
}

impl Fact {
    /// Reads a record of the events' topic. `None` for other events and for those that go to the dead letters.
    pub fn read(at_ms: i64, value: Option<&[u8]>) -> Option<Self> {
        let event = EventJson.decode(value?).ok()?;
        let record = by_user(Record::new((), event, Timestamp::from_millis(at_ms))).ok()?;
        if at_ms < 0 || !is_relevant(&record.value) {
            return None;
        }
        let Record { key, value, .. } = step(record).ok()?;
        let deed = match value {
            Step::Visit { channel } => Deed::Visited(channel),
            Step::Order { order_id } => Deed::Ordered(order_id),
        };
        Some(Self { user_id: key, at_ms, deed })
    }
}

/// The final attribution of each order, by order id, whatever the order of `facts`.
pub fn attributions(facts: &[Fact]) -> BTreeMap<String, Attribution> {
    let mut first_visits: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    let mut orders: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    for Fact { user_id, at_ms, deed } in facts {
        match deed {
            Deed::Visited(channel) => {
                let first = first_visits.entry(user_id).or_insert((*at_ms, channel));
                *first = (*first).min((*at_ms, channel));
            }
            Deed::Ordered(order_id) => {
                let first = orders.entry(order_id).or_insert((*at_ms, user_id));
                *first = (*first).min((*at_ms, user_id));
            }
        }
    }
    let attribute = |(order_id, (at_ms, user_id)): (&str, (i64, &str))| {
        let visit = first_visits.get(user_id).filter(|(visited_ms, _)| *visited_ms <= at_ms);
        let attribution = Attribution {
            user_id: user_id.to_owned(),
            order_id: order_id.to_owned(),
            marketing_channel: visit.map_or(ORGANIC, |(_, channel)| channel).to_owned(),
            order_time_ms: at_ms,
            visit_time_ms: visit.map(|(visited_ms, _)| *visited_ms),
        };
        (order_id.to_owned(), attribution)
    };
    orders.into_iter().map(attribute).collect()
}

/// Where the written attributions are not what the events ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// An order has no record.
    Missing(Attribution),
    /// A record is for an order that nobody made, or under another key than its order's id.
    Unfounded(Attribution),
    /// The last record of an order is not this.
    Wrong {
        /// What should be there.
        expected: Attribution,
        /// What is.
        actual: Attribution,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(expected) => {
                write!(f, "attribution: no record for order_id={} user_id={}", expected.order_id, expected.user_id)
            }
            Self::Unfounded(actual) => {
                let Attribution { order_id, user_id, .. } = actual;
                write!(
                    f,
                    "attribution: a record for an order that is not in the input: order_id={order_id} user_id={user_id}"
                )
            }
            Self::Wrong { expected, actual } => write!(
                f,
                "attribution: order_id={} expected channel={} visit_time_ms={:?} order_time_ms={} user_id={}, \
                 found channel={} visit_time_ms={:?} order_time_ms={} user_id={}",
                expected.order_id,
                expected.marketing_channel,
                expected.visit_time_ms,
                expected.order_time_ms,
                expected.user_id,
                actual.marketing_channel,
                actual.visit_time_ms,
                actual.order_time_ms,
                actual.user_id,
            ),
        }
    }
}

/// Compares what was written with all events. `written` holds keys and values of the output topic, those of one partition
/// in the order of their offsets: the last record of a key counts. The order of `facts` does not matter.
pub fn verify<'a>(facts: &[Fact], written: impl IntoIterator<Item = (&'a str, &'a Attribution)>) -> Vec<Difference> {
    let mut expected = attributions(facts);
    let table: BTreeMap<&str, &Attribution> = written.into_iter().collect();
    let mut differences = Vec::new();
    for (key, actual) in table {
        match expected.remove(key) {
            Some(expected) if expected == *actual => {}
            Some(expected) => differences.push(Difference::Wrong { expected, actual: actual.clone() }),
            None => differences.push(Difference::Unfounded(actual.clone())),
        }
    }
    differences.extend(expected.into_values().map(Difference::Missing));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visited(at_ms: i64, channel: &str) -> Fact {
        Fact { user_id: "u1".into(), at_ms, deed: Deed::Visited(channel.into()) }
    }

    fn ordered(at_ms: i64, order_id: &str) -> Fact {
        Fact { user_id: "u1".into(), at_ms, deed: Deed::Ordered(order_id.into()) }
    }

    fn attribution(order_time_ms: i64, channel: &str, visit_time_ms: Option<i64>) -> Attribution {
        Attribution {
            user_id: "u1".into(),
            order_id: "o1".into(),
            marketing_channel: channel.into(),
            order_time_ms,
            visit_time_ms,
        }
    }

    #[test]
    fn the_earliest_visit_decides_unless_it_was_after_the_order() {
        let channel_of = |facts: &[Fact]| attributions(facts).remove("o1").unwrap();
        assert_eq!(channel_of(&[ordered(10, "o1")]), attribution(10, ORGANIC, None));
        let facts = [visited(9, "late"), visited(3, "mail"), ordered(10, "o1"), visited(11, "after")];
        assert_eq!(channel_of(&facts), attribution(10, "mail", Some(3)));
        assert_eq!(channel_of(&[visited(10, "mail"), ordered(10, "o1")]), attribution(10, "mail", Some(10)));
        assert_eq!(channel_of(&[visited(11, "mail"), ordered(10, "o1")]), attribution(10, ORGANIC, None));
        let ties = [visited(3, "mail"), visited(3, "ads"), visited(3, "tv"), ordered(10, "o1")];
        assert_eq!(channel_of(&ties), attribution(10, "ads", Some(3)));
        let twice = [ordered(12, "o1"), visited(11, "mail"), ordered(10, "o1")];
        assert_eq!(channel_of(&twice), attribution(10, ORGANIC, None));
    }

    #[test]
    fn each_kind_of_difference_is_found_and_the_last_record_counts() {
        let facts = [visited(3, "mail"), ordered(10, "o1")];
        let good = attribution(10, "mail", Some(3));
        let bad = attribution(10, ORGANIC, None);
        assert_eq!(verify(&facts, [("o1", &bad), ("o1", &good)]), []);
        let wrong = Difference::Wrong { expected: good.clone(), actual: bad.clone() };
        assert_eq!(verify(&facts, [("o1", &good), ("o1", &bad)]), [wrong]);
        assert_eq!(verify(&facts, []), [Difference::Missing(good.clone())]);
        assert_eq!(verify(&facts, [("o1", &good), ("o2", &bad)]), [Difference::Unfounded(bad)]);
    }

    #[test]
    fn only_well_formed_visits_and_orders_are_read() {
        let read = |text: &str| Fact::read(7, Some(text.as_bytes()));
        let visit = r#"{"user_id":"u1","event_name":"site_visit","channel":"mail"}"#;
        assert_eq!(read(visit), Some(visited(7, "mail")));
        assert_eq!(Fact::read(-1, Some(visit.as_bytes())), None);
        assert_eq!(Fact::read(7, None), None);
        assert_eq!(read(r#"{"user_id":"u1","event_name":"visit","channel":""}"#), Some(visited(7, ORGANIC)));
        assert_eq!(read(r#"{"user_id":"u1","event_name":"visit","channel":null}"#), Some(visited(7, ORGANIC)));
        let order = r#"{"user_id":"u1","event_name":"order_confirmed","order_id":"o1"}"#;
        assert_eq!(read(order), Some(ordered(7, "o1")));
        for other in [
            r#"{"user_id":"u1","event_name":"add_to_cart"}"#,
            r#"{"user_id":"u1","event_name":"order_confirmed"}"#,
            r#"{"user_id":"","event_name":"visit"}"#,
            "x",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
