//! Tokens for Amazon MSK with IAM: a presigned request for `kafka-cluster:Connect`, by AWS Signature Version 4.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::auth::{Token, TokenError, TokenSource};
use crate::aws::sign::{EMPTY_BODY, Request, encode};
use crate::aws::{self, CredentialSource, DefaultChain, Renewed};
use crate::secret::Secret;

/// How long a token is valid, in seconds: as AWS's own signers make them.
const EXPIRY_SECONDS: i64 = 900;

/// Makes MSK IAM tokens. Give it to `Sasl::OAuthBearer`, over TLS.
#[derive(Debug, Clone)]
pub struct MskIam {
    region: String,
    credentials: Arc<dyn CredentialSource>,
}

impl MskIam {
    /// Tokens for clusters in `region`, with the machine's own credentials, see [`DefaultChain`].
    pub fn new(region: impl Into<String>) -> Self {
        let region = region.into();
        let credentials = Renewed::new(DefaultChain::new(region.as_str()));
        Self::with_credentials(region, Arc::new(credentials))
    }

    /// The same as a role, which is taken on with the machine's own credentials.
    pub fn assuming(region: impl Into<String>, role_arn: impl Into<String>) -> Self {
        let region = region.into();
        let credentials = Renewed::new(DefaultChain::new(region.as_str()).assuming(role_arn));
        Self::with_credentials(region, Arc::new(credentials))
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
        // A token does not outlive the credentials that signed it.
        let expires_at = seconds.saturating_add(EXPIRY_SECONDS).min(credentials.expires_at.unwrap_or(i64::MAX));
        Ok(Token {
            value: Secret::new(URL_SAFE_NO_PAD.encode(url)),
            principal: credentials.access_key_id,
            expires_at_ms: expires_at.saturating_mul(1000),
        })
    }
}

impl TokenSource for MskIam {
    fn token(&self) -> Result<Token, TokenError> {
        self.token_at(aws::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{CredentialError, Credentials};

    #[derive(Debug)]
    struct Fixed(Option<i64>);

    impl CredentialSource for Fixed {
        fn credentials(&self) -> Result<Credentials, CredentialError> {
            Ok(Credentials {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
                secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
                session_token: Some("session/token+with=signs".into()),
                expires_at: self.0,
            })
        }
    }

    /// Computed apart from this code, with Python's `hmac`, `hashlib.sha256` and `urllib.parse.quote(safe="-_.~")`, by the
    /// steps of AWS's page "Create a signed AWS API request".
    #[test]
    fn a_token_is_the_presigned_connect_request() {
        let source = MskIam::with_credentials("eu-central-1", Arc::new(Fixed(None)));
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
    fn a_token_ends_with_the_credentials_that_signed_it() {
        let ends = |at| MskIam::with_credentials("eu-west-1", Arc::new(Fixed(Some(at)))).token_at(1_000).unwrap();
        assert_eq!(ends(1_500).expires_at_ms, 1_500_000);
        assert_eq!(ends(9_000).expires_at_ms, 1_900_000);
    }
}
