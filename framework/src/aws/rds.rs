//! Tokens for PostgreSQL on RDS: a presigned request for `rds-db:connect`, in the place of a password.

use std::sync::Arc;

use super::sign::{EMPTY_BODY, Request};
use super::{CredentialError, CredentialSource, now};
use crate::secret::Secret;

/// How long RDS takes a token, in seconds. A connection may last longer.
const EXPIRY_SECONDS: i64 = 900;

/// Makes tokens for one user of one database server.
#[derive(Debug, Clone)]
pub struct RdsToken {
    region: String,
    authority: String,
    user: String,
    credentials: Arc<dyn CredentialSource>,
}

impl RdsToken {
    /// For `user` at `host:port`, which must be the server's own name: it is signed.
    pub fn new(
        region: impl Into<String>,
        authority: impl Into<String>,
        user: impl Into<String>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Self {
        Self { region: region.into(), authority: authority.into(), user: user.into(), credentials }
    }

    /// A token that may be used for a quarter of an hour, to send as the password, over TLS only.
    ///
    /// # Errors
    /// [`CredentialError`] when there are no credentials to sign with.
    pub fn make(&self) -> Result<Secret, CredentialError> {
        self.make_at(now())
    }

    fn make_at(&self, seconds: i64) -> Result<Secret, CredentialError> {
        let request = Request {
            host: &self.authority,
            path: "/",
            query: &[("Action", "connect"), ("DBUser", &self.user)],
            service: "rds-db",
            region: &self.region,
            body_hash: EMPTY_BODY,
            expires_seconds: EXPIRY_SECONDS,
        };
        let url = request.presign(&self.credentials.credentials()?, seconds)?;
        Ok(Secret::new(url.strip_prefix("https://").unwrap_or(&url)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Credentials;

    #[derive(Debug)]
    struct Fixed;

    impl CredentialSource for Fixed {
        fn credentials(&self) -> Result<Credentials, CredentialError> {
            Ok(Credentials {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
                secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
                session_token: Some("session/token+with=signs".into()),
                expires_at: None,
            })
        }
    }

    /// Computed apart from this code, with Python's `hmac`, `hashlib` and `urllib.parse.quote`.
    #[test]
    fn a_token_is_the_presigned_connect_request_without_its_scheme() {
        let server = "db.example.eu-central-1.rds.amazonaws.com:5432";
        let token = RdsToken::new("eu-central-1", server, "loader", Arc::new(Fixed)).make_at(1_767_323_045).unwrap();
        assert_eq!(
            token.expose(),
            "db.example.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=loader\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2Feu-central-1%2Frds-db%2Faws4_request\
             &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-Security-Token=session%2Ftoken%2Bwith%3Dsigns\
             &X-Amz-SignedHeaders=host\
             &X-Amz-Signature=abe0b1d50bdffbbc615ca817c1465f736117d4e9128ec99d347b559dd800ad2f"
        );
        assert_eq!(format!("{token:?}"), "***");
    }
}
