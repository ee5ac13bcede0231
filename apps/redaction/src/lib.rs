//! The redaction application: no e-mail address that is in `events` is in `processed_events`.
//!
//! [`Redactor::redact_record`] looks through the value at any depth, object keys, JSON inside strings, the record's key, and
//! header names and values. What is not an address stays byte for byte, and redacting twice is redacting once. What counts
//! as an address, and what does not, stands at [`address`].
//!
//! Limits: the value must be JSON in UTF-8, nested at most [`json::DEPTH_MAX`] deep; anything else is refused, and its dead
//! letter carries no payload. Base64 and compressed text are not looked into, nor are addresses that are spelt out.

pub mod address;
mod counts;
pub mod json;
mod policy;
mod record;
pub mod reference;
mod settings;
mod story;
mod topology;

pub use address::{Class, Mode};
pub use counts::{Counts, Place, Totals};
pub use policy::{MARKER, Policy};
pub use record::{Redacted, Redactor, Refusal};
pub use settings::Settings;
pub use story::RedactionStory;
pub use topology::{EVENTS, PROCESSED_EVENTS, topology};
