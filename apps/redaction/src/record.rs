//! Redacts whole records: key, value, header names and header values.

use std::borrow::Cow;

use bytes::Bytes;
use millpond::error::Recovery;
use millpond::record::Headers;

use crate::address::{self, Finding, Mode};
use crate::counts::{Counts, Place};
use crate::json::{self, Malformed};
use crate::policy::Policy;

/// A record without addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The key; null stays null.
    pub key: Option<Bytes>,
    /// The value; null, a tombstone, stays null.
    pub value: Option<Bytes>,
    /// The headers, in order; null values stay null.
    pub headers: Headers,
    /// What was redacted.
    pub counts: Counts,
}

/// Why a record was not redacted. Nothing of the record is quoted, so this may be logged and dead-lettered; the record's own
/// bytes may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The value is not UTF-8.
    #[error("the value is not UTF-8: have the producer send JSON in UTF-8, offset={offset}")]
    NotUtf8 {
        /// The first byte that does not belong.
        offset: usize,
    },
    /// The value is not JSON, or too deep.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Refusal {
    /// A short name for metrics labels and dead-letter headers.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Malformed(Malformed::Unexpected { .. }) => "not_json",
            Self::Malformed(Malformed::TooDeep { .. }) => "too_deep",
        }
    }

    /// Always [`Recovery::SkipRecord`]: the dead letter carries topic, partition and offset, never the payload.
    pub const fn recovery(&self) -> Recovery {
        Recovery::SkipRecord
    }
}

/// Redacts records by one mode and one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redactor {
    mode: Mode,
    policy: Policy,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "policies with keys will make it neither small nor Copy")]
impl Redactor {
    /// A redactor; the default is balanced and masks.
    pub const fn new(mode: Mode, policy: Policy) -> Self {
        Self { mode, policy }
    }

    /// Redacts one record. Bytes without an address are passed on, not copied.
    ///
    /// The value must be JSON in UTF-8 or null. Keys, header names and header values may be anything: JSON is redacted as
    /// JSON, other text as text, and bytes that are not UTF-8 are searched all the same. Redacting the result again
    /// changes nothing.
    ///
    /// # Errors
    /// [`Refusal`] if the value cannot be looked through: dead-letter the record without its bytes.
    ///
    /// # Example
    /// ```
    /// use bytes::Bytes;
    /// use millpond::record::Headers;
    /// use redaction::Redactor;
    ///
    /// let value = Bytes::from_static(br#"{"order_email": "joe\u0040example.com",  "total": 1.50}"#);
    /// let redacted = Redactor::default().redact_record(None, Some(value), &Headers::new())?;
    /// assert_eq!(redacted.value.as_deref(), Some(&br#"{"order_email": "[redacted]",  "total": 1.50}"#[..]));
    /// assert_eq!(redacted.counts.total(), 1);
    /// # Ok::<(), redaction::Refusal>(())
    /// ```
    pub fn redact_record(
        &self,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: &Headers,
    ) -> Result<Redacted, Refusal> {
        let mut counts = Counts::default();
        let value = value.map(|value| self.value(value, &mut counts)).transpose()?;
        let key = key.map(|key| self.loose(key, Place::Key, &mut counts));
        let headers = self.headers(headers, &mut counts);
        Ok(Redacted { key, value, headers, counts })
    }

    /// The addresses in a text, in the redactor's mode.
    pub fn redact_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let findings = address::find(text, self.mode);
        match self.policy.apply(text.as_bytes(), &findings) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    fn value(&self, value: Bytes, counts: &mut Counts) -> Result<Bytes, Refusal> {
        let text = std::str::from_utf8(&value).map_err(|error| Refusal::NotUtf8 { offset: error.valid_up_to() })?;
        let findings = json::find(text, self.mode)?;
        counts.note(Place::Value, &findings);
        Ok(self.applied(value, &findings))
    }

    /// Bytes of unknown form.
    fn loose(&self, bytes: Bytes, place: Place, counts: &mut Counts) -> Bytes {
        if !address::may_hold_address(&bytes) {
            return bytes;
        }
        let findings = self.find_loose(&bytes);
        counts.note(place, &findings);
        self.applied(bytes, &findings)
    }

    fn find_loose(&self, bytes: &[u8]) -> Vec<Finding> {
        match std::str::from_utf8(bytes) {
            Ok(text) => json::find(text, self.mode).unwrap_or_else(|_| address::find(text, self.mode)),
            Err(_) => address::find_in_bytes(bytes, self.mode),
        }
    }

    fn headers(&self, headers: &Headers, counts: &mut Counts) -> Headers {
        let redacted = headers.iter().map(|(name, value)| {
            let findings = address::find(name, self.mode);
            counts.note(Place::Header, &findings);
            let name = String::from_utf8_lossy(&self.policy.apply(name.as_bytes(), &findings)).into_owned();
            (name, value.map(|value| self.loose(value.clone(), Place::Header, counts)))
        });
        redacted.collect()
    }

    fn applied(&self, bytes: Bytes, findings: &[Finding]) -> Bytes {
        if findings.is_empty() { bytes } else { Bytes::from(self.policy.apply(&bytes, findings).into_owned()) }
    }
}

#[cfg(test)]
mod tests;
