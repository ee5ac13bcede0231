//! Tokens for OAUTHBEARER from a file that somebody else keeps fresh, as Kubernetes does with the token of a service account
//! that it projects into a pod.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::auth::{Token, TokenError, TokenSource};
use crate::secret::Secret;

/// How long a token counts that does not tell when it ends.
const ASSUMED_LIFE: Duration = Duration::from_mins(5);
/// No token counts longer: whoever writes the file may have replaced one that is not good any more.
const LIFE_MAX: Duration = Duration::from_hours(1);
/// What brokers take of a client at the most (`sasl.server.max.receive.size`).
const BYTES_MAX: u64 = 512 * 1024;

/// Reads a token from a file, anew for each that is asked for. Give it to `Sasl::OAuthBearer`.
///
/// The end and the principal are those of the token where it is a JWT (`exp`, `sub`). Its signature is the broker's business.
/// Any other token counts for five minutes; then the file is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    path: PathBuf,
}

/// What is read of a JWT.
#[derive(Debug, Default, Deserialize)]
struct Claims {
    exp: Option<f64>,
    sub: Option<String>,
}

impl TokenFile {
    /// Tokens from that file, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn read(&self) -> Result<Secret, TokenError> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
        let text = Secret::from(text);
        read.map_err(|error| TokenError::File { path: self.path.clone(), reason: error.to_string() })?;
        Ok(text)
    }

    /// The token in the file, `now` after the Unix epoch.
    fn token_at(&self, now: Duration) -> Result<Token, TokenError> {
        let text = self.read()?;
        let token = text.expose().trim();
        if token.is_empty() {
            return Err(TokenError::Empty { path: self.path.clone() });
        }
        // It becomes part of a message whose parts are told apart by control characters.
        if text.expose().len() as u64 > BYTES_MAX || !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(TokenError::NoToken { path: self.path.clone() });
        }
        let claims = Claims::of(token).unwrap_or_default();
        let ends = claims.exp.map_or(now + ASSUMED_LIFE, seconds);
        if ends <= now {
            return Err(TokenError::Expired { path: self.path.clone(), seconds: now.saturating_sub(ends).as_secs() });
        }
        let ends = ends.min(now + LIFE_MAX).as_millis();
        Ok(Token {
            value: Secret::new(token),
            principal: claims
                .sub
                .filter(|name| !name.chars().any(char::is_control))
                .unwrap_or_else(|| "bearer".to_owned()),
            expires_at_ms: i64::try_from(ends).unwrap_or(i64::MAX),
        })
    }
}

impl Claims {
    /// `None` for what is no JWT.
    fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&claims).ok()
    }
}

/// A JWT's date. What is before the epoch has ended as well, and what a clock cannot reach has no end.
fn seconds(date: f64) -> Duration {
    Duration::try_from_secs_f64(date.max(0.0)).unwrap_or(Duration::MAX)
}

impl TokenSource for TokenFile {
    fn token(&self) -> Result<Token, TokenError> {
        self.token_at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_hours(500_000);

    fn jwt(claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.canary", encode(r#"{"alg":"none"}"#), encode(claims))
    }

    fn read(text: impl AsRef<[u8]>) -> Result<Token, TokenError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        TokenFile::new(file.path()).token_at(NOW)
    }

    /// Milliseconds from now.
    fn left(token: &Token) -> i64 {
        token.expires_at_ms - i64::try_from(NOW.as_millis()).unwrap()
    }

    #[test]
    fn a_jwt_tells_its_end_and_whom_it_stands_for() {
        let text = jwt(r#"{"sub":"system:serviceaccount:shop:fraud","exp":1800000600,"aud":["kafka"]}"#);
        let token = read(format!("{text}\n")).unwrap();
        assert_eq!(
            (token.value.expose(), token.principal.as_str()),
            (text.as_str(), "system:serviceaccount:shop:fraud")
        );
        assert_eq!(left(&token), 600_000);
        assert!(!format!("{token:?}").contains("canary"));
        let half = read(jwt(r#"{"exp":1800000000.5}"#)).unwrap();
        assert_eq!((left(&half), half.principal.as_str()), (500, "bearer"));
    }

    #[test]
    fn a_token_that_lasts_longer_than_an_hour_is_read_again_after_one() {
        for exp in ["1800090000", "1e300", "9223372036854775807"] {
            assert_eq!(left(&read(jwt(&format!(r#"{{"exp":{exp}}}"#))).unwrap()), 3_600_000, "{exp}");
        }
    }

    #[test]
    fn a_token_that_does_not_tell_its_end_counts_for_five_minutes() {
        for text in ["opaque", "a.b.c", "a.b", &jwt("[]"), &jwt(r#"{"exp":"soon"}"#), &jwt(r#"{"sub":"u"}"#)] {
            let token = read(text).unwrap();
            assert_eq!((token.value.expose(), left(&token)), (text, 300_000));
        }
    }

    #[test]
    fn the_file_is_read_for_each_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = TokenFile::new(file.path());
        for text in ["first", "second"] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(source.token().unwrap().value.expose(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_the_file_is_named_without_what_is_in_it() {
        for (found, said) in [
            (read(""), "is empty"),
            (read(" \n"), "is empty"),
            (read("canary canary"), "holds no token"),
            (read("canary\u{1}x"), "holds no token"),
            (read("c".repeat(600 * 1024)), "holds no token"),
            (read(b"canary\xff"), "cannot be read"),
            (read(jwt(r#"{"exp":1799999940,"sub":"canary"}"#)), "ended 60 s ago"),
            (read(jwt(r#"{"exp":1800000000}"#)), "ended 0 s ago"),
            (read(jwt(r#"{"exp":-5}"#)), "ended 1800000000 s ago"),
            (TokenFile::new("/nowhere/token").token_at(NOW), "cannot be read"),
            (TokenFile::new("/").token_at(NOW), "cannot be read"),
        ] {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("sasl.oauthbearer.token.file"), "{said}: {error}");
            assert!(error.contains("path=/") && !error.contains("canary"), "{error}");
        }
    }
}
