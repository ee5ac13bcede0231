//! Redaction: what comes out is of the same form, and has nothing left to redact.

use bytes::Bytes;
use millpond::record::Headers;
use redaction::address::Mode;
use redaction::{Policy, Redactor};
use serde_json::Value;

const MODES: [Mode; 2] = [Mode::Balanced, Mode::Strict];

/// A value, a key and a header.
pub(crate) fn record(bytes: &[u8]) {
    for mode in MODES {
        let redactor = Redactor::new(mode, Policy::Mask);
        let bytes = Bytes::copy_from_slice(bytes);
        let mut headers = Headers::new();
        headers.push("name", Some(bytes.clone()));
        // A key and a header may be anything; a value that is no JSON is refused.
        let loose = redactor.redact_record(Some(bytes.clone()), None, &headers).expect("keys are never refused");
        assert_eq!(loose.headers.iter().count(), 1);
        let Ok(once) = redactor.redact_record(None, Some(bytes.clone()), &Headers::new()) else { continue };
        let once = once.value.expect("a value stays one");
        if serde_json::from_slice::<Value>(&bytes).is_ok() {
            serde_json::from_slice::<Value>(&once).expect("redacted JSON is JSON");
        }
        let twice = redactor.redact_record(None, Some(once.clone()), &Headers::new()).expect("redacted JSON is JSON");
        assert_eq!(twice.value.as_deref(), Some(&*once), "nothing was left");
    }
}

/// A text as it stands.
pub(crate) fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for mode in MODES {
        let redactor = Redactor::new(mode, Policy::Mask);
        let once = redactor.redact_text(text).into_owned();
        assert_eq!(redactor.redact_text(&once), once, "nothing was left");
    }
}
