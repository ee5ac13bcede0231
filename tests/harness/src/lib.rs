//! Starts a real Kafka, a real PostgreSQL and the application binaries, and stops them.
