//! Requests of operators: groups, rights, settings, nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::admin::{Wait, uuid};
use super::{Failure, Handle, c_string, millis, slice, text};
use crate::broker::CommittedOffset;
use crate::broker::kafka::operate::{Cluster, Group, GroupMember, Node, Replicas, Right, Settings, TopicDetails};
use crate::record::{Offset, Partition, TopicName, TopicPartition};
use crate::time::Timestamp;

type Operation = sys::rd_kafka_admin_op_t;

/// Offset and time of a record that was asked for; `None` where the broker tells none.
type Place = (Option<Offset>, Option<Timestamp>);

/// Offsets by time.
pub(crate) struct OffsetsAt<'a> {
    pub(crate) list: &'a TopicPartitionList,
    pub(crate) time: Timestamp,
}

impl Handle {
    /// The cluster with our rights in it.
    pub(crate) fn describe_cluster(&self, wait: &mut Wait<'_>) -> Result<Cluster, Failure> {
        let sent = self.request(Operation::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, wait.timeout, |options, queue| {
            // SAFETY: client, options and queue are alive over the call; a returned error is taken over.
            unsafe {
                Failure::take(sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1))?;
                sys::rd_kafka_DescribeCluster(self.client, options, queue);
            }
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        // SAFETY: the event is alive and of this kind; all it lends is copied before it goes.
        unsafe {
            let result = sys::rd_kafka_event_DescribeCluster_result(event.event.as_ptr());
            let mut count = 0;
            let nodes = sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
            let nodes = slice(nodes, count).iter().map(|&node| Node {
                id: sys::rd_kafka_Node_id(node),
                address: format!("{}:{}", text(sys::rd_kafka_Node_host(node)), sys::rd_kafka_Node_port(node)),
            });
            let nodes = nodes.collect();
            let operations = sys::rd_kafka_DescribeCluster_result_authorized_operations(result, &raw mut count);
            let rights = rights(operations, count);
            Ok(Cluster { id: text(sys::rd_kafka_DescribeCluster_result_cluster_id(result)), nodes, rights })
        }
    }

    /// The names of all topics.
    pub(crate) fn topic_names(&self, timeout: Duration) -> Result<BTreeSet<TopicName>, Failure> {
        let mut metadata = ptr::null();
        // SAFETY: the client is alive; on success the metadata is ours, its topics are `topic_cnt` entries that live as
        // long, and it is destroyed once.
        unsafe {
            let code = sys::rd_kafka_metadata(self.client, 1, ptr::null_mut(), &raw mut metadata, millis(timeout));
            Failure::check(code)?;
            let count = usize::try_from((*metadata).topic_cnt).unwrap_or(0);
            let names = slice((*metadata).topics, count).iter().map(|topic| TopicName::from(text(topic.topic)));
            let names = names.collect();
            sys::rd_kafka_metadata_destroy(metadata);
            Ok(names)
        }
    }

    /// Topics that exist, with the copies of their partitions and our rights.
    pub(crate) fn inspect_topics(
        &self,
        names: &[&str],
        wait: &mut Wait<'_>,
    ) -> Result<BTreeMap<TopicName, TopicDetails>, Failure> {
        let (_names, mut pointers) = c_strings(names)?;
        let sent = self.request(Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, wait.timeout, |options, queue| {
            // SAFETY: the pointers and strings are alive over the call; the collection copies them and is destroyed once.
            unsafe {
                Failure::take(sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1))?;
                let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
                sys::rd_kafka_DescribeTopics(self.client, topics, options, queue);
                sys::rd_kafka_TopicCollection_destroy(topics);
            }
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        let mut found = BTreeMap::new();
        // SAFETY: the event is alive and of this kind; all it lends is copied before it goes.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(event.event.as_ptr());
            let mut count = 0;
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            for &topic in slice(topics, count) {
                let name = text(sys::rd_kafka_TopicDescription_name(topic));
                match Failure::of_result(sys::rd_kafka_TopicDescription_error(topic)) {
                    Ok(()) => {}
                    Err(Failure {
                        code: RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                        ..
                    }) => continue,
                    Err(failure) => {
                        let failure = failure.on_topic(&name);
                        return Err(Failure { reason: format!("topic {name}: {}", failure.reason), ..failure });
                    }
                }
                found.insert(TopicName::from(name), details(topic));
            }
        }
        Ok(found)
    }

    /// The effective settings of a topic.
    pub(crate) fn topic_settings(&self, topic: &str, wait: &mut Wait<'_>) -> Result<Settings, Failure> {
        self.settings(sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, topic, wait)
    }

    /// The effective settings of a node.
    pub(crate) fn node_settings(&self, node: &str, wait: &mut Wait<'_>) -> Result<Settings, Failure> {
        self.settings(sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER, node, wait)
    }

    fn settings(
        &self,
        kind: sys::rd_kafka_ResourceType_t,
        name: &str,
        wait: &mut Wait<'_>,
    ) -> Result<Settings, Failure> {
        let name = c_string(name)?;
        let sent = self.request(Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, wait.timeout, |options, queue| {
            // SAFETY: the name is alive over the calls and copied; the resource is copied by the request and destroyed once.
            unsafe {
                let mut resource = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
                sys::rd_kafka_DescribeConfigs(self.client, &raw mut resource, 1, options, queue);
                sys::rd_kafka_ConfigResource_destroy(resource);
            }
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        let mut settings = Settings::new();
        // SAFETY: the event is alive and of this kind; all it lends is copied before it goes.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConfigs_result(event.event.as_ptr());
            let mut count = 0;
            let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
            for &resource in slice(resources, count) {
                if let Err(failure) = Failure::check(sys::rd_kafka_ConfigResource_error(resource)) {
                    let said = text(sys::rd_kafka_ConfigResource_error_string(resource));
                    return Err(Failure { reason: said, ..failure });
                }
                let entries = sys::rd_kafka_ConfigResource_configs(resource, &raw mut count);
                for &entry in slice(entries, count) {
                    let name = text(sys::rd_kafka_ConfigEntry_name(entry));
                    settings.insert(name, text(sys::rd_kafka_ConfigEntry_value(entry)));
                }
            }
        }
        Ok(settings)
    }

    /// The names of all groups.
    pub(crate) fn groups(&self, wait: &mut Wait<'_>) -> Result<BTreeSet<String>, Failure> {
        let sent = self.request(Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, wait.timeout, |options, queue| {
            // SAFETY: client, options and queue are alive over the call.
            unsafe { sys::rd_kafka_ListConsumerGroups(self.client, options, queue) };
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        // SAFETY: the event is alive and of this kind; all it lends is copied before it goes.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroups_result(event.event.as_ptr());
            let mut count = 0;
            let errors = sys::rd_kafka_ListConsumerGroups_result_errors(result, &raw mut count);
            // A node that does not answer may have the group that is asked about.
            slice(errors, count).iter().try_for_each(|&error| Failure::of_result(error))?;
            let groups = sys::rd_kafka_ListConsumerGroups_result_valid(result, &raw mut count);
            let names = slice(groups, count).iter();
            Ok(names.map(|&group| text(sys::rd_kafka_ConsumerGroupListing_group_id(group))).collect())
        }
    }

    /// A group's members and our rights.
    pub(crate) fn describe_group(&self, group: &str, wait: &mut Wait<'_>) -> Result<Group, Failure> {
        let (_names, mut pointers) = c_strings(&[group])?;
        let sent =
            self.request(Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, wait.timeout, |options, queue| {
                // SAFETY: client, options, queue and the name are alive over the call, which copies the name.
                unsafe {
                    Failure::take(sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1))?;
                    sys::rd_kafka_DescribeConsumerGroups(
                        self.client,
                        pointers.as_mut_ptr(),
                        pointers.len(),
                        options,
                        queue,
                    );
                }
                Ok(())
            })?;
        let event = sent.answer(wait)?;
        let mut found = Group::default();
        // SAFETY: the event is alive and of this kind; all it lends is copied before it goes.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.event.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            for &group in slice(groups, count) {
                match Failure::of_result(sys::rd_kafka_ConsumerGroupDescription_error(group)) {
                    Err(failure) if failure.code != RDKafkaErrorCode::GroupIdNotFound => return Err(failure),
                    _ => {}
                }
                for index in 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group) {
                    let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
                    found.members.push(GroupMember {
                        client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
                        instance_id: text(sys::rd_kafka_MemberDescription_group_instance_id(member)),
                        host: text(sys::rd_kafka_MemberDescription_host(member)),
                    });
                }
                let operations = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &raw mut count);
                found.rights = rights(operations, count);
            }
        }
        Ok(found)
    }

    /// Everything that a group has committed; `stable`: with nothing of it about to change.
    pub(crate) fn group_offsets(
        &self,
        group: &str,
        stable: bool,
        wait: &mut Wait<'_>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Failure> {
        let group = c_string(group)?;
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        let sent = self.request(operation, wait.timeout, |options, queue| {
            // SAFETY: the name is alive over the calls and copied; no list means all partitions; the request object is
            // copied by the request and destroyed once.
            unsafe {
                Failure::take(sys::rd_kafka_AdminOptions_set_require_stable_offsets(options, c_int::from(stable)))?;
                let mut ask = sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), ptr::null());
                sys::rd_kafka_ListConsumerGroupOffsets(self.client, &raw mut ask, 1, options, queue);
                sys::rd_kafka_ListConsumerGroupOffsets_destroy(ask);
            }
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        let mut found = BTreeMap::new();
        // SAFETY: the event is alive and of this kind; its groups and lists live as long, and all is copied.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.event.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
            for element in elements(slice(groups, count))? {
                Failure::check(element.err)?;
                if element.offset >= 0 {
                    let metadata = slice(element.metadata.cast::<u8>(), element.metadata_size);
                    let metadata = String::from_utf8_lossy(metadata).into_owned();
                    let at = TopicPartition::new(text(element.topic), Partition(element.partition));
                    found.insert(at, CommittedOffset { next: Offset(element.offset), metadata });
                }
            }
        }
        Ok(found)
    }

    /// Commits offsets for a group without members.
    pub(crate) fn set_group_offsets(
        &self,
        group: &str,
        offsets: &TopicPartitionList,
        wait: &mut Wait<'_>,
    ) -> Result<(), Failure> {
        let group = c_string(group)?;
        let operation = Operation::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS;
        let sent = self.request(operation, wait.timeout, |options, queue| {
            // SAFETY: name and list are alive over the calls and copied; the request object is destroyed once.
            unsafe {
                let mut ask = sys::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), offsets.ptr());
                sys::rd_kafka_AlterConsumerGroupOffsets(self.client, &raw mut ask, 1, options, queue);
                sys::rd_kafka_AlterConsumerGroupOffsets_destroy(ask);
            }
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        // SAFETY: the event is alive and of this kind; its groups and lists live as long.
        unsafe {
            let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event.event.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
            elements(slice(groups, count))?.into_iter().try_for_each(|element| Failure::check(element.err))
        }
    }

    /// Forgets offsets of a group without members.
    pub(crate) fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &TopicPartitionList,
        wait: &mut Wait<'_>,
    ) -> Result<(), Failure> {
        let group = c_string(group)?;
        let operation = Operation::RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS;
        let sent = self.request(operation, wait.timeout, |options, queue| {
            // SAFETY: name and list are alive over the calls and copied; the request object is destroyed once.
            unsafe {
                let mut ask = sys::rd_kafka_DeleteConsumerGroupOffsets_new(group.as_ptr(), partitions.ptr());
                sys::rd_kafka_DeleteConsumerGroupOffsets(self.client, &raw mut ask, 1, options, queue);
                sys::rd_kafka_DeleteConsumerGroupOffsets_destroy(ask);
            }
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        // SAFETY: the event is alive and of this kind; its groups and lists live as long.
        unsafe {
            let result = sys::rd_kafka_event_DeleteConsumerGroupOffsets_result(event.event.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &raw mut count);
            for element in elements(slice(groups, count))? {
                match Failure::check(element.err) {
                    // Gone with its topic: what was wanted.
                    Err(failure) if failure.code != RDKafkaErrorCode::UnknownTopicOrPartition => return Err(failure),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The first offset at or after a time, for each partition; `None` where the broker tells none.
    pub(crate) fn offsets_at(
        &self,
        ask: &OffsetsAt<'_>,
        wait: &mut Wait<'_>,
    ) -> Result<BTreeMap<TopicPartition, Option<Offset>>, Failure> {
        let found = self.offsets_by(ask.list, ask.time.as_millis().max(0), wait)?;
        Ok(found.into_iter().map(|(at, (offset, _))| (at, offset)).collect())
    }

    /// The time of the youngest record of each partition; `None` where the broker tells none.
    pub(crate) fn newest_times(
        &self,
        list: &TopicPartitionList,
        wait: &mut Wait<'_>,
    ) -> Result<BTreeMap<TopicPartition, Option<Timestamp>>, Failure> {
        let found =
            self.offsets_by(list, sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_MAX_TIMESTAMP as i64, wait)?;
        Ok(found.into_iter().map(|(at, (_, time))| (at, time)).collect())
    }

    /// Asks for the offsets of a time, or of what one of librdkafka's numbers below zero means.
    fn offsets_by(
        &self,
        list: &TopicPartitionList,
        spec: i64,
        wait: &mut Wait<'_>,
    ) -> Result<BTreeMap<TopicPartition, Place>, Failure> {
        // SAFETY: the list is alive and not shared; its elements are `cnt` initialised entries. Times are set through the
        // pointer because the safe setter takes offsets only.
        unsafe {
            let raw = &mut *list.ptr();
            for element in slice_mut(raw.elems, usize::try_from(raw.cnt).unwrap_or(0)) {
                element.offset = spec;
            }
        }
        let sent = self.request(Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS, wait.timeout, |options, queue| {
            // SAFETY: client, options, list and queue are alive over the call, which copies what it needs.
            unsafe { sys::rd_kafka_ListOffsets(self.client, list.ptr(), options, queue) };
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        let mut found = BTreeMap::new();
        // SAFETY: the event is alive and of this kind; its entries live as long as it does and are copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListOffsets_result(event.event.as_ptr());
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            for &info in slice(infos, count) {
                let element = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
                Failure::check(element.err)?;
                let at = TopicPartition::new(text(element.topic), Partition(element.partition));
                let offset = Some(Offset(element.offset)).filter(|offset| offset.0 >= 0);
                let time = Timestamp::from_millis(sys::rd_kafka_ListOffsetsResultInfo_timestamp(info));
                found.insert(at, (offset, Some(time).filter(|time| time.is_some())));
            }
        }
        Ok(found)
    }

    /// Deletes topics.
    pub(crate) fn delete_topics(&self, names: &[&str], wait: &mut Wait<'_>) -> Result<(), Failure> {
        let (names, _) = c_strings(names)?;
        let sent = self.request(Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS, wait.timeout, |options, queue| {
            // SAFETY: the names are alive over the calls and copied; each object is destroyed once, after the request has
            // copied it.
            unsafe {
                let mut doomed: Vec<_> =
                    names.iter().map(|name| sys::rd_kafka_DeleteTopic_new(name.as_ptr())).collect();
                sys::rd_kafka_DeleteTopics(self.client, doomed.as_mut_ptr(), doomed.len(), options, queue);
                for topic in doomed {
                    sys::rd_kafka_DeleteTopic_destroy(topic);
                }
            }
            Ok(())
        })?;
        let event = sent.answer(wait)?;
        // SAFETY: the event is alive and of this kind; its strings are copied.
        unsafe {
            let result = sys::rd_kafka_event_DeleteTopics_result(event.event.as_ptr());
            let mut count = 0;
            let topics = sys::rd_kafka_DeleteTopics_result_topics(result, &raw mut count);
            for &topic in slice(topics, count) {
                match Failure::check(sys::rd_kafka_topic_result_error(topic)) {
                    Err(failure) if failure.code != RDKafkaErrorCode::UnknownTopicOrPartition => {
                        let name = text(sys::rd_kafka_topic_result_name(topic));
                        let failure = failure.on_topic(&name);
                        return Err(Failure { reason: format!("topic {name}: {}", failure.reason), ..failure });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Failure {
    /// # Safety
    /// `error` is null, which is success, or points to a live error object, which stays its owner's.
    unsafe fn of_result(error: *const sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: not null, and alive by the caller's promise.
        let failure = unsafe { Self::read(error) };
        if failure.code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(failure) }
    }
}

fn c_strings(texts: &[&str]) -> Result<(Vec<CString>, Vec<*const c_char>), Failure> {
    let strings = texts.iter().map(|text| c_string(text)).collect::<Result<Vec<_>, _>>()?;
    // The pointers stay right while the strings move as a whole: each has its bytes elsewhere.
    let pointers = strings.iter().map(|string| string.as_ptr()).collect();
    Ok((strings, pointers))
}

/// The partitions in the results of groups, or the first failure of a group as a whole.
///
/// # Safety
/// Each pointer is to a live result, whose list lives for `'a`.
unsafe fn elements<'a>(
    groups: &[*const sys::rd_kafka_group_result_t],
) -> Result<Vec<&'a sys::rd_kafka_topic_partition_t>, Failure> {
    let mut found = Vec::new();
    for &group in groups {
        // SAFETY: alive by the caller's promise; a list has `cnt` initialised elements.
        unsafe {
            Failure::of_result(sys::rd_kafka_group_result_error(group))?;
            let list = sys::rd_kafka_group_result_partitions(group);
            if !list.is_null() {
                found.extend(slice((*list).elems, usize::try_from((*list).cnt).unwrap_or(0)));
            }
        }
    }
    Ok(found)
}

/// # Safety
/// As [`slice`], and nobody else may look at the values for `'a`.
unsafe fn slice_mut<'a, T>(first: *mut T, count: usize) -> &'a mut [T] {
    if first.is_null() || count == 0 {
        return &mut [];
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(first, count) }
}

/// # Safety
/// `topic` points to a live description.
unsafe fn details(topic: *const sys::rd_kafka_TopicDescription_t) -> TopicDetails {
    let mut count = 0;
    // SAFETY: alive by the caller's promise; all it lends is copied.
    unsafe {
        let infos = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let partitions = slice(infos, count).iter().map(|&info| {
            let (mut all, mut in_sync) = (0, 0);
            sys::rd_kafka_TopicPartitionInfo_replicas(info, &raw mut all);
            sys::rd_kafka_TopicPartitionInfo_isr(info, &raw mut in_sync);
            Replicas { all, in_sync, led: !sys::rd_kafka_TopicPartitionInfo_leader(info).is_null() }
        });
        let partitions = partitions.collect();
        let operations = sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
        let rights = rights(operations, count);
        TopicDetails { id: uuid(sys::rd_kafka_TopicDescription_topic_id(topic)), partitions, rights }
    }
}

/// # Safety
/// As [`slice`].
unsafe fn rights(first: *const sys::rd_kafka_AclOperation_t, count: usize) -> BTreeSet<Right> {
    use sys::rd_kafka_AclOperation_t as acl;
    // SAFETY: by the caller's promise.
    let operations = unsafe { slice(first, count) };
    let right = |operation: &acl| match *operation {
        acl::RD_KAFKA_ACL_OPERATION_READ => Some(Right::Read),
        acl::RD_KAFKA_ACL_OPERATION_WRITE => Some(Right::Write),
        acl::RD_KAFKA_ACL_OPERATION_CREATE => Some(Right::Create),
        acl::RD_KAFKA_ACL_OPERATION_DELETE => Some(Right::Delete),
        acl::RD_KAFKA_ACL_OPERATION_ALTER => Some(Right::Alter),
        acl::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some(Right::Describe),
        acl::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(Right::DescribeConfigs),
        acl::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS => Some(Right::AlterConfigs),
        acl::RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE => Some(Right::IdempotentWrite),
        _ => None,
    };
    operations.iter().filter_map(right).collect()
}
