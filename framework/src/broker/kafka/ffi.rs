//! The only unsafe code of the crate: the calls of librdkafka that the `rdkafka` crate does not offer, or offers at a
//! price (its `commit_transaction` costs 101 ms, the raw call 4 ms; its `poll` costs 880 ns per record, a batch 350).
//!
//! Every handle keeps its client alive through [`Handle`], so none can dangle; every pointer that librdkafka lends stays
//! inside the borrow of the object that owns it. Nothing here decides anything: failures go out as [`Failure`].
#![allow(unsafe_code, reason = "the one file that talks to librdkafka's C interface")]

mod admin;
mod operate;

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka_sys as sys;
use rdkafka_sys::types::RDKafkaRespErr;

pub(super) use self::admin::{OffsetRequest, Wait, ranges};
pub(super) use self::operate::OffsetsAt;
use super::acl::Resource;
use super::wakeup::Wakeup;
use crate::broker::Membership;
use crate::record::{Headers, Offset, Partition, TopicPartition};

/// What librdkafka said.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    pub(super) fatal: bool,
    pub(super) retriable: bool,
    pub(super) abortable: bool,
    /// What was asked for, where it is known.
    pub(super) on: Option<Resource>,
}

impl Failure {
    pub(super) fn of(code: RDKafkaErrorCode) -> Self {
        Self { code, reason: code.to_string(), fatal: false, retriable: false, abortable: false, on: None }
    }

    /// The same, of something that was asked for.
    pub(super) fn on(self, resource: Resource) -> Self {
        Self { on: Some(resource), ..self }
    }

    pub(super) fn on_topic(self, name: &str) -> Self {
        self.on(Resource::Topic(name.to_owned()))
    }

    fn check(code: RDKafkaRespErr) -> Result<(), Self> {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(Self::of(code.into())) }
    }

    /// Takes over `error`; null is success.
    fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: `error` is not null and was handed over by the call that returned it; it is read, then destroyed once.
        unsafe {
            let failure = Self::read(error);
            sys::rd_kafka_error_destroy(error);
            Err(failure)
        }
    }

    /// # Safety
    /// `error` points to a live error object.
    unsafe fn read(error: *const sys::rd_kafka_error_t) -> Self {
        // SAFETY: the caller guarantees a live object; its string lives as long and is copied.
        unsafe {
            Self {
                code: sys::rd_kafka_error_code(error).into(),
                reason: text(sys::rd_kafka_error_string(error)),
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
                on: None,
            }
        }
    }
}

/// # Safety
/// `string` is null or a C string that outlives the call.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a C string by the caller's promise.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure {
        reason: "a name contains a zero byte".into(),
        ..Failure::of(RDKafkaErrorCode::InvalidArgument)
    })
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// A client that stays alive as long as this does.
#[derive(Clone)]
pub(super) struct Handle {
    client: *mut sys::rd_kafka_t,
    _owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's client is thread safe by its documentation, and the owner is Send and Sync itself.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(super) fn of_consumer<C: ConsumerContext + 'static>(consumer: &Arc<BaseConsumer<C>>) -> Self {
        Self { client: Client::native_ptr(consumer.client()), _owner: Arc::clone(consumer) as _ }
    }

    pub(super) fn of_producer<C: ProducerContext + 'static>(producer: &Arc<BaseProducer<C>>) -> Self {
        Self { client: Client::native_ptr(producer.client()), _owner: Arc::clone(producer) as _ }
    }

    /// The queue on which rebalances, errors, statistics and log lines of a consumer arrive.
    pub(super) fn event_queue(&self, wakeup: &Arc<Wakeup>) -> Option<Queue> {
        // SAFETY: the client is alive; a consumer without a group has no consumer queue and answers null.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_consumer(self.client);
            if queue.is_null() { sys::rd_kafka_queue_get_main(self.client) } else { queue }
        };
        Queue::adopt(self, queue).map(|queue| queue.waking(wakeup))
    }

    /// The queue of one partition, split from the consumer's, before or after the partition is assigned.
    pub(super) fn partition_queue(&self, at: &TopicPartition, wakeup: &Arc<Wakeup>) -> Result<Queue, Failure> {
        let topic = c_string(&at.topic)?;
        // SAFETY: the client is alive, the name outlives the call; forwarding to null splits the queue off.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_partition(self.client, topic.as_ptr(), at.partition.0);
            if !queue.is_null() {
                sys::rd_kafka_queue_forward(queue, ptr::null_mut());
            }
            queue
        };
        let queue = Queue::adopt(self, queue).ok_or_else(|| Failure::of(RDKafkaErrorCode::UnknownPartition))?;
        Ok(queue.waking(wakeup))
    }

    /// A queue of our own.
    pub(super) fn new_queue(&self) -> Result<Queue, Failure> {
        // SAFETY: the client is alive.
        let queue = unsafe { sys::rd_kafka_queue_new(self.client) };
        Queue::adopt(self, queue).ok_or_else(|| Failure::of(RDKafkaErrorCode::CriticalSystemResource))
    }

    pub(super) fn topic(&self, name: &str) -> Result<Topic, Failure> {
        let name = c_string(name)?;
        // SAFETY: the client is alive and the name outlives the call; a null configuration means the defaults.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client, name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic).ok_or_else(|| Failure::of(RDKafkaErrorCode::InvalidTopic))?;
        Ok(Topic { topic, client: self.clone() })
    }

    /// The offset after the last one that the application was handed, markers included; `None` before the first.
    pub(super) fn application_position(&self, at: &TopicPartition) -> Option<i64> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&at.topic, at.partition.0);
        // SAFETY: the client and the list are alive; the call fills in the list's offsets.
        Failure::check(unsafe { sys::rd_kafka_position(self.client, list.ptr()) }).ok()?;
        list.elements().first().and_then(|element| element.offset().to_raw()).filter(|&offset| offset >= 0)
    }

    /// The high watermark of the last fetch response; asks nobody.
    pub(super) fn known_end(&self, at: &TopicPartition) -> Option<i64> {
        let topic = CString::new(&*at.topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client and the name are alive, and both numbers outlive the call that fills them in.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.client,
                topic.as_ptr(),
                at.partition.0,
                &raw mut low,
                &raw mut high,
            )
        };
        Failure::check(code).ok().map(|()| high).filter(|&high| high >= 0)
    }

    /// Who this consumer is in its group; generation -1 and an empty id when it is nobody.
    pub(super) fn membership(&self) -> Membership {
        // SAFETY: the client is alive; the returned object is ours, is read and destroyed once.
        unsafe {
            let metadata = sys::rd_kafka_consumer_group_metadata(self.client);
            if metadata.is_null() {
                return Membership { generation: -1, member_id: String::new() };
            }
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
            let member_id = text(sys::rd_kafka_consumer_group_metadata_member_id(metadata));
            sys::rd_kafka_consumer_group_metadata_destroy(metadata);
            Membership { generation, member_id }
        }
    }

    /// Sends what waits for more to go with it, and waits for all reports: true when they came in time. Somebody else must
    /// serve them.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        // SAFETY: the client is alive.
        unsafe {
            sys::rd_kafka_flush(self.client, millis(timeout)) == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        }
    }

    /// `EndTxn(commit)` after everything outstanding is delivered. Somebody else must serve the delivery reports.
    pub(super) fn commit_transaction(&self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: the client is alive; a returned error is taken over.
        Failure::take(unsafe { sys::rd_kafka_commit_transaction(self.client, millis(timeout)) })
    }

    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &Group<'_>,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let id = c_string(group.id)?;
        let member = c_string(&group.membership.member_id)?;
        let instance = c_string(group.instance_id)?;
        // SAFETY: client, list and strings are alive over the calls; the metadata object copies the strings, is used
        // once and destroyed once; a returned error is taken over.
        unsafe {
            let metadata = sys::rd_kafka_consumer_group_metadata_new_with_genid(
                id.as_ptr(),
                group.membership.generation,
                member.as_ptr(),
                instance.as_ptr(),
            );
            let result =
                sys::rd_kafka_send_offsets_to_transaction(self.client, offsets.ptr(), metadata, millis(timeout));
            sys::rd_kafka_consumer_group_metadata_destroy(metadata);
            Failure::take(result)
        }
    }
}

/// The group and member for which offsets are committed.
pub(super) struct Group<'a> {
    pub(super) id: &'a str,
    pub(super) instance_id: &'a str,
    pub(super) membership: &'a Membership,
}

/// # Safety
/// `first` points to `count` initialised values that outlive `'a`; it may be null or dangling when `count` is 0.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// A queue of messages or events.
pub(super) struct Queue {
    raw: NonNull<sys::rd_kafka_queue_t>,
    /// Kept until the callback that points to it is gone.
    wakeup: Option<Arc<Wakeup>>,
    client: Handle,
}

// SAFETY: librdkafka's queues are thread safe by its documentation.
unsafe impl Send for Queue {}

/// Runs on a thread of librdkafka with the queue's lock held: it must not call librdkafka, and does not.
unsafe extern "C" fn on_not_empty(_: *mut sys::rd_kafka_t, wakeup: *mut c_void) {
    // SAFETY: the pointer was made from the `Arc<Wakeup>` that the queue holds until this callback is taken off.
    let wakeup = unsafe { &*wakeup.cast::<Wakeup>() };
    wakeup.notify();
}

impl Queue {
    fn adopt(client: &Handle, queue: *mut sys::rd_kafka_queue_t) -> Option<Self> {
        Some(Self { raw: NonNull::new(queue)?, wakeup: None, client: client.clone() })
    }

    /// The same queue, notifying `wakeup` whenever it stops being empty.
    pub(super) fn waking(mut self, wakeup: &Arc<Wakeup>) -> Self {
        let kept = Arc::clone(wakeup);
        let opaque = Arc::as_ptr(&kept).cast_mut().cast::<c_void>();
        // SAFETY: the queue is alive; `kept` stays in `self` until `drop` has taken the callback off under the queue's
        // lock, so the callback never sees a freed pointer.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), Some(on_not_empty), opaque) }
        self.wakeup = Some(kept);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.raw.as_ptr()) == 0 }
    }

    /// Takes up to `buffer.capacity()` messages without waiting. Never for a queue that carries rebalances: those would
    /// be answered behind our back.
    pub(super) fn take<'b>(&self, buffer: &'b mut BatchBuffer, messages_max: usize) -> Batch<'b> {
        buffer.clear();
        let room = messages_max.min(BATCH_MAX);
        buffer.0.reserve(room);
        // SAFETY: the buffer has room for `room` pointers; the call initialises as many as it returns.
        unsafe {
            let count = sys::rd_kafka_consume_batch_queue(self.raw.as_ptr(), 0, buffer.0.as_mut_ptr(), room);
            buffer.0.set_len(usize::try_from(count).unwrap_or(0).min(room));
        }
        Batch { buffer }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive and destroyed once, and its client outlives it (`self.client` goes last). The
        // callback is taken off first: after that call nobody holds the pointer to `wakeup`.
        unsafe {
            if self.wakeup.is_some() {
                sys::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, ptr::null_mut());
            }
            sys::rd_kafka_queue_destroy(self.raw.as_ptr());
        }
        debug_assert!(!self.client.client.is_null(), "a queue never outlives its client");
    }
}

/// The most messages taken in one call.
pub(super) const BATCH_MAX: usize = 4096;

/// Room for the pointers of one batch, reused from call to call.
#[derive(Default)]
pub(super) struct BatchBuffer(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: between batches the buffer is empty: it holds room, no messages.
unsafe impl Send for BatchBuffer {}

impl BatchBuffer {
    fn clear(&mut self) {
        for message in self.0.drain(..) {
            // SAFETY: the pointers in the buffer are messages of ours, each destroyed once because it leaves the buffer.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }
}

/// Messages of one take; given back to librdkafka when this goes.
pub(super) struct Batch<'b> {
    buffer: &'b mut BatchBuffer,
}

impl Batch<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: the pointers are live messages until `drop`, which the borrow of `self` outlasts not.
        self.buffer.0.iter().map(|&message| Message { message: unsafe { &*message }, batch: PhantomData })
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.0.len()
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.buffer.clear();
    }
}

/// A message, or a failure of its partition, inside a batch.
pub(super) struct Message<'a> {
    message: &'a sys::rd_kafka_message_t,
    batch: PhantomData<&'a Batch<'a>>,
}

impl<'a> Message<'a> {
    pub(super) fn offset(&self) -> i64 {
        self.message.offset
    }

    /// The failure instead of a record; `PartitionEOF` is one.
    pub(super) fn failure(&self) -> Option<Failure> {
        let failure = Failure::check(self.message.err).err()?;
        // SAFETY: the message is alive and the string is copied.
        let said = unsafe { text(sys::rd_kafka_message_errstr(self.message)) };
        Some(Failure { reason: said, ..failure })
    }

    pub(super) fn is_failure(&self) -> bool {
        self.message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Milliseconds; -1 without one.
    pub(super) fn timestamp(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) }
    }

    pub(super) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: key and length describe bytes that live as long as the message.
        (!self.message.key.is_null()).then(|| unsafe { slice(self.message.key.cast(), self.message.key_len) })
    }

    pub(super) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: payload and length describe bytes that live as long as the message.
        (!self.message.payload.is_null()).then(|| unsafe { slice(self.message.payload.cast(), self.message.len) })
    }

    /// Name and value of each header, in order.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive; the list stays its property.
        let found = unsafe { sys::rd_kafka_message_headers(self.message, &raw mut list) };
        let list = if found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { list } else { ptr::null_mut() };
        (0..).map_while(move |index| {
            if list.is_null() {
                return None;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list lives as long as the message, so do the name (a C string) and the value it lends.
            unsafe {
                let found = sys::rd_kafka_header_get_all(list, index, &raw mut name, &raw mut value, &raw mut size);
                if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return None;
                }
                let name = CStr::from_ptr(name).to_str().unwrap_or("\u{fffd}");
                Some((name, (!value.is_null()).then(|| slice(value.cast::<u8>(), size))))
            }
        })
    }
}

/// A topic of a client: saves the look-up by name for every record.
pub(super) struct Topic {
    topic: NonNull<sys::rd_kafka_topic_t>,
    client: Handle,
}

// SAFETY: librdkafka's topic objects are thread safe by its documentation.
unsafe impl Send for Topic {}
// SAFETY: the same.
unsafe impl Sync for Topic {}

/// A record as the producer wants it; all bytes are copied by the call.
pub(super) struct Outgoing<'a> {
    pub(super) partition: Partition,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a Headers,
    /// Milliseconds; 0 lets librdkafka put the present time.
    pub(super) timestamp: i64,
    /// Comes back with the delivery report.
    pub(super) tag: usize,
}

impl Topic {
    /// Queues a record.
    pub(super) fn produce(&self, record: &Outgoing<'_>) -> Result<(), Failure> {
        use sys::rd_kafka_vtype_t as kind;
        use sys::rd_kafka_vu_s__bindgen_ty_1 as Value;
        let bytes = |bytes: Option<&[u8]>| sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
            ptr: bytes.map_or(ptr::null_mut(), |bytes| bytes.as_ptr().cast_mut().cast()),
            size: bytes.map_or(0, <[u8]>::len),
        };
        let argument = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let headers = header_list(record.headers)?;
        let arguments = [
            argument(kind::RD_KAFKA_VTYPE_RKT, Value { rkt: self.topic.as_ptr() }),
            argument(kind::RD_KAFKA_VTYPE_PARTITION, Value { i32_: record.partition.0 }),
            argument(kind::RD_KAFKA_VTYPE_MSGFLAGS, Value { i: sys::RD_KAFKA_MSG_F_COPY }),
            argument(kind::RD_KAFKA_VTYPE_KEY, Value { mem: bytes(record.key) }),
            argument(kind::RD_KAFKA_VTYPE_VALUE, Value { mem: bytes(record.value) }),
            argument(kind::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: record.timestamp }),
            argument(kind::RD_KAFKA_VTYPE_OPAQUE, Value { ptr: ptr::without_provenance_mut(record.tag) }),
            argument(kind::RD_KAFKA_VTYPE_HEADERS, Value { headers }),
        ];
        let count = if headers.is_null() { arguments.len() - 1 } else { arguments.len() };
        // SAFETY: client and topic are alive; each argument's variant is the one its kind names; key and value are
        // copied by the call; the header list passes to librdkafka on success and is destroyed by us on failure.
        unsafe {
            let sent = Failure::take(sys::rd_kafka_produceva(self.client.client, arguments.as_ptr(), count));
            if sent.is_err() && !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            sent
        }
    }

    /// Starts fetching a partition into `queue`, outside any group.
    pub(super) fn start(&self, partition: Partition, offset: Offset, queue: &Queue) -> Result<(), Failure> {
        // SAFETY: topic and queue are alive; on failure the call leaves its reason in the thread's last error.
        unsafe {
            if sys::rd_kafka_consume_start_queue(self.topic.as_ptr(), partition.0, offset.0, queue.raw.as_ptr()) == 0 {
                return Ok(());
            }
            Err(Failure::of(sys::rd_kafka_last_error().into()))
        }
    }

    /// Stops fetching a partition and drops what was fetched.
    pub(super) fn stop(&self, partition: Partition) -> Result<(), Failure> {
        // SAFETY: the topic is alive; on failure the call leaves its reason in the thread's last error.
        unsafe {
            if sys::rd_kafka_consume_stop(self.topic.as_ptr(), partition.0) == 0 {
                return Ok(());
            }
            Err(Failure::of(sys::rd_kafka_last_error().into()))
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the topic is ours and destroyed once; its client outlives it.
        unsafe { sys::rd_kafka_topic_destroy(self.topic.as_ptr()) }
    }
}

/// A header list of our own, or null for none.
fn header_list(headers: &Headers) -> Result<*mut sys::rd_kafka_headers_t, Failure> {
    if headers.is_empty() {
        return Ok(ptr::null_mut());
    }
    // SAFETY: the list is new and ours; names and values are copied by each call, with their lengths given; on failure
    // the list is destroyed once and not returned.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for (name, value) in headers.iter() {
            let (bytes, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr().cast(), value.len()));
            let added = sys::rd_kafka_header_add(
                list,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                bytes,
                size.cast_signed(),
            );
            if let Err(failure) = Failure::check(added) {
                sys::rd_kafka_headers_destroy(list);
                return Err(failure);
            }
        }
        Ok(list)
    }
}
