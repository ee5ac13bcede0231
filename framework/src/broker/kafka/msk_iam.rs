//! Tokens for Amazon MSK with IAM: a presigned request for `kafka-cluster:Connect`, by AWS Signature Version 4.
//!
//! Signed here with `hmac` and `sha2`: `aws-sigv4` would bring 45 crates for this one fixed request, and still no
//! credentials. Credentials come from the environment and from the shared file; a [`CredentialSource`] of your own brings
//! any other, for example those of `aws-config` on EKS.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::auth::{Token, TokenError, TokenSource};
use super::secret::Secret;

/// How long a token is valid, in seconds: as AWS's own signers make them.
const EXPIRY_SECONDS: i64 = 900;
/// Hash of the empty body.
const EMPTY_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Makes MSK IAM tokens. Give it to `Sasl::OAuthBearer`, over TLS.
#[derive(Debug, Clone)]
pub struct MskIam {
    region: String,
    credentials: Arc<dyn CredentialSource>,
}

impl MskIam {
    /// Tokens for clusters in `region`, with credentials from the environment or the shared credentials file.
    pub fn new(region: impl Into<String>) -> Self {
        Self::with_credentials(region, Arc::new(DefaultCredentials))
    }

    /// The same with other credentials. They are asked for with every token: every 12 minutes per client.
    pub fn with_credentials(region: impl Into<String>, credentials: Arc<dyn CredentialSource>) -> Self {
        Self { region: region.into(), credentials }
    }

    /// The token for that second.
    fn token_at(&self, seconds: i64) -> Result<Token, TokenError> {
        let credentials = self.credentials.credentials()?;
        let request = Request {
            host: &format!("kafka.{}.amazonaws.com", self.region),
            path: "/",
            query: &[("Action", "kafka-cluster:Connect")],
            service: "kafka-cluster",
            region: &self.region,
            body_hash: EMPTY_BODY,
            expires_seconds: EXPIRY_SECONDS,
        };
        // The user agent is not signed: the broker only logs it.
        let agent = encode(&format!("millpond/{}", env!("CARGO_PKG_VERSION")));
        let url = format!("{}&User-Agent={agent}", request.presign(&credentials, seconds)?);
        Ok(Token {
            value: Secret::new(URL_SAFE_NO_PAD.encode(url)),
            principal: credentials.access_key_id,
            expires_at_ms: seconds.saturating_add(EXPIRY_SECONDS).saturating_mul(1000),
        })
    }
}

impl TokenSource for MskIam {
    fn token(&self) -> Result<Token, TokenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| TokenError::Failed("the system's clock stands before 1970".into()))?;
        self.token_at(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
    }
}

/// AWS credentials.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access key's id; no secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session's token, of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Where AWS credentials come from.
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// Credentials that are valid now.
    ///
    /// # Errors
    /// [`TokenError::NoCredentials`], in words that hold no secret.
    fn credentials(&self) -> Result<Credentials, TokenError>;
}

/// The environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), then the profile `AWS_PROFILE`
/// (or `default`) of `AWS_SHARED_CREDENTIALS_FILE` (or `~/.aws/credentials`).
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultCredentials;

impl CredentialSource for DefaultCredentials {
    fn credentials(&self) -> Result<Credentials, TokenError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            return Ok(Credentials {
                access_key_id: id,
                secret_access_key: secret.into(),
                session_token: variable("AWS_SESSION_TOKEN").map(Secret::from),
            });
        }
        let file = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let file = file.or_else(|| Some(std::env::home_dir()?.join(".aws/credentials")));
        let file = file.ok_or_else(|| TokenError::NoCredentials("there is no home directory".into()))?;
        from_file(&file, &variable("AWS_PROFILE").unwrap_or_else(|| "default".into()))
    }
}

fn from_file(file: &Path, profile: &str) -> Result<Credentials, TokenError> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| TokenError::NoCredentials(format!("{}: {error}", file.display())))?;
    from_profile(&text, profile)
        .ok_or_else(|| TokenError::NoCredentials(format!("{} has no keys for profile {profile}", file.display())))
}

/// The keys of one section of an INI file.
fn from_profile(text: &str, profile: &str) -> Option<Credentials> {
    let mut section = "";
    let (mut id, mut secret, mut session) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim();
        } else if section == profile
            && let Some((name, value)) = line.split_once('=')
        {
            match name.trim() {
                "aws_access_key_id" => id = Some(value.trim()),
                "aws_secret_access_key" => secret = Some(value.trim()),
                "aws_session_token" => session = Some(value.trim()),
                _ => {}
            }
        }
    }
    Some(Credentials {
        access_key_id: id?.into(),
        secret_access_key: secret?.into(),
        session_token: session.map(Secret::from),
    })
}

/// A GET request to presign: everything is in its URL.
struct Request<'a> {
    host: &'a str,
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    service: &'a str,
    region: &'a str,
    body_hash: &'a str,
    expires_seconds: i64,
}

impl Request<'_> {
    /// The URL with its signature, for the second `seconds` since 1970.
    fn presign(&self, credentials: &Credentials, seconds: i64) -> Result<String, TokenError> {
        let (date, time) = date_and_time(seconds);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let mut query: Vec<(String, String)> = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &format!("{}/{scope}", credentials.access_key_id)),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &self.expires_seconds.to_string()),
            ("X-Amz-SignedHeaders", "host"),
        ]
        .iter()
        .chain(credentials.session_token.as_ref().map(|token| ("X-Amz-Security-Token", token.expose())).as_ref())
        .chain(self.query)
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
        // Sorted by name: the order is part of what is signed.
        query.sort();
        let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let canonical = format!("GET\n{}\n{query}\nhost:{}\n\nhost\n{}", self.path, self.host, self.body_hash);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let key = signing_key(credentials.secret_access_key.expose(), [&date, self.region, self.service])?;
        let signature = hex(&hmac(&key, &to_sign)?);
        Ok(format!("https://{}{}?{query}&X-Amz-Signature={signature}", self.host, self.path))
    }
}

/// The key for one day, region and service.
fn signing_key(secret: &str, scope: [&str; 3]) -> Result<Vec<u8>, TokenError> {
    let first = format!("AWS4{secret}").into_bytes();
    scope.into_iter().chain(["aws4_request"]).try_fold(first, |key, part| hmac(&key, part))
}

fn hmac(key: &[u8], text: &str) -> Result<Vec<u8>, TokenError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| TokenError::Failed(error.to_string()))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// RFC 3986: everything but unreserved characters.
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
        encoded
    })
}

/// `20130524` and `20130524T000000Z`, in the Gregorian calendar.
fn date_and_time(seconds: i64) -> (String, String) {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March, in eras of 400 years: leap days fall on the ends.
    let day = days + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day_of_month:02}");
    let time = format!("{date}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    (date, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(Option<&'static str>);

    impl CredentialSource for Fixed {
        fn credentials(&self) -> Result<Credentials, TokenError> {
            Ok(Credentials {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
                secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
                session_token: self.0.map(Secret::from),
            })
        }
    }

    /// The example of AWS's page "Authenticating requests: using query parameters".
    #[test]
    fn the_documented_presigned_url_has_the_documented_signature() {
        let request = Request {
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: &[],
            service: "s3",
            region: "us-east-1",
            body_hash: "UNSIGNED-PAYLOAD",
            expires_seconds: 86_400,
        };
        let url = request.presign(&Fixed(None).credentials().unwrap(), 1_369_353_600).unwrap();
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    /// The example of AWS's page "Deriving the signing key".
    #[test]
    fn the_documented_key_is_derived() {
        let key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ["20120215", "us-east-1", "iam"]).unwrap();
        assert_eq!(hex(&key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    /// Computed apart from this code, with Python's `hmac`, `hashlib.sha256` and `urllib.parse.quote(safe="-_.~")`, by the
    /// steps of AWS's page "Create a signed AWS API request".
    #[test]
    fn a_token_is_the_presigned_connect_request() {
        let source = MskIam::with_credentials("eu-central-1", Arc::new(Fixed(Some("session/token+with=signs"))));
        let token = source.token_at(1_767_323_045).unwrap();
        assert_eq!(token.expires_at_ms, (1_767_323_045 + 900) * 1000);
        assert!(!token.value.expose().contains('='), "no padding");
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token.value.expose()).unwrap()).unwrap();
        let (signed, agent) = url.split_once("&User-Agent=").unwrap();
        assert_eq!(
            signed,
            "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2Feu-central-1%2Fkafka-cluster%2Faws4_request\
             &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-Security-Token=session%2Ftoken%2Bwith%3Dsigns\
             &X-Amz-SignedHeaders=host\
             &X-Amz-Signature=8c9847034d4e29fff9b0b53eeefeaef23c92a2e4a285f007edce241e81cdf596"
        );
        assert_eq!(agent, concat!("millpond%2F", env!("CARGO_PKG_VERSION")));
        assert!(!format!("{token:?}").contains(token.value.expose()));
    }

    #[test]
    fn dates_follow_the_calendar() {
        let date = |seconds| date_and_time(seconds).1;
        assert_eq!(date(0), "19700101T000000Z");
        assert_eq!(date(951_782_399), "20000228T235959Z");
        assert_eq!(date(951_782_400), "20000229T000000Z");
        assert_eq!(date(4_107_542_399), "21000228T235959Z");
        assert_eq!(date(4_107_542_400), "21000301T000000Z");
    }

    #[test]
    fn a_profile_gives_its_own_keys() {
        let text = "# keys\n[default]\naws_access_key_id = A\naws_secret_access_key=a=\n\n[ other ]\n\
                    aws_access_key_id=B\naws_secret_access_key = b\naws_session_token = t\n[half]\naws_access_key_id=C\n";
        let found = |profile| from_profile(text, profile);
        let keys = |profile| found(profile).map(|c| (c.access_key_id, c.secret_access_key.expose().to_owned()));
        assert_eq!(keys("default"), Some(("A".into(), "a=".into())));
        assert_eq!(keys("other"), Some(("B".into(), "b".into())));
        assert_eq!(found("other").and_then(|c| c.session_token), Some("t".into()));
        assert!(found("half").is_none() && found("missing").is_none());
    }
}
