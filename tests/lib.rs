//! The suites that need a real Kafka, a real PostgreSQL or the compiler; see the `[[test]]` entries.
