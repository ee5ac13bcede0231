//! What a client hears about its connections: logs, errors, statistics, token refreshes; and the two things we conclude
//! from them: whether the credentials are refused, and whether a producer's transaction can still be trusted.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::acl::{Principal, Resource};
use super::auth::TokenSource;
use super::clients::{Reporter, Statistics};
use super::error;
use super::ffi::Failure;
use super::refusal;
use super::scrubber::Scrubber;
use crate::broker::{BrokerError, BrokerErrorKind};

/// Credentials that worked before are held to be good for so long while brokers refuse them: a broker that has just
/// started may not know its users yet.
const GRACE: Duration = Duration::from_secs(30);

/// librdkafka's word for: no heartbeat was answered for `session.timeout.ms`, so the client joins again as a new member.
const SESSION_ENDED: &str = "SESSTMOUT";

/// Shared by a client and its callbacks, which run on whatever thread serves the client's events.
#[derive(Debug, Default)]
pub(super) struct Link {
    name: String,
    scrubber: Scrubber,
    tokens: Option<Arc<dyn TokenSource>>,
    principal: Principal,
    /// What the client asks for by itself: its group or its transactional id.
    own: Option<Resource>,
    /// Where its statistics are collected.
    reporter: Option<Reporter>,
    /// Taint counts only from here on: connecting is not a transaction.
    watching: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Why the broker refuses us, the latest; and since when.
    refusal: Option<(Failure, Instant)>,
    /// Why the last connection failed without being refused.
    trouble: Option<String>,
    /// Whether these credentials have worked.
    accepted: bool,
    /// Why the producer must be replaced; the first.
    taint: Option<&'static str>,
    /// When the client gave its session up and joined anew, the latest.
    session_ended: Option<Instant>,
    /// Sums of the last statistics.
    counters: Option<Counters>,
    /// The topic that a transaction was not allowed to write to, the first.
    refused_topic: Option<String>,
}

/// What the statistics count over all brokers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counters {
    request_timeouts: i64,
    disconnects: i64,
    retries: i64,
}

impl Link {
    pub(super) fn new(name: String, scrubber: Scrubber, tokens: Option<Arc<dyn TokenSource>>) -> Self {
        Self { name, scrubber, tokens, ..Self::default() }
    }

    /// The same, of somebody who asks for rights.
    pub(super) fn of(self, principal: Principal) -> Self {
        Self { principal, ..self }
    }

    /// The same, of a client that asks for a group or a transactional id of its own.
    pub(super) fn asking_for(self, own: Resource) -> Self {
        Self { own: Some(own), ..self }
    }

    /// An error with the right that was missing, if one was, and how to grant it.
    pub(super) fn explain(&self, error: BrokerError, failure: &Failure) -> BrokerError {
        self.principal.explain(error, failure, self.own.as_ref())
    }

    pub(super) const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The same, with its statistics collected among those of other clients.
    pub(super) fn reporting(self, reporter: Reporter) -> Self {
        Self { reporter: Some(reporter), ..self }
    }

    /// From now on trouble taints.
    pub(super) fn watch(&self) {
        self.watching.store(true, Ordering::Release);
    }

    pub(super) fn taint(&self) -> Option<&'static str> {
        self.seen().taint
    }

    /// Marks the producer as not to be used after this transaction.
    pub(super) fn mark(&self, why: &'static str) {
        if !self.watching.load(Ordering::Acquire) {
            return;
        }
        let mut seen = self.seen();
        if seen.taint.is_none() {
            seen.taint = Some(why);
            drop(seen);
            tracing::info!(client = self.name, why, "producer will be replaced after this transaction");
        }
    }

    /// True when the client has given its session up so recently: it has joined its group anew by itself.
    pub(super) fn session_ended_within(&self, span: Duration) -> bool {
        self.seen().session_ended.is_some_and(|at| at.elapsed() < span)
    }

    /// Why the brokers refuse our credentials or we theirs, when it is so: a wrong password is told instead of waited for.
    pub(super) fn refusal(&self) -> Option<Failure> {
        let seen = self.seen();
        let (failure, since) = seen.refusal.as_ref()?;
        (!seen.accepted || since.elapsed() >= GRACE).then(|| failure.clone())
    }

    /// Nothing was asked for: what was refused meanwhile hinders nobody.
    pub(super) fn forget_refusal(&self) {
        self.seen().refusal = None;
    }

    /// A broker answered: the credentials are good.
    pub(super) fn accepted(&self) {
        let mut seen = self.seen();
        seen.accepted = true;
        seen.refusal = None;
        seen.trouble = None;
    }

    /// A failure with the reason why nobody answers, where it is only told that nobody does.
    pub(super) fn with_trouble(&self, failure: Failure) -> Failure {
        let trouble = self.seen().trouble.clone();
        Failure { reason: refusal::with_trouble(failure.code, failure.reason, trouble.as_deref()), ..failure }
    }

    /// Keeps why a connection failed. What guesses at the listener's protocol tells more than that somebody closed it.
    fn note_trouble(&self, reason: &str) {
        let mut seen = self.seen();
        let tells_more = |trouble: &String| trouble.contains("listener?") && !reason.contains("listener?");
        if !seen.trouble.as_ref().is_some_and(tells_more) {
            seen.trouble = Some(reason.to_owned());
        }
    }

    /// The topic that the transaction was not allowed to write to, as soon as the log has told it.
    pub(super) fn refused_topic(&self) -> Option<String> {
        self.seen().refused_topic.clone()
    }

    fn refuse(&self, failure: Failure) {
        let mut seen = self.seen();
        let since = seen.refusal.take().map_or_else(Instant::now, |(_, since)| since);
        seen.refusal = Some((failure, since));
    }

    pub(super) fn scrub(&self, text: &str) -> String {
        self.scrubber.scrub(text)
    }

    pub(super) fn log(&self, level: Level, facility: &str, message: &str) {
        let (client, message) = (self.name.as_str(), self.scrubber.scrub(message));
        if let Some(why) = taint_of_log(facility, &message) {
            self.mark(why);
        }
        if facility == SESSION_ENDED {
            self.seen().session_ended = Some(Instant::now());
        }
        if facility == "FAIL" {
            // Not every failed connection is told as an error, too.
            self.note_trouble(&message);
            if is_refused_certificate(&message) {
                self.refuse(Failure { reason: message.clone(), ..Failure::of(Code::SSL) });
            }
        }
        if let Some(topic) = refused_topic(facility, &message) {
            self.seen().refused_topic.get_or_insert_with(|| topic.to_owned());
        }
        match level {
            // A property of consumers told to a producer: passed-through properties reach every client.
            _ if facility == "CONFWARN" => tracing::debug!(client, facility, "{message}"),
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(client, facility, "{message}");
            }
            Level::Warning => tracing::warn!(client, facility, "{message}"),
            Level::Notice | Level::Info => tracing::info!(client, facility, "{message}"),
            Level::Debug => tracing::debug!(client, facility, "{message}"),
        }
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        let reason = self.scrubber.scrub(reason);
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        if matches!(code, Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown) {
            self.mark("a connection broke during the transaction");
        }
        if error::class(code) == Some(BrokerErrorKind::Unauthorized) && !is_interrupted(&reason) {
            tracing::error!(client = self.name, ?code, "{reason}");
            self.refuse(Failure { reason, ..Failure::of(code) });
        } else if matches!(code, Code::BrokerTransportFailure | Code::AllBrokersDown) {
            if code == Code::BrokerTransportFailure {
                self.note_trouble(&reason);
            }
            // librdkafka has logged each broken connection already, with the address and not too often.
            tracing::debug!(client = self.name, ?code, "{reason}");
        } else {
            tracing::warn!(client = self.name, ?code, "{reason}");
        }
    }

    /// Keeps the numbers for metrics. A change of three of them since the last time taints.
    pub(super) fn statistics(&self, json: &[u8]) {
        let Some(statistics) = Statistics::parse(json) else { return };
        let now = counters(&statistics);
        let watching = self.watching.load(Ordering::Acquire);
        let mut seen = self.seen();
        // The first ones may be as old as the second transaction. What was repeated may have been while connecting, as
        // `init_transactions` is until its predecessor's transaction is ended.
        let before = seen
            .counters
            .replace(now)
            .or_else(|| watching.then_some(Counters { retries: now.retries, ..Counters::default() }));
        drop(seen);
        if let Some(why) = before.and_then(|before| taint_of_counters(before, now)) {
            self.mark(why);
        }
        if let Some(reporter) = &self.reporter {
            reporter.tell(statistics);
        }
    }

    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let source = self.tokens.as_ref().ok_or("no token source is configured")?;
        match source.token() {
            Ok(token) => Ok(OAuthToken {
                token: token.value.expose().to_owned(),
                principal_name: token.principal,
                lifetime_ms: token.expires_at_ms,
            }),
            Err(error) => {
                let reason = self.scrubber.scrub(&error.to_string());
                self.refuse(Failure { reason, ..Failure::of(Code::Authentication) });
                Err(error.into())
            }
        }
    }

    /// Every field is replaced whole, so a poisoned lock is as good as any.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that ended in the middle of a handshake is told with the code of a refusal, but nobody refused.
fn is_interrupted(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["disconnected", "reset by peer", "broken pipe", "timed out", "unexpected eof"]
        .iter()
        .any(|word| reason.contains(word))
}

/// The callbacks of a client that has nothing of its own to hear: no rebalances, no deliveries.
#[derive(Debug)]
pub(super) struct Listener(pub(super) Arc<Link>);

impl ClientContext for Listener {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: Level, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.0.statistics(json);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.0.token()
    }
}

impl ConsumerContext for Listener {}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    /// Such a client sends no records.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// librdkafka tells of a request that timed out and of a connection that closed by log lines of these names, at once;
/// its statistics tell the same, later.
fn taint_of_log(facility: &str, message: &str) -> Option<&'static str> {
    match facility {
        "REQTMOUT" => Some("a request timed out during the transaction"),
        "FAIL" | "DISCONNECT" => Some("a connection broke during the transaction"),
        _ if message.contains("timed out") => Some("a request timed out during the transaction"),
        _ => None,
    }
}

/// With TLS 1.3 a broker refuses a client's certificate after the handshake: librdkafka tells it as a connection that broke.
fn is_refused_certificate(message: &str) -> bool {
    ["certificate required", "bad certificate", "unknown ca", "certificate unknown", "certificate expired"]
        .iter()
        .any(|alert| message.contains(&format!("alert {alert}")))
}

/// The transaction's own error does not say which of its topics was refused; the log line before it does.
fn refused_topic<'a>(facility: &str, message: &'a str) -> Option<&'a str> {
    let (_, rest) = message.split_once("Failed to add partition \"").filter(|_| facility == "ADDPARTS")?;
    let (topic, why) = rest.split_once('"')?;
    why.contains("Topic authorization failed").then_some(topic)
}

fn taint_of_counters(before: Counters, now: Counters) -> Option<&'static str> {
    if now.request_timeouts > before.request_timeouts {
        Some("a request timed out during the transaction")
    } else if now.disconnects > before.disconnects {
        Some("a connection broke during the transaction")
    } else if now.retries > before.retries {
        Some("a request was repeated during the transaction")
    } else {
        None
    }
}

/// Sums over the brokers.
fn counters(statistics: &Statistics) -> Counters {
    statistics.brokers.values().fold(Counters::default(), |sum, broker| Counters {
        request_timeouts: sum.request_timeouts.saturating_add(broker.req_timeouts),
        disconnects: sum.disconnects.saturating_add(broker.disconnects),
        retries: sum.retries.saturating_add(broker.txretries),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(timeouts: u32, retries: u32, disconnects: u32) -> Vec<u8> {
        format!(
            r#"{{"name":"p","brokers":{{"a:1/1":{{"req_timeouts":{timeouts},"txretries":0,"disconnects":{disconnects}}},
               "b:1/2":{{"txretries":{retries},"rtt":{{"min":1}}}}}},"topics":{{}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn trouble_taints_once_the_producer_is_ready_and_for_good() {
        let link = Link::default();
        link.log(Level::Info, "FAIL", "disconnected while connecting");
        assert_eq!(link.taint(), None);
        link.watch();
        link.log(Level::Info, "REQTMOUT", "timed out EndTxnRequest in flight");
        link.statistics(&statistics(0, 0, 0));
        assert_eq!(link.taint(), Some("a request timed out during the transaction"));
    }

    #[test]
    fn the_log_tells_which_topic_a_transaction_may_not_write_to() {
        let link = Link::default();
        let told = |topic: &str, why: &str| {
            format!(
                "[thrd:main]: TxnCoordinator/1: Failed to add partition \"{topic}\" [0] to transaction: Broker: {why}"
            )
        };
        link.log(Level::Error, "ADDPARTS", &told("a", "Operation not attempted"));
        assert_eq!(link.refused_topic(), None);
        link.log(Level::Error, "ADDPARTS", &told("b-changelog", "Topic authorization failed"));
        assert_eq!(link.refused_topic().as_deref(), Some("b-changelog"));
    }

    /// They come every five seconds, and librdkafka logs the third equal failure within 30 s no more.
    #[test]
    fn trouble_before_the_first_statistics_taints_but_what_was_repeated_while_connecting() {
        for (first, tainted) in [((0, 7, 0), false), ((1, 0, 0), true), ((0, 0, 1), true)] {
            let link = Link::default();
            link.watch();
            link.statistics(&statistics(first.0, first.1, first.2));
            assert_eq!(link.taint().is_some(), tainted, "{first:?}");
        }
    }

    #[test]
    fn only_a_change_of_a_counter_taints() {
        for (statistics_after, tainted) in [
            (statistics(2, 1, 3), false),
            (statistics(3, 1, 3), true),
            (statistics(2, 2, 3), true),
            (statistics(2, 1, 4), true),
        ] {
            let link = Link::default();
            link.statistics(&statistics(2, 1, 3));
            link.watch();
            link.statistics(&statistics_after);
            assert_eq!(link.taint().is_some(), tainted);
        }
    }

    #[test]
    fn refused_credentials_are_remembered_without_the_secret() {
        let link = Link::new("c".into(), Scrubber::new(["hunter2".into()]), None);
        link.error(&KafkaError::Global(Code::BrokerTransportFailure), "broker down");
        assert!(link.refusal().is_none());
        link.error(&KafkaError::Global(Code::Authentication), "user u with hunter2 denied");
        assert_eq!(link.refusal().map(|failure| failure.reason), Some("user u with *** denied".to_owned()));
    }

    #[test]
    fn a_broker_that_restarts_does_not_spoil_good_credentials() {
        let refuse = |link: &Link, reason: &str| link.error(&KafkaError::Global(Code::Authentication), reason);
        let link = Link::default();
        refuse(&link, "SASL handshake: Disconnected");
        assert!(link.refusal().is_none(), "nobody refused");
        link.accepted();
        refuse(&link, "invalid credentials");
        assert!(link.refusal().is_none(), "they worked a moment ago");
        let stranger = Link::default();
        refuse(&stranger, "invalid credentials");
        assert!(stranger.refusal().is_some());
        stranger.accepted();
        assert!(stranger.refusal().is_none());
    }
}
