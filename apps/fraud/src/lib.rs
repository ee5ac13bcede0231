//! The fraud application.
