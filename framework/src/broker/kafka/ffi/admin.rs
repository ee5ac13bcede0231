//! Administrative requests: each is sent with a queue of its own and waits there for its answer.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::{Failure, Handle, Queue, c_string, millis, slice, text};
use crate::broker::{LogRange, NewTopic, TopicDescription, TopicId};
use crate::record::{Offset, Partition, TopicPartition};

/// How long one wait inside an administrative call lasts before the caller is asked whether to give up.
const SLICE: Duration = Duration::from_millis(50);

/// How long librdkafka keeps a request whose answer nobody waits for.
const NUDGE: Duration = Duration::from_secs(1);

/// How an administrative call waits.
pub(crate) struct Wait<'a> {
    /// After this long librdkafka itself answers with a time-out.
    pub(crate) timeout: Duration,
    /// Asked between slices; an answer ends the wait.
    pub(crate) stop: &'a mut dyn FnMut() -> Option<Failure>,
}

/// Which offsets to list.
pub(crate) struct OffsetRequest<'a> {
    pub(crate) partitions: &'a [TopicPartition],
    /// Ends rather than beginnings.
    pub(crate) end: bool,
    /// Ends of what is committed (the last stable offset) rather than of the log.
    pub(crate) committed: bool,
}

/// One topic's description.
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) description: TopicDescription,
    /// Every partition has a leader.
    pub(crate) ready: bool,
}

/// An offset of an answer. Where the leader did not tell one, while it changes, librdkafka leaves what was asked for there, -1
/// or -2, and no error: taken for the end of a changelog, that would look like a log that has lost its records.
fn told(at: &TopicPartition, offset: i64) -> Result<Offset, Failure> {
    if offset >= 0 {
        return Ok(Offset(offset));
    }
    let reason = format!("{at}: its leader told no offset");
    Err(Failure { reason, ..Failure::of(RDKafkaErrorCode::OffsetNotAvailable) })
}

/// Both sides of `list_offsets` as one range per partition.
pub(crate) fn ranges(
    starts: &BTreeMap<TopicPartition, Offset>,
    ends: &BTreeMap<TopicPartition, Offset>,
) -> BTreeMap<TopicPartition, LogRange> {
    starts.iter().filter_map(|(at, &start)| Some((at.clone(), LogRange { start, end: *ends.get(at)? }))).collect()
}

impl Handle {
    /// First offsets and ends of partitions, at the isolation asked for.
    pub(crate) fn list_offsets(
        &self,
        ask: &OffsetRequest<'_>,
        wait: &mut Wait<'_>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
        let event = self.ask_offsets(ask, wait.timeout)?.answer(wait)?;
        let mut found = BTreeMap::new();
        // SAFETY: the event is alive and of this kind; its entries live as long as it does and are copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListOffsets_result(event.event.as_ptr());
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            for &info in slice(infos, count) {
                let element = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
                let at = TopicPartition::new(text(element.topic), Partition(element.partition));
                if let Err(failure) = Failure::check(element.err) {
                    let failure = failure.on_topic(&at.topic);
                    return Err(Failure { reason: format!("{at}: {}", failure.reason), ..failure });
                }
                let offset = told(&at, element.offset)?;
                found.insert(at, offset);
            }
        }
        Ok(found)
    }

    /// Has the threads that fetch these partitions look at them again: a request to their brokers wakes them. The answer
    /// is not waited for.
    pub(crate) fn nudge(&self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        let ask = OffsetRequest { partitions, end: false, committed: false };
        self.ask_offsets(&ask, NUDGE).map(drop)
    }

    /// Sends the request; its answer comes on the queue.
    fn ask_offsets(&self, ask: &OffsetRequest<'_>, timeout: Duration) -> Result<Queue, Failure> {
        let mut list = TopicPartitionList::with_capacity(ask.partitions.len());
        for at in ask.partitions {
            list.add_partition(&at.topic, at.partition.0);
        }
        let spec = if ask.end {
            sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST
        } else {
            sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST
        };
        // SAFETY: the list is alive and not shared; its elements are `cnt` initialised entries. Offsets are set through
        // the pointer because the safe setter cannot name an offset specification.
        unsafe {
            let raw = &mut *list.ptr();
            let count = usize::try_from(raw.cnt).unwrap_or(0);
            if count > 0 {
                for element in std::slice::from_raw_parts_mut(raw.elems, count) {
                    element.offset = i64::from(spec as i32);
                }
            }
        }
        let isolation = if ask.committed {
            sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
        } else {
            sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
        };
        self.request(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout, |options, queue| {
            // SAFETY: client, options, list and queue are alive over the call, which copies what it needs.
            unsafe {
                Failure::take(sys::rd_kafka_AdminOptions_set_isolation_level(options, isolation))?;
                sys::rd_kafka_ListOffsets(self.client, list.ptr(), options, queue);
            }
            Ok(())
        })
    }

    /// Descriptions of the topics that exist, with how many of their partitions have a leader.
    pub(crate) fn describe_topics(&self, names: &[&str], wait: &mut Wait<'_>) -> Result<Vec<Described>, Failure> {
        let names = names.iter().map(|name| c_string(name)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let sent = self.request(
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            wait.timeout,
            |options, queue| {
                // SAFETY: the pointers and strings are alive over the call; the collection copies them and is destroyed once.
                unsafe {
                    let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
                    sys::rd_kafka_DescribeTopics(self.client, topics, options, queue);
                    sys::rd_kafka_TopicCollection_destroy(topics);
                }
                Ok(())
            },
        )?;
        let event = sent.answer(wait)?;
        let mut found = Vec::new();
        // SAFETY: the event is alive and of this kind; all it lends is copied before it goes.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeTopics_result(event.event.as_ptr());
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            for &topic in slice(topics, count) {
                let name = text(sys::rd_kafka_TopicDescription_name(topic));
                let error = sys::rd_kafka_TopicDescription_error(topic);
                if !error.is_null() {
                    let failure = Failure::read(error);
                    match failure.code {
                        RDKafkaErrorCode::NoError => {}
                        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => continue,
                        _ => {
                            let failure = failure.on_topic(&name);
                            return Err(Failure { reason: format!("topic {name}: {}", failure.reason), ..failure });
                        }
                    }
                }
                let mut partitions = 0;
                let infos = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
                let replicas = slice(infos, partitions).iter().map(|&info| {
                    let mut count = 0;
                    sys::rd_kafka_TopicPartitionInfo_replicas(info, &raw mut count);
                    count
                });
                let replicas = replicas.min().unwrap_or(0);
                let leaders = slice(infos, partitions)
                    .iter()
                    .filter(|&&info| !sys::rd_kafka_TopicPartitionInfo_leader(info).is_null())
                    .count();
                let id = uuid(sys::rd_kafka_TopicDescription_topic_id(topic));
                let description =
                    TopicDescription { id, partitions: i32::try_from(partitions).unwrap_or(i32::MAX), replicas };
                found.push(Described { name, description, ready: leaders == partitions });
            }
        }
        Ok(found)
    }

    /// Creates one topic, or only asks whether it could be.
    pub(crate) fn create_topic(&self, topic: &NewTopic, only_ask: bool, wait: &mut Wait<'_>) -> Result<(), Failure> {
        let name = c_string(&topic.name)?;
        let configs = topic
            .configs
            .iter()
            .map(|(key, value)| Ok((c_string(key)?, c_string(value)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let sent =
            self.request(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS, wait.timeout, |options, queue| {
                let mut reason = [0; 256];
                // SAFETY: the strings and the error buffer outlive the calls; the topic object copies the strings and is
                // destroyed once, after the request copied it.
                unsafe {
                    let mut new = sys::rd_kafka_NewTopic_new(
                        name.as_ptr(),
                        topic.partitions,
                        topic.replication_factor,
                        reason.as_mut_ptr(),
                        reason.len(),
                    );
                    if new.is_null() {
                        return Err(Failure {
                            reason: text(reason.as_ptr()),
                            ..Failure::of(RDKafkaErrorCode::InvalidArgument)
                        });
                    }
                    let mut set = Failure::check(sys::rd_kafka_AdminOptions_set_validate_only(
                        options,
                        i32::from(only_ask),
                        reason.as_mut_ptr(),
                        reason.len(),
                    ));
                    for (key, value) in &configs {
                        set = set.and(Failure::check(sys::rd_kafka_NewTopic_set_config(
                            new,
                            key.as_ptr(),
                            value.as_ptr(),
                        )));
                    }
                    if set.is_ok() {
                        sys::rd_kafka_CreateTopics(self.client, &raw mut new, 1, options, queue);
                    }
                    sys::rd_kafka_NewTopic_destroy(new);
                    set
                }
            })?;
        let event = sent.answer(wait)?;
        // SAFETY: the event is alive and of this kind; its strings are copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_CreateTopics_result(event.event.as_ptr());
            let topics = sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
            for &topic in slice(topics, count) {
                if let Err(failure) = Failure::check(sys::rd_kafka_topic_result_error(topic)) {
                    let said = text(sys::rd_kafka_topic_result_error_string(topic));
                    let failure = failure.on_topic(&text(sys::rd_kafka_topic_result_name(topic)));
                    return Err(if said.is_empty() { failure } else { Failure { reason: said, ..failure } });
                }
            }
        }
        Ok(())
    }

    /// Deletes the records before each offset.
    pub(crate) fn delete_records(&self, before: &TopicPartitionList, wait: &mut Wait<'_>) -> Result<(), Failure> {
        let sent =
            self.request(sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETERECORDS, wait.timeout, |options, queue| {
                // SAFETY: the list is alive over the call and copied; the request object is destroyed once.
                unsafe {
                    let mut request = sys::rd_kafka_DeleteRecords_new(before.ptr());
                    sys::rd_kafka_DeleteRecords(self.client, &raw mut request, 1, options, queue);
                    sys::rd_kafka_DeleteRecords_destroy(request);
                }
                Ok(())
            })?;
        let event = sent.answer(wait)?;
        // SAFETY: the event is alive and of this kind; its list of `cnt` elements lives as long.
        unsafe {
            let result = sys::rd_kafka_event_DeleteRecords_result(event.event.as_ptr());
            let list = &*sys::rd_kafka_DeleteRecords_result_offsets(result);
            let count = usize::try_from(list.cnt).unwrap_or(0);
            for element in slice(list.elems, count) {
                Failure::check(element.err).map_err(|failure| failure.on_topic(&text(element.topic)))?;
            }
        }
        Ok(())
    }

    /// Sends an administrative request; its answer comes on a queue of its own.
    pub(super) fn request(
        &self,
        operation: sys::rd_kafka_admin_op_t,
        timeout: Duration,
        send: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t) -> Result<(), Failure>,
    ) -> Result<Queue, Failure> {
        let queue = self.new_queue()?;
        // SAFETY: the client is alive; the options are used by `send` only and destroyed once.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(self.client, operation);
            let set = sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(timeout), ptr::null_mut(), 0);
            let accepted = Failure::check(set).and_then(|()| send(options, queue.raw.as_ptr()));
            sys::rd_kafka_AdminOptions_destroy(options);
            accepted?;
        }
        Ok(queue)
    }
}

impl Queue {
    /// Waits for the answer to the one request that was sent with this queue.
    pub(super) fn answer(&self, wait: &mut Wait<'_>) -> Result<Event, Failure> {
        loop {
            // SAFETY: the queue is alive; a returned event is ours.
            let event = unsafe { sys::rd_kafka_queue_poll(self.raw.as_ptr(), millis(SLICE)) };
            if let Some(event) = NonNull::new(event) {
                let event = Event { event };
                // SAFETY: the event is alive; its error string is copied.
                unsafe {
                    if let Err(failure) = Failure::check(sys::rd_kafka_event_error(event.event.as_ptr())) {
                        let reason = text(sys::rd_kafka_event_error_string(event.event.as_ptr()));
                        return Err(Failure { reason, ..failure });
                    }
                }
                return Ok(event);
            }
            if let Some(failure) = (wait.stop)() {
                return Err(failure);
            }
        }
    }
}

/// # Safety
/// `id` is null or points to a live id.
pub(super) unsafe fn uuid(id: *const sys::rd_kafka_Uuid_t) -> TopicId {
    if id.is_null() {
        return TopicId::default();
    }
    // SAFETY: not null, alive by the caller's promise.
    let (high, low) =
        unsafe { (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id)) };
    TopicId(((u128::from(high.cast_unsigned()) << 64) | u128::from(low.cast_unsigned())).to_be_bytes())
}

/// An event of ours.
pub(super) struct Event {
    pub(super) event: NonNull<sys::rd_kafka_event_t>,
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.event.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::BrokerErrorKind;
    use crate::broker::kafka::error::of_client;

    #[test]
    fn an_offset_that_was_not_told_is_asked_for_again() {
        let at = TopicPartition::new("log", Partition(3));
        assert_eq!(told(&at, 0).ok(), Some(Offset(0)));
        for unanswered in [-1, -2] {
            let error = told(&at, unanswered).map_err(|failure| of_client("list_offsets", &failure)).unwrap_err();
            assert_eq!(error.kind, BrokerErrorKind::Retriable, "{error}");
            assert!(error.to_string().contains("log-3"), "{error}");
        }
    }
}
