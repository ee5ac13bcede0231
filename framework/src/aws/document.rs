//! The JSON in which containers' and instances' services give credentials.

use serde::Deserialize;

use super::error::{CredentialError, Service};
use super::http::{Answer, said, shown};
use super::{Credentials, now, sign};
use crate::secret::Secret;

/// Names as AWS writes them; a refusal may be written with small letters.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Document {
    #[serde(alias = "code")]
    code: Option<String>,
    #[serde(alias = "message")]
    message: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Secret>,
    token: Option<Secret>,
    expiration: Option<String>,
}

/// The credentials of an answer; `secrets` are what was sent along, and must not come back in an error.
pub(super) fn credentials(
    service: Service,
    url: &str,
    answer: &Answer,
    secrets: &[&str],
) -> Result<Credentials, CredentialError> {
    let malformed = |reason| CredentialError::Malformed { service, url: shown(url), reason };
    let document = serde_json::from_str::<Document>(&answer.body);
    if answer.status != 200 {
        let document = document.unwrap_or_default();
        let reason = [document.code, document.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
        return Err(refused(service, answer.status, &reason, secrets));
    }
    let document = document.map_err(|_| malformed("it is no JSON object"))?;
    // An instance says a failure with status 200.
    if let Some(code) = document.code.filter(|code| code != "Success") {
        let reason = format!("{code}: {}", document.message.unwrap_or_default());
        return Err(refused(service, answer.status, &reason, secrets));
    }
    let expires_at = match document.expiration {
        Some(text) => Some(sign::seconds_of(&text).ok_or_else(|| malformed("Expiration is no time in UTC"))?),
        None => None,
    };
    let credentials = Credentials {
        access_key_id: document.access_key_id.ok_or_else(|| malformed("AccessKeyId is missing"))?,
        secret_access_key: document.secret_access_key.ok_or_else(|| malformed("SecretAccessKey is missing"))?,
        session_token: document.token,
        expires_at,
    };
    current(service, answer, credentials)
}

/// The credentials, unless they have ended.
pub(super) fn current(
    service: Service,
    answer: &Answer,
    credentials: Credentials,
) -> Result<Credentials, CredentialError> {
    let seconds = now().saturating_sub(credentials.expires_at.unwrap_or(i64::MAX));
    if seconds < 0 {
        return Ok(credentials);
    }
    answer.check_clock(service)?;
    Err(CredentialError::Expired { service, seconds })
}

pub(super) fn refused(service: Service, status: u16, reason: &str, secrets: &[&str]) -> CredentialError {
    let reason = if reason.is_empty() { "without a reason".to_owned() } else { said(reason, secrets) };
    let advice = match service {
        Service::Sts => "correct the role, or whom its trust policy allows",
        Service::Container => "look at the role of the task, or at the pod's identity association and service account",
        Service::Instance => "give the instance a role that EC2 may take on, and allow it version 2 of the service",
    };
    CredentialError::Refused { service, status, reason, advice }
}
