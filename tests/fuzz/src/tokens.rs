//! The file from which tokens for OAUTHBEARER are read, whoever writes it.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millpond::broker::kafka::{TokenFile, TokenSource as _};
use tempfile::NamedTempFile;

/// No token counts longer.
const LIFE_MAX: Duration = Duration::from_hours(1);
/// No word of an error is so long.
const WORD_MAX: usize = 60;

fn now_ms() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis().cast_signed())
}

/// What is taken for a token can be put into a message of SASL and ends within the hour; what is refused is told without it.
pub(crate) fn file(bytes: &[u8]) {
    static FILE: OnceLock<NamedTempFile> = OnceLock::new();
    let path = FILE.get_or_init(|| NamedTempFile::new().expect("a file")).path();
    std::fs::write(path, bytes).expect("the file is ours");
    let before = now_ms();
    match TokenFile::new(path).token() {
        Ok(token) => {
            let text = token.value.expose();
            assert!(!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()));
            assert!(!token.principal.chars().any(char::is_control), "{:?}", token.principal);
            let ends = i128::from(token.expires_at_ms);
            assert!(ends >= before && ends <= now_ms() + LIFE_MAX.as_millis().cast_signed(), "{ends}");
        }
        Err(error) => {
            let told = error.to_string();
            let text = String::from_utf8_lossy(bytes);
            let long = text.split_whitespace().find(|word| word.len() > WORD_MAX && told.contains(word));
            assert_eq!(long, None, "{told}");
        }
    }
}
