//! The clients of Kafka, from librdkafka's statistics: a few seconds old.

use super::super::{Kind, Level, Metric, Samples, Unit, View};
use crate::runtime::process::BrokerSnapshot;

const CLIENT: &[&str] = &["client"];
const BROKER: &[&str] = &["client", "broker"];

pub(super) static METRICS: [Metric; 14] = [
    Metric::new(
        "millpond_kafka_clients",
        Kind::Gauge,
        "Clients of Kafka by what they do: consumer, producer, reader of changelogs",
        |view, out| {
            view.process.clients.iter().for_each(|client| out.count(&[&client.role], client.count));
        },
    )
    .at(Level::Client, CLIENT),
    Metric::new(
        "millpond_kafka_queue_records",
        Kind::Gauge,
        "Records that wait in clients: fetched and not yet taken, or sent and not yet acknowledged",
        |view, out| {
            view.process.clients.iter().for_each(|client| out.count(&[&client.role], client.queue_messages));
        },
    )
    .at(Level::Client, CLIENT),
    Metric::new("millpond_kafka_queue_bytes", Kind::Gauge, "Bytes of the records that wait in clients", |view, out| {
        view.process.clients.iter().for_each(|client| out.count(&[&client.role], client.queue_bytes));
    })
    .at(Level::Client, CLIENT)
    .of(Unit::Bytes),
    Metric::new("millpond_kafka_connections", Kind::Gauge, "Connections that are up, by broker", |view, out| {
        each_broker(view, out, |broker| broker.connections);
    })
    .at(Level::Client, BROKER),
    Metric::new(
        "millpond_kafka_round_trip_seconds",
        Kind::Gauge,
        "Time from a request to its answer in the last seconds: quantiles 0.5 and 0.99, of the slowest client",
        |view, out| {
            for client in &view.process.clients {
                for broker in &client.brokers {
                    for (quantile, time) in [("0.5", broker.round_trip_p50), ("0.99", broker.round_trip_p99)] {
                        if let Some(time) = time {
                            out.number(&[&client.role, &broker.broker, &quantile], time);
                        }
                    }
                }
            }
        },
    )
    .at(Level::Client, &["client", "broker", "quantile"])
    .of(Unit::Seconds),
    Metric::new("millpond_kafka_requests_in_flight", Kind::Gauge, "Requests that wait for an answer", |view, out| {
        each_broker(view, out, |broker| broker.in_flight);
    })
    .at(Level::Client, BROKER),
    Metric::new("millpond_kafka_requests_queued", Kind::Gauge, "Requests that wait to be sent", |view, out| {
        each_broker(view, out, |broker| broker.queued);
    })
    .at(Level::Client, BROKER),
    Metric::new("millpond_kafka_requests_total", Kind::Counter, "Requests sent to a broker", |view, out| {
        each_broker(view, out, |broker| broker.counters.requests);
    })
    .at(Level::Client, BROKER),
    Metric::new(
        "millpond_kafka_request_timeouts_total",
        Kind::Counter,
        "Requests without an answer in time",
        |view, out| each_broker(view, out, |broker| broker.counters.timeouts),
    )
    .at(Level::Client, BROKER),
    Metric::new("millpond_kafka_request_retries_total", Kind::Counter, "Requests that were sent again", |view, out| {
        each_broker(view, out, |broker| broker.counters.retries);
    })
    .at(Level::Client, BROKER),
    Metric::new(
        "millpond_kafka_request_errors_total",
        Kind::Counter,
        "Requests that could not be sent, and answers that could not be read",
        |view, out| each_broker(view, out, |broker| broker.counters.errors),
    )
    .at(Level::Client, BROKER),
    Metric::new(
        "millpond_kafka_disconnects_total",
        Kind::Counter,
        "Connections that ended, idle ones that a broker has closed included",
        |view, out| each_broker(view, out, |broker| broker.counters.disconnects),
    )
    .at(Level::Client, BROKER),
    Metric::new("millpond_kafka_sent_bytes_total", Kind::Counter, "Bytes sent to a broker", |view, out| {
        each_broker(view, out, |broker| broker.counters.sent_bytes);
    })
    .at(Level::Client, BROKER)
    .of(Unit::Bytes),
    Metric::new("millpond_kafka_received_bytes_total", Kind::Counter, "Bytes received from a broker", |view, out| {
        each_broker(view, out, |broker| broker.counters.received_bytes);
    })
    .at(Level::Client, BROKER)
    .of(Unit::Bytes),
];

fn each_broker(view: &View<'_>, out: &mut Samples, value: fn(&BrokerSnapshot) -> u64) {
    for client in &view.process.clients {
        for broker in &client.brokers {
            out.count(&[&client.role, &broker.broker], value(broker));
        }
    }
}
