use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use crate::lag::{Group, open_partitions};
use crate::{Error, Outgoing, Received, try_wait_for};

const REQUEST: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_mins(1);

/// A plain client for setting up topics, feeding them and reading them to the end.
///
/// Every call makes its own connection: nothing is cached that could hide a broker's state.
#[derive(Debug, Clone)]
pub struct Client {
    config: ClientConfig,
    replicas: i32,
}

impl Client {
    /// A client of these brokers, without encryption.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self { config: ClientConfig::new(), replicas: 1 }.property("bootstrap.servers", bootstrap_servers)
    }

    /// The same with one more librdkafka property, such as `security.protocol`.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.config.set(name, value);
        self
    }

    /// The same, whose topics have so many copies.
    #[must_use]
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.replicas = replicas;
        self
    }

    /// How many brokers the cluster names.
    ///
    /// # Errors
    /// [`Error::Kafka`] when no broker answers within a second.
    pub fn broker_count(&self) -> Result<usize, Error> {
        let metadata = self.consumer(&[])?.fetch_metadata(None, Duration::from_secs(1));
        Ok(metadata.map_err(Error::kafka("fetch metadata"))?.brokers().len())
    }

    /// The number of partitions of a topic; 0 when there is no such topic.
    ///
    /// # Errors
    /// [`Error::Kafka`] when no broker answers.
    pub fn partition_count(&self, topic: &str) -> Result<i32, Error> {
        partition_count(&self.consumer(&[])?, topic)
    }

    /// The names of all topics but Kafka's own, in order.
    ///
    /// # Errors
    /// [`Error::Kafka`] when no broker answers.
    pub fn topics(&self) -> Result<BTreeSet<String>, Error> {
        let metadata = self.consumer(&[])?.fetch_metadata(None, REQUEST).map_err(Error::kafka("fetch metadata"))?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        Ok(names.filter(|name| !name.starts_with("__")).collect())
    }

    /// Creates topics of `partitions` partitions each, with topic properties; one that exists already is left alone.
    /// Returns when every partition has a leader.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the broker refuses, [`Error::Late`] when a leader is missing after 10 seconds.
    pub fn create_topics(&self, names: &[&str], partitions: i32, properties: &[(&str, &str)]) -> Result<(), Error> {
        let new = names.iter().map(|name| {
            let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.replicas));
            properties.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
        });
        let new: Vec<_> = new.collect();
        let results = pollster::block_on(self.admin()?.create_topics(&new, &AdminOptions::new()));
        for result in results.map_err(Error::kafka("create topics"))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(Error::kafka(format!("create topic {name}"))(KafkaError::AdminOp(code)));
                }
            }
        }
        let consumer = self.consumer(&[])?;
        for name in names {
            try_wait_for(REQUEST, format!("topic {name} has leaders"), || {
                Ok((partition_count(&consumer, name)? > 0).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Deletes topics; one that does not exist is left out.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the broker refuses.
    pub fn delete_topics(&self, names: &[&str]) -> Result<(), Error> {
        let results = pollster::block_on(self.admin()?.delete_topics(names, &AdminOptions::new()));
        for result in results.map_err(Error::kafka("delete topics"))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => {
                    return Err(Error::kafka(format!("delete topic {name}"))(KafkaError::AdminOp(code)));
                }
            }
        }
        Ok(())
    }

    /// Adds partitions to a topic, so that it has so many.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the broker refuses, [`Error::Late`] when a leader is missing after 10 seconds.
    pub fn grow_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        let failed = || Error::kafka(format!("grow {topic}"));
        let new = NewPartitions::new(topic, usize::try_from(partitions).unwrap_or(0));
        let results = pollster::block_on(self.admin()?.create_partitions(&[new], &AdminOptions::new()));
        for result in results.map_err(failed())? {
            result.map_err(|(_, code)| failed()(KafkaError::AdminOp(code)))?;
        }
        let consumer = self.consumer(&[])?;
        try_wait_for(REQUEST, format!("topic {topic} has {partitions} leaders"), || {
            Ok((partition_count(&consumer, topic)? == partitions).then_some(()))
        })
    }

    /// Writes records in their order, idempotently, and returns when the broker has acknowledged all of them.
    ///
    /// # Errors
    /// [`Error::Kafka`] when a record is refused or not acknowledged within 60 seconds.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Outgoing>) -> Result<(), Error> {
        self.writer()?.write(topic, records)
    }

    /// A producer that stays, for whoever writes again and again: a new one costs about half a second.
    ///
    /// # Errors
    /// [`Error::Kafka`] when a property is unknown.
    pub fn writer(&self) -> Result<Writer, Error> {
        Ok(Writer { producer: self.producer(&[])? })
    }

    /// Writes records in one transaction and commits it, or aborts it when `commit` is false.
    ///
    /// # Errors
    /// As [`Client::produce`].
    pub fn transact(
        &self,
        transactional_id: &str,
        topic: &str,
        records: impl IntoIterator<Item = Outgoing>,
        commit: bool,
    ) -> Result<(), Error> {
        let producer = self.producer(&[("transactional.id", transactional_id)])?;
        producer.init_transactions(REQUEST).map_err(Error::kafka("init transactions"))?;
        producer.begin_transaction().map_err(Error::kafka("begin transaction"))?;
        send(&producer, topic, records)?;
        producer.flush(DRAIN).map_err(Error::kafka(format!("flush {topic}")))?;
        if commit {
            producer.commit_transaction(DRAIN).map_err(Error::kafka("commit transaction"))
        } else {
            producer.abort_transaction(DRAIN).map_err(Error::kafka("abort transaction"))
        }
    }

    /// Deletes a consumer group with its offsets.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the broker refuses, as for a group that has members.
    pub fn delete_group(&self, group: &str) -> Result<(), Error> {
        let results = pollster::block_on(self.admin()?.delete_groups(&[group], &AdminOptions::new()));
        for result in results.map_err(Error::kafka("delete groups"))? {
            result.map_err(|(name, code)| Error::kafka(format!("delete group {name}"))(KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    /// Deletes the records before an offset of each partition, chosen from where it begins and ends.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the broker refuses.
    pub fn delete_records(&self, topic: &str, before: impl Fn(i64, i64) -> i64) -> Result<(), Error> {
        let failed = || Error::kafka(format!("delete the records of {topic}"));
        let (consumer, mut list) = (self.consumer(&[])?, TopicPartitionList::new());
        for partition in 0..self.partition_count(topic)? {
            let (start, end) = consumer.fetch_watermarks(topic, partition, REQUEST).map_err(failed())?;
            let added = list.add_partition_offset(topic, partition, Offset::Offset(before(start, end)));
            added.map_err(failed())?;
        }
        let deleted = pollster::block_on(self.admin()?.delete_records(&list, &AdminOptions::new())).map_err(failed())?;
        deleted.elements().iter().try_for_each(TopicPartitionListElem::error).map_err(failed())
    }

    /// Sets a property of a topic; all others become the broker's defaults. It may take a moment until it holds.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the broker refuses.
    pub fn set_topic_property(&self, topic: &str, name: &str, value: &str) -> Result<(), Error> {
        let failed = || Error::kafka(format!("set {name} of {topic}"));
        let config = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let results = pollster::block_on(self.admin()?.alter_configs([&config], &AdminOptions::new()));
        for result in results.map_err(failed())? {
            result.map_err(|(_, code)| failed()(KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    /// Takes a transactional id from whoever has it: an open transaction of that producer is aborted, and it is fenced.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the broker refuses.
    pub fn fence(&self, transactional_id: &str) -> Result<(), Error> {
        let producer = self.producer(&[("transactional.id", transactional_id)])?;
        producer.init_transactions(REQUEST).map_err(Error::kafka("init transactions"))
    }

    /// The ids of a group's members; none while it is not at rest.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the brokers do not answer.
    pub fn stable_members(&self, group: &str) -> Result<Vec<String>, Error> {
        let groups = self.consumer(&[])?.fetch_group_list(Some(group), REQUEST);
        let groups = groups.map_err(Error::kafka(format!("describe group {group}")))?;
        let stable = groups.groups().iter().filter(|group| group.state() == "Stable");
        Ok(stable.flat_map(rdkafka::groups::GroupInfo::members).map(|member| member.id().to_owned()).collect())
    }

    /// Everything committed in a topic, by partition and offset; an open transaction hides what follows it.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the topic does not exist, [`Error::Late`] when the end is not reached in 60 seconds.
    pub fn read_committed(&self, topic: &str) -> Result<Vec<Received>, Error> {
        self.read(topic, "read_committed")
    }

    /// Everything in a topic, also what was aborted or is still open.
    ///
    /// # Errors
    /// As [`Client::read_committed`].
    pub fn read_uncommitted(&self, topic: &str) -> Result<Vec<Received>, Error> {
        self.read(topic, "read_uncommitted")
    }

    /// The partitions with an open transaction, Kafka's own topics included: what is committed ends before their log does.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the brokers do not answer.
    pub fn open_partitions(&self) -> Result<Vec<String>, Error> {
        let with = |isolation| self.consumer(&[("isolation.level", isolation)]);
        open_partitions(&with("read_committed")?, &with("read_uncommitted")?)
    }

    /// A view of a consumer group's offsets.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the client's properties are invalid.
    pub fn group(&self, group: &str) -> Result<Group, Error> {
        Ok(Group::new(self.consumer(&[("group.id", group), ("isolation.level", "read_uncommitted")])?))
    }

    fn read(&self, topic: &str, isolation: &str) -> Result<Vec<Received>, Error> {
        let consumer = self.consumer(&[("isolation.level", isolation), ("enable.partition.eof", "true")])?;
        let partitions = partition_count(&consumer, topic)?;
        if partitions == 0 {
            let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic);
            return Err(Error::kafka(format!("read {topic}"))(unknown));
        }
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
            added.map_err(Error::kafka("assign"))?;
        }
        consumer.assign(&assignment).map_err(Error::kafka("assign"))?;
        let mut open: BTreeSet<i32> = (0..partitions).collect();
        let mut records = Vec::new();
        try_wait_for(DRAIN, format!("{topic} is read to its end"), || {
            while !open.is_empty() {
                match consumer.poll(Duration::from_millis(100)) {
                    Some(Ok(message)) => records.push(Received::of(&message)),
                    Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                    Some(Err(error)) => return Err(Error::kafka(format!("read {topic}"))(error)),
                    None => return Ok(None),
                }
            }
            Ok(Some(()))
        })?;
        records.sort_by_key(|record: &Received| (record.partition, record.offset));
        Ok(records)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Error> {
        self.config.create().map_err(Error::kafka("make an admin client"))
    }

    fn consumer(&self, properties: &[(&str, &str)]) -> Result<BaseConsumer, Error> {
        let mut config = self.config.clone();
        // librdkafka wants a group's name even from a consumer that joins none.
        config.set("group.id", "millpond-harness").set("enable.auto.commit", "false");
        config.set("allow.auto.create.topics", "false");
        // The end of a partition is told when the broker gives up waiting for more.
        config.set("fetch.wait.max.ms", "10");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().map_err(Error::kafka("make a consumer"))
    }

    fn producer(&self, properties: &[(&str, &str)]) -> Result<BaseProducer, Error> {
        let mut config = self.config.clone();
        config.set("enable.idempotence", "true").set("partitioner", "murmur2_random").set("linger.ms", "5");
        config.set("message.max.bytes", "10000000");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().map_err(Error::kafka("make a producer"))
    }
}

/// An idempotent producer, from [`Client::writer`].
#[allow(missing_debug_implementations, reason = "a handle of librdkafka has nothing to show")]
pub struct Writer {
    producer: BaseProducer,
}

impl Writer {
    /// As [`Client::produce`].
    ///
    /// # Errors
    /// As [`Client::produce`].
    pub fn write(&self, topic: &str, records: impl IntoIterator<Item = Outgoing>) -> Result<(), Error> {
        self.write_within(topic, records, DRAIN)
    }

    /// The same with another time that the brokers have, for who kills them.
    ///
    /// # Errors
    /// As [`Client::produce`].
    pub fn write_within(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Outgoing>,
        limit: Duration,
    ) -> Result<(), Error> {
        send(&self.producer, topic, records)?;
        self.producer.flush(limit).map_err(Error::kafka(format!("flush {topic}")))
    }
}

pub(crate) fn partition_count(consumer: &BaseConsumer, topic: &str) -> Result<i32, Error> {
    // All topics are asked for: a request for one by name would be answered from a cache of "unknown".
    let metadata = consumer.fetch_metadata(None, REQUEST).map_err(Error::kafka("fetch metadata"))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let led = found.map_or(0, |topic| topic.partitions().iter().filter(|partition| partition.leader() >= 0).count());
    let all = found.map_or(0, |topic| topic.partitions().len());
    Ok(if led == all { i32::try_from(all).unwrap_or(i32::MAX) } else { 0 })
}

fn send(producer: &BaseProducer, topic: &str, records: impl IntoIterator<Item = Outgoing>) -> Result<(), Error> {
    for record in records {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() }));
        let mut next: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        (next.partition, next.timestamp) = (record.partition, record.timestamp_ms);
        (next.key, next.payload) = (record.key.as_deref(), record.value.as_deref());
        if !record.headers.is_empty() {
            next = next.headers(headers);
        }
        while let Err((error, refused)) = producer.send(next) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(Error::kafka(format!("produce to {topic}"))(error));
            }
            producer.poll(Duration::from_millis(10));
            next = refused;
        }
    }
    Ok(())
}

impl Received {
    /// A copy of a message.
    pub fn of(message: &impl Message) -> Self {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            headers: headers.unwrap_or_default(),
        }
    }
}
