//! Requests to the services that give credentials: with time limits, without redirects, and with small answers only.

use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use super::error::{CredentialError, Service};
use super::now;

/// No answer that is meant for us is longer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// AWS refuses signatures that are further off than this, in seconds.
const SKEW_MAX: i64 = 300;

/// Time limits of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the connection stands.
    pub(super) connect: Duration,
    /// For all of it, names and TLS included.
    pub(super) total: Duration,
}

/// What a service answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// How far this machine's clock is ahead of the service's, in seconds, where the service says its time.
    skew: Option<i64>,
}

impl Answer {
    /// An answer of a service that does not say its time.
    #[cfg(any(test, feature = "testing"))]
    pub(super) const fn new(status: u16, body: String) -> Self {
        Self { status, body, skew: None }
    }

    /// Fails when signatures of this machine cannot be right.
    pub(super) fn check_clock(&self, service: Service) -> Result<(), CredentialError> {
        match self.skew {
            Some(seconds) if seconds.abs() >= SKEW_MAX => Err(CredentialError::ClockSkew { service, seconds }),
            _ => Ok(()),
        }
    }
}

/// A client of one service.
#[derive(Debug)]
pub(super) struct Http {
    service: Service,
    agent: Agent,
}

type Headers<'a> = &'a [(&'a str, &'a str)];

impl Http {
    /// For a service on this machine, or next to it.
    pub(super) fn direct(service: Service, limits: Limits) -> Self {
        Self { service, agent: configured(limits).proxy(None).build().new_agent() }
    }

    /// For a service far away, through the proxy of the environment, if it has one.
    pub(super) fn far(service: Service, limits: Limits) -> Self {
        Self { service, agent: configured(limits).build().new_agent() }
    }

    pub(super) fn get(&self, url: &str, headers: Headers<'_>) -> Result<Answer, CredentialError> {
        let request = headers.iter().fold(self.agent.get(url), |request, (name, value)| request.header(*name, *value));
        self.answer(url, request.call())
    }

    pub(super) fn put(&self, url: &str, headers: Headers<'_>) -> Result<Answer, CredentialError> {
        let request = headers.iter().fold(self.agent.put(url), |request, (name, value)| request.header(*name, *value));
        self.answer(url, request.send_empty())
    }

    pub(super) fn post(&self, url: &str, headers: Headers<'_>, body: &str) -> Result<Answer, CredentialError> {
        let request = headers.iter().fold(self.agent.post(url), |request, (name, value)| request.header(*name, *value));
        self.answer(url, request.send(body))
    }

    fn answer(
        &self,
        url: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, CredentialError> {
        let unreachable = |error: ureq::Error| CredentialError::Unreachable {
            service: self.service,
            url: shown(url),
            reason: error.to_string(),
        };
        let mut answer = answer.map_err(unreachable)?;
        let date = answer.headers().get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let date = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
        let date = date.and_then(|date| i64::try_from(date.as_secs()).ok());
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
        Ok(Answer { status: answer.status().as_u16(), body, skew: date.map(|date| now().saturating_sub(date)) })
    }
}

fn configured(limits: Limits) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_connect(Some(limits.connect))
        .timeout_global(Some(limits.total))
        .http_status_as_error(false)
        // Credentials are not carried to where an answer points.
        .max_redirects(0)
        .max_idle_connections(0)
        .user_agent(concat!("millpond/", env!("CARGO_PKG_VERSION")))
}

/// A second try when the first failed in passing.
pub(super) fn twice<T>(mut attempt: impl FnMut() -> Result<T, CredentialError>) -> Result<T, CredentialError> {
    match attempt() {
        Err(error) if error.is_passing() => {
            tracing::debug!(%error, "a request for AWS credentials is repeated");
            attempt()
        }
        answer => answer,
    }
}

/// A URL as it may be shown: without a query, which may hold anything.
pub(super) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// What a service says of a refusal, on one line, not too long, and without what was sent to it as a secret.
pub(super) fn said(text: &str, secrets: &[&str]) -> String {
    const LENGTH_MAX: usize = 300;
    let text = secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, crate::secret::MASK));
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LENGTH_MAX).collect();
    text.trim().to_owned()
}

/// Scheme and `host[:port]` of a URL; `None` for what is no URL of HTTP, or holds a user.
pub(super) fn parts(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let legal = matches!(scheme, "http" | "https") && !authority.is_empty() && !authority.contains('@');
    legal.then_some((scheme, authority))
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
pub(super) fn host(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

/// True for a host that is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_falls_into_its_parts() {
        assert_eq!(parts("http://169.254.170.23/v1/credentials"), Some(("http", "169.254.170.23")));
        assert_eq!(parts("https://[fd00:ec2::23]:80?x"), Some(("https", "[fd00:ec2::23]:80")));
        for wrong in ["", "169.254.170.2", "ftp://h/", "http:///path", "http://127.0.0.1@evil/"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
        assert_eq!((host("[::1]:80"), host("h:1"), host("h")), ("::1", "h", "h"));
        assert!(is_loopback("127.0.0.9") && is_loopback("::1") && is_loopback("localhost"));
        assert!(!is_loopback("127.0.0.1.evil") && !is_loopback("10.0.0.1"));
    }

    #[test]
    fn what_was_sent_as_a_secret_is_not_repeated() {
        assert_eq!(said("bad\ntoken: abc!", &["abc", ""]), "bad token: ***!");
        assert_eq!(said(&"x".repeat(1_000), &[]).len(), 300);
    }
}
