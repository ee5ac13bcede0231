//! The redaction application.
