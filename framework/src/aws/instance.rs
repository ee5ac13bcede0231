//! The role of an EC2 instance, by version 2 of its metadata service. Version 1 is not asked: it answers whoever can make
//! this machine send a GET request.

use std::time::Duration;

use super::error::{CredentialError, Service};
use super::http::{Http, Limits, parts, shown, twice};
use super::{Credentials, Variables, document};

const PATH: &str = "latest/meta-data/iam/security-credentials/";
/// Away from EC2 nobody answers: that is to be known soon.
const LIMITS: Limits = Limits { connect: Duration::from_secs(1), total: Duration::from_secs(3) };

/// The credentials of the instance's role; what was found there instead when there is no such service.
pub(super) fn credentials(variables: &Variables) -> Result<Result<Credentials, String>, CredentialError> {
    if variables.get("AWS_EC2_METADATA_DISABLED").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return Ok(Err("AWS_EC2_METADATA_DISABLED keeps the instance's role away".to_owned()));
    }
    let base = base(variables)?;
    let http = Http::direct(Service::Instance, LIMITS);
    let session = match twice(|| session(&http, &base)) {
        Ok(session) => session,
        Err(CredentialError::Unreachable { reason, .. }) if variables.get(ENDPOINT).is_none() => {
            return Ok(Err(format!("no instance metadata at {base} ({reason})")));
        }
        Err(error) => return Err(error),
    };
    twice(|| role(&http, &base, &session)).map(Ok)
}

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

fn base(variables: &Variables) -> Result<String, CredentialError> {
    if let Some(url) = variables.get(ENDPOINT) {
        let reason = "is no URL such as http://169.254.169.254".to_owned();
        parts(url).ok_or(CredentialError::Variable { variable: ENDPOINT, reason })?;
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let is_ipv6 =
        variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|m| m.eq_ignore_ascii_case("ipv6"));
    Ok(if is_ipv6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" }.to_owned())
}

/// A token for the requests that follow.
fn session(http: &Http, base: &str) -> Result<String, CredentialError> {
    let url = format!("{base}/latest/api/token");
    let answer = http.put(&url, &[("x-aws-ec2-metadata-token-ttl-seconds", "300")])?;
    let token = answer.body.trim();
    match answer.status {
        200 if !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic()) => Ok(token.to_owned()),
        200 => {
            Err(CredentialError::Malformed { service: Service::Instance, url: shown(&url), reason: "it is no token" })
        }
        status => Err(document::refused(Service::Instance, status, "no token is given", &[])),
    }
}

fn role(http: &Http, base: &str, session: &str) -> Result<Credentials, CredentialError> {
    let headers = [("x-aws-ec2-metadata-token", session)];
    let answer = http.get(&format!("{base}/{PATH}"), &headers)?;
    let name = answer.body.lines().next().unwrap_or_default().trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if answer.status != 200 || name.is_empty() || !name.chars().all(legal) {
        let reason = if answer.status == 404 { "the instance has no role" } else { "no role is named" };
        return Err(document::refused(Service::Instance, answer.status, reason, &[]));
    }
    let url = format!("{base}/{PATH}{name}");
    let answer = http.get(&url, &headers)?;
    document::credentials(Service::Instance, &url, &answer, &[session])
}
