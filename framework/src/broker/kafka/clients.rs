//! What librdkafka's statistics say, for metrics: summed over the clients of a role, those that are gone included, so that
//! counters never go back when a producer is replaced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::runtime::process::{BrokerCounters, BrokerSnapshot, ClientSnapshot};

/// All clients of a connection factory.
#[derive(Debug, Default, Clone)]
pub(super) struct Clients(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By role and broker.
    counters: BTreeMap<(&'static str, String), BrokerCounters>,
    /// The clients that there are: role and last statistics.
    living: BTreeMap<u64, (&'static str, Statistics)>,
    next: u64,
}

impl Clients {
    /// A new client, until the reporter is dropped.
    pub(super) fn reporter(&self, role: &'static str) -> Reporter {
        let mut known = self.known();
        let id = known.next;
        known.next += 1;
        known.living.insert(id, (role, Statistics::default()));
        drop(known);
        Reporter { clients: self.clone(), role, id }
    }

    /// Every role that there are or were clients of.
    pub(super) fn snapshots(&self) -> Vec<ClientSnapshot> {
        let known = self.known();
        let mut roles: BTreeMap<&'static str, ClientSnapshot> = BTreeMap::new();
        let mut brokers: BTreeMap<(&'static str, String), BrokerSnapshot> = BTreeMap::new();
        for (role, statistics) in known.living.values() {
            let client = roles.entry(role).or_default();
            client.count += 1;
            client.queue_messages = client.queue_messages.saturating_add(statistics.queue_messages());
            client.queue_bytes = client.queue_bytes.saturating_add(statistics.queue_bytes());
            for broker in statistics.brokers.values() {
                broker.add_to(brokers.entry((role, broker.label())).or_default());
            }
        }
        for (key, counters) in &known.counters {
            brokers.entry(key.clone()).or_default().counters = *counters;
        }
        for ((role, broker), snapshot) in brokers {
            roles.entry(role).or_default().brokers.push(BrokerSnapshot { broker, ..snapshot });
        }
        roles.into_iter().map(|(role, client)| ClientSnapshot { role, ..client }).collect()
    }

    /// Every entry is replaced whole, so a poisoned lock is as good as any.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's place among the others.
#[derive(Debug)]
pub(super) struct Reporter {
    clients: Clients,
    role: &'static str,
    id: u64,
}

impl Reporter {
    /// Takes the client's statistics in.
    pub(super) fn tell(&self, statistics: Statistics) {
        let mut known = self.clients.known();
        let before = known.living.insert(self.id, (self.role, Statistics::default())).map(|(_, before)| before);
        for (name, broker) in &statistics.brokers {
            let before = before.as_ref().and_then(|before| before.brokers.get(name));
            let total = known.counters.entry((self.role, broker.label())).or_default();
            broker.add_growth(before, total);
        }
        known.living.insert(self.id, (self.role, statistics));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.clients.known().living.remove(&self.id);
    }
}

/// The parts of librdkafka's statistics that are read; everything else is skipped while parsing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Statistics {
    #[serde(default)]
    msg_cnt: u64,
    #[serde(default)]
    msg_size: u64,
    #[serde(default)]
    pub(super) brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Broker {
    #[serde(default)]
    name: String,
    #[serde(default)]
    nodeid: i64,
    #[serde(default)]
    source: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    outbuf_cnt: i64,
    #[serde(default)]
    waitresp_cnt: i64,
    #[serde(default)]
    tx: i64,
    #[serde(default)]
    txbytes: i64,
    #[serde(default)]
    txerrs: i64,
    #[serde(default)]
    pub(super) txretries: i64,
    #[serde(default)]
    pub(super) req_timeouts: i64,
    #[serde(default)]
    rxbytes: i64,
    #[serde(default)]
    rxerrs: i64,
    #[serde(default)]
    pub(super) disconnects: i64,
    #[serde(default)]
    rtt: Window,
}

/// A window of librdkafka's, in microseconds.
#[derive(Debug, Default, Deserialize)]
struct Window {
    #[serde(default)]
    p50: i64,
    #[serde(default)]
    p99: i64,
    #[serde(default)]
    cnt: i64,
}

#[derive(Debug, Default, Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<String, Queue>,
}

#[derive(Debug, Default, Deserialize)]
struct Queue {
    #[serde(default)]
    fetchq_cnt: i64,
    #[serde(default)]
    fetchq_size: i64,
}

impl Statistics {
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.topics.values().flat_map(|topic| topic.partitions.values())
    }

    fn queue_messages(&self) -> u64 {
        self.queues().fold(self.msg_cnt, |sum, queue| sum.saturating_add(natural(queue.fetchq_cnt)))
    }

    fn queue_bytes(&self) -> u64 {
        self.queues().fold(self.msg_size, |sum, queue| sum.saturating_add(natural(queue.fetchq_size)))
    }
}

impl Broker {
    /// Bounded by the cluster: no host name, which changes with every address.
    fn label(&self) -> String {
        match (self.source.as_str(), self.nodeid) {
            ("logical", _) if self.name.starts_with("Txn") => "transaction_coordinator".to_owned(),
            ("logical", _) => "coordinator".to_owned(),
            (_, id) if id >= 0 => id.to_string(),
            _ => "bootstrap".to_owned(),
        }
    }

    fn counters(&self) -> BrokerCounters {
        BrokerCounters {
            requests: natural(self.tx),
            timeouts: natural(self.req_timeouts),
            retries: natural(self.txretries),
            errors: natural(self.txerrs) + natural(self.rxerrs),
            disconnects: natural(self.disconnects),
            sent_bytes: natural(self.txbytes),
            received_bytes: natural(self.rxbytes),
        }
    }

    fn add_growth(&self, before: Option<&Self>, total: &mut BrokerCounters) {
        let (now, before) = (self.counters(), before.map(Self::counters).unwrap_or_default());
        for (total, now, before) in [
            (&mut total.requests, now.requests, before.requests),
            (&mut total.timeouts, now.timeouts, before.timeouts),
            (&mut total.retries, now.retries, before.retries),
            (&mut total.errors, now.errors, before.errors),
            (&mut total.disconnects, now.disconnects, before.disconnects),
            (&mut total.sent_bytes, now.sent_bytes, before.sent_bytes),
            (&mut total.received_bytes, now.received_bytes, before.received_bytes),
        ] {
            *total = total.saturating_add(now.saturating_sub(before));
        }
    }

    fn add_to(&self, broker: &mut BrokerSnapshot) {
        broker.connections = broker.connections.saturating_add(u64::from(self.state == "UP"));
        broker.in_flight = broker.in_flight.saturating_add(natural(self.waitresp_cnt));
        broker.queued = broker.queued.saturating_add(natural(self.outbuf_cnt));
        if self.rtt.cnt > 0 {
            broker.round_trip_p50 = Some(longer(broker.round_trip_p50, self.rtt.p50));
            broker.round_trip_p99 = Some(longer(broker.round_trip_p99, self.rtt.p99));
        }
    }
}

fn longer(known: Option<f64>, micros: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a request, far below 2^52")]
    let seconds = natural(micros) as f64 / 1e6;
    known.map_or(seconds, |known| known.max(seconds))
}

/// librdkafka writes -1 where it does not know.
fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Reads what librdkafka tells of a client, from any bytes: for fuzzers.
#[cfg(any(test, feature = "testing"))]
pub fn read_statistics(json: &[u8]) {
    let Some(statistics) = Statistics::parse(json) else { return };
    let clients = Clients::default();
    clients.reporter("consumer").tell(statistics);
    drop(clients.snapshots());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(requests: u32, retries: u32) -> Statistics {
        let json = format!(
            r#"{{"name":"p","msg_cnt":3,"msg_size":300,"ts":1,
                "brokers":{{
                    "a:1/1":{{"name":"a:1/1","nodeid":1,"source":"learned","state":"UP","tx":{requests},"txretries":{retries},
                        "waitresp_cnt":2,"rtt":{{"min":1,"p50":1500,"p99":9000,"cnt":4}}}},
                    "a:1/bootstrap":{{"name":"a:1/bootstrap","nodeid":-1,"source":"configured","state":"UP","tx":1}},
                    "GroupCoordinator":{{"name":"GroupCoordinator","nodeid":1,"source":"logical","state":"UP","tx":2}}}},
                "topics":{{"events":{{"partitions":{{"0":{{"fetchq_cnt":7,"fetchq_size":70}},"-1":{{"fetchq_cnt":-1}}}}}}}}}}"#
        );
        Statistics::parse(json.as_bytes()).unwrap()
    }

    fn requests(clients: &Clients) -> Vec<(String, u64)> {
        let brokers = clients.snapshots().into_iter().flat_map(|client| client.brokers);
        brokers.map(|broker| (broker.broker, broker.counters.requests)).collect()
    }

    #[test]
    fn statistics_of_clients_of_one_role_are_one_line_for_each_broker() {
        let clients = Clients::default();
        let (one, other) = (clients.reporter("producer"), clients.reporter("producer"));
        one.tell(statistics(10, 0));
        other.tell(statistics(5, 1));
        let [producers] = &clients.snapshots()[..] else { panic!("one role") };
        assert_eq!((producers.role, producers.count), ("producer", 2));
        assert_eq!((producers.queue_messages, producers.queue_bytes), (20, 740));
        let known: Vec<&str> = producers.brokers.iter().map(|broker| broker.broker.as_str()).collect();
        assert_eq!(known, ["1", "bootstrap", "coordinator"]);
        let broker = &producers.brokers[0];
        assert_eq!((broker.connections, broker.in_flight, broker.queued), (2, 4, 0));
        assert_eq!((broker.round_trip_p50, broker.round_trip_p99), (Some(0.0015), Some(0.009)));
        assert_eq!((broker.counters.requests, broker.counters.retries), (15, 1));
        assert_eq!(producers.brokers[1].round_trip_p50, None, "nothing was asked there");
    }

    #[test]
    fn counters_go_on_when_a_client_is_replaced() {
        let clients = Clients::default();
        let first = clients.reporter("producer");
        first.tell(statistics(10, 0));
        first.tell(statistics(12, 0));
        drop(first);
        let second = clients.reporter("producer");
        second.tell(statistics(1, 0));
        let [producers] = &clients.snapshots()[..] else { panic!("one role") };
        assert_eq!(producers.count, 1);
        let of_1 = requests(&clients).into_iter().find(|(broker, _)| broker == "1");
        assert_eq!(of_1, Some(("1".to_owned(), 13)));
        drop(second);
        assert_eq!((clients.snapshots()[0].count, clients.snapshots()[0].queue_messages), (0, 0));
    }
}
