//! Topics that this process has just created. Brokers hear of a new topic one after the other, and any of them may answer
//! the next request: for a moment "there is no such topic" means "not here yet".

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::broker::{BrokerError, TopicDescription};
use crate::record::TopicName;

/// How long a broker may take to hear of a new topic.
const HEARD_MAX: Duration = Duration::from_secs(10);
/// How long until it is asked again.
const PAUSE: Duration = Duration::from_millis(20);

type Described = BTreeMap<TopicName, TopicDescription>;

/// When each was created.
#[derive(Debug, Default)]
pub(super) struct NewTopics(Mutex<BTreeMap<TopicName, Instant>>);

impl NewTopics {
    /// This topic was created, or found, just now.
    pub(super) fn note(&self, topic: &TopicName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), Instant::now());
    }

    /// Asks until no new topic is missing from the answer, or brokers have had time enough.
    pub(super) fn settled(
        &self,
        asked: &[TopicName],
        mut ask: impl FnMut() -> Result<Described, BrokerError>,
    ) -> Result<Described, BrokerError> {
        loop {
            let found = ask()?;
            let Some(topic) = asked.iter().find(|topic| !found.contains_key(*topic) && self.is_new(topic)) else {
                return Ok(found);
            };
            tracing::debug!(%topic, "a broker has not heard of it yet; asking again");
            std::thread::sleep(PAUSE);
        }
    }

    fn is_new(&self, topic: &TopicName) -> bool {
        let mut created = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        created.retain(|_, at| at.elapsed() < HEARD_MAX);
        created.contains_key(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::TopicId;

    /// Answers of brokers that know the topic, or not yet.
    fn answers<const N: usize>(known: [bool; N]) -> impl FnMut() -> Result<Described, BrokerError> {
        let mut known = known.into_iter();
        move || {
            let topic =
                (TopicName::from("letters"), TopicDescription { id: TopicId([1; 16]), partitions: 1, replicas: 1 });
            Ok(known.next().unwrap().then_some(topic).into_iter().collect())
        }
    }

    #[test]
    fn a_new_topic_that_a_broker_has_not_heard_of_is_asked_for_again() {
        let (topics, asked) = (NewTopics::default(), ["letters".into(), "other".into()]);
        topics.note(&asked[0]);
        let found = topics.settled(&asked, answers([false, false, true])).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&asked[0]], "and nobody waits for what was not created here");
    }

    #[test]
    fn a_topic_that_is_not_new_is_missing_at_once() {
        let (topics, asked) = (NewTopics::default(), ["letters".into()]);
        assert!(topics.settled(&asked, answers([false])).unwrap().is_empty());
        // Created long ago, deleted since.
        let long_ago = Instant::now().checked_sub(HEARD_MAX).unwrap();
        topics.0.lock().unwrap().insert(asked[0].clone(), long_ago);
        assert!(topics.settled(&asked, answers([false])).unwrap().is_empty());
    }
}
