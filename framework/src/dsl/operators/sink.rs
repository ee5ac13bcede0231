//! Sinks: typed records become bytes of a topic. The partition is Kafka's murmur2 of the key bytes; records without a
//! key keep the number of their source partition, so that their order is kept.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::partitioner::partition_for_key;
use crate::processor::graph::{Factory, Receive, Receiver};
use crate::processor::{ProcessorError, TaskContext};
use crate::record::{Partition, ProducerRecord, Record, TopicName, TopicPartition};
use crate::serde::{Serde, SerdeError};
use crate::topology::{NodeKind, TopicRef};

use crate::dsl::{KStream, Topic};

/// One of the topics a sink writes to.
#[derive(Clone)]
pub(crate) struct Target<K: 'static, V: 'static> {
    pub(crate) topic: TopicRef,
    pub(crate) key: &'static dyn Serde<K>,
    pub(crate) value: &'static dyn Serde<V>,
}

struct Open<K: 'static, V: 'static> {
    name: TopicName,
    partitions: i32,
    key: &'static dyn Serde<K>,
    value: &'static dyn Serde<V>,
}

struct Sink<K: 'static, V: 'static, C> {
    targets: Vec<Open<K, V>>,
    choose: C,
}

impl<K, V, C: Fn(&Record<K, V>) -> usize> Receive<K, V> for Sink<K, V, C> {
    fn receive(&mut self, record: Record<K, V>, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let target = self.targets.get((self.choose)(&record));
        let target = target.ok_or_else(|| ProcessorError::bad_record("computed_topic_not_declared"))?;
        let key = encode(target.key, &record.key, task);
        let key = key.map_err(|error| ProcessorError::serde("key", error))?;
        let value = encode(target.value, &record.value, task);
        let value = value.map_err(|error| ProcessorError::serde("value", error))?;
        let partition = match &key {
            Some(key) => partition_for_key(key, target.partitions),
            None => Partition(task.task.partition.0.rem_euclid(target.partitions.max(1))),
        };
        task.outputs.push(ProducerRecord {
            target: TopicPartition { topic: target.name.clone(), partition },
            timestamp: record.timestamp,
            key,
            value,
            headers: record.headers,
        });
        Ok(())
    }
}

/// Null, or bytes.
fn encode<T>(serde: &dyn Serde<T>, value: &T, task: &mut TaskContext) -> Result<Option<Bytes>, SerdeError> {
    if serde.is_null(value) {
        return Ok(None);
    }
    if let Some(shared) = serde.as_bytes(value) {
        return Ok(Some(shared));
    }
    task.buffer.clear();
    serde.encode(value, &mut task.buffer)?;
    Ok(Some(task.arena.copy(&task.buffer)))
}

impl<K: Clone + 'static, V: Clone + 'static> KStream<K, V> {
    /// Writes to a topic. The topic must exist.
    pub fn to(&self, topic: &Topic<K, V>) {
        self.add_sink(self.builder.next_name("KSTREAM-SINK-"), vec![target(topic)], |_| 0);
    }

    /// Writes each record to one of `topics`: `choose` answers with a place in that list. All of them must exist.
    /// A place outside the list makes the record a bad one.
    pub fn to_computed(
        &self,
        topics: &[&Topic<K, V>],
        choose: impl Fn(&Record<K, V>) -> usize + Clone + Send + Sync + 'static,
    ) {
        let name = self.builder.next_name("KSTREAM-SINK-");
        self.add_sink(name, topics.iter().map(|topic| target(topic)).collect(), choose);
    }

    pub(crate) fn add_sink(
        &self,
        name: Arc<str>,
        targets: Vec<Target<K, V>>,
        choose: impl Fn(&Record<K, V>) -> usize + Clone + Send + Sync + 'static,
    ) {
        let topics = targets.iter().map(|target| target.topic.clone()).collect();
        let factory = Factory::<K, V>(Box::new(move |instantiation, _| {
            let mut open = Vec::new();
            for target in &targets {
                let name = instantiation.topics.name(&target.topic)?;
                let partitions = instantiation.topics.partitions(&name)?;
                open.push(Open { name, partitions, key: target.key, value: target.value });
            }
            Ok(Rc::new(RefCell::new(Sink { targets: open, choose: choose.clone() })) as Receiver<K, V>)
        }));
        self.builder.add(name, NodeKind::Sink { topics }, &[self.node], Some(Box::new(factory)));
    }
}

fn target<K, V>(topic: &Topic<K, V>) -> Target<K, V> {
    Target { topic: TopicRef::External(topic.name().into()), key: topic.key_serde(), value: topic.value_serde() }
}
