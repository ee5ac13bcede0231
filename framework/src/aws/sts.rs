//! Taking on a role: AWS's Security Token Service.

use std::path::Path;
use std::time::Duration;

use super::document::{current, refused};
use super::error::{CredentialError, Service};
use super::http::{Answer, Http, Limits, host, is_loopback, parts, shown, twice};
use super::{Credentials, Variables, now, sign};
use crate::secret::Secret;

const LIMITS: Limits = Limits { connect: Duration::from_secs(5), total: Duration::from_secs(10) };
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// The name under which `CloudTrail` shows what is done here, unless another is configured.
const SESSION_NAME: &str = "millpond";

/// STS of one region.
#[derive(Debug)]
pub(super) struct Sts {
    url: String,
    region: String,
    http: Http,
}

/// Which role, under which name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session<'a> {
    pub(super) role_arn: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) external_id: Option<&'a str>,
}

impl Sts {
    /// The region's own endpoint, or the one of `AWS_ENDPOINT_URL_STS` or `AWS_ENDPOINT_URL`.
    pub(super) fn new(variables: &Variables, region: &str) -> Result<Self, CredentialError> {
        let mut url = format!("https://sts.{region}.amazonaws.com");
        if region.starts_with("cn-") {
            url.push_str(".cn");
        }
        for variable in ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"] {
            let Some(said) = variables.get(variable) else { continue };
            let is_safe = |(scheme, authority): (&str, &str)| scheme == "https" || is_loopback(host(authority));
            if !parts(said).is_some_and(is_safe) {
                let reason = "is no URL with https; tokens do not go to another machine without TLS".to_owned();
                return Err(CredentialError::Variable { variable, reason });
            }
            said.trim_end_matches('/').clone_into(&mut url);
            break;
        }
        let is_near = parts(&url).is_some_and(|(_, authority)| is_loopback(host(authority)));
        let http = if is_near { Http::direct(Service::Sts, LIMITS) } else { Http::far(Service::Sts, LIMITS) };
        Ok(Self { url, region: region.to_owned(), http })
    }

    /// `AssumeRole`, with credentials.
    pub(super) fn assume(&self, with: &Credentials, session: Session<'_>) -> Result<Credentials, CredentialError> {
        let body = form("AssumeRole", session, None);
        let (_, authority) = parts(&self.url).ok_or(CredentialError::Bug("the URL of STS has been checked"))?;
        twice(|| {
            let form =
                sign::Form { host: authority, service: "sts", region: &self.region, content_type: FORM, body: &body };
            let signed = form.headers(with, now())?;
            let mut headers: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
            headers.push(("content-type", FORM));
            let answer = self.http.post(&self.url, &headers, &body)?;
            let token = with.session_token.as_ref().map_or("", Secret::expose);
            self.credentials(&answer, &[with.secret_access_key.expose(), token])
        })
    }

    /// `AssumeRoleWithWebIdentity`, with the token in a file, which is read each time: Kubernetes renews it.
    pub(super) fn assume_with_token(&self, file: &Path, session: Session<'_>) -> Result<Credentials, CredentialError> {
        let token = std::fs::read_to_string(file).map_err(|error| CredentialError::File {
            what: "the web identity token",
            path: file.to_owned(),
            reason: error.to_string(),
        })?;
        let token = token.trim();
        let body = form("AssumeRoleWithWebIdentity", session, Some(token));
        twice(|| {
            let answer = self.http.post(&self.url, &[("content-type", FORM)], &body)?;
            self.credentials(&answer, &[token])
        })
    }

    fn credentials(&self, answer: &Answer, secrets: &[&str]) -> Result<Credentials, CredentialError> {
        credentials(&self.url, answer, secrets)
    }
}

fn credentials(url: &str, answer: &Answer, secrets: &[&str]) -> Result<Credentials, CredentialError> {
    if answer.status != 200 {
        // A signature that is off by the clock is refused in several words.
        answer.check_clock(Service::Sts)?;
        let part = |name| element(&answer.body, name).map(unescaped).unwrap_or_default();
        let (code, message) = (part("Code"), part("Message"));
        // It asks the pod's identity provider, which may be away for a moment.
        let status = if code == "IDPCommunicationError" || code == "Throttling" { 503 } else { answer.status };
        let reason = if code.is_empty() { String::new() } else { format!("{code}: {message}") };
        return Err(refused(Service::Sts, status, &reason, secrets));
    }
    let malformed = |reason| CredentialError::Malformed { service: Service::Sts, url: shown(url), reason };
    let part = |name, reason| element(&answer.body, name).map(unescaped).ok_or_else(|| malformed(reason));
    let ends = part("Expiration", "Expiration is missing")?;
    let credentials = Credentials {
        access_key_id: part("AccessKeyId", "AccessKeyId is missing")?,
        secret_access_key: part("SecretAccessKey", "SecretAccessKey is missing")?.into(),
        session_token: Some(part("SessionToken", "SessionToken is missing")?.into()),
        expires_at: Some(sign::seconds_of(&ends).ok_or_else(|| malformed("Expiration is no time in UTC"))?),
    };
    current(Service::Sts, answer, credentials)
}

/// An answer, whatever it holds.
#[cfg(any(test, feature = "testing"))]
pub(super) fn read(answer: &Answer) -> Result<Credentials, CredentialError> {
    credentials("https://sts.example/", answer, &["secret"])
}

fn form(action: &str, session: Session<'_>, token: Option<&str>) -> String {
    let name = session.name.unwrap_or(SESSION_NAME);
    let fields = [("Action", Some(action)), ("ExternalId", session.external_id), ("RoleArn", Some(session.role_arn))];
    let more = [("RoleSessionName", Some(name)), ("Version", Some("2011-06-15")), ("WebIdentityToken", token)];
    let fields = fields.into_iter().chain(more).filter_map(|(name, value)| Some((name, value?)));
    fields.map(|(name, value)| format!("{name}={}", sign::encode(value))).collect::<Vec<_>>().join("&")
}

/// The text of the first element of that name. STS's answers are flat and use no attributes where we look.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(region: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sts::new(&variables, region).map(|sts| sts.url).map_err(|error| error.to_string())
    }

    #[test]
    fn each_region_has_its_endpoint_and_another_needs_tls() {
        assert_eq!(endpoint("eu-west-1", &[]), Ok("https://sts.eu-west-1.amazonaws.com".into()));
        assert_eq!(endpoint("cn-north-1", &[]), Ok("https://sts.cn-north-1.amazonaws.com.cn".into()));
        let said = |url| endpoint("eu-west-1", &[("AWS_ENDPOINT_URL_STS", url), ("AWS_ENDPOINT_URL", "https://other")]);
        assert_eq!(said("https://vpce.example/"), Ok("https://vpce.example".into()));
        assert_eq!(said("http://127.0.0.1:1"), Ok("http://127.0.0.1:1".into()));
        assert!(said("http://sts.example").unwrap_err().starts_with("AWS_ENDPOINT_URL_STS is no URL with https"));
    }

    #[test]
    fn texts_of_elements_are_found() {
        let xml = "<E><Error><Code>A</Code>\n<Message>no &amp;lt; &quot;x&quot;</Message></Error></E>";
        assert_eq!((element(xml, "Code"), element(xml, "Token")), (Some("A"), None));
        assert_eq!(unescaped(element(xml, "Message").unwrap()), "no &lt; \"x\"");
    }
}
