//! The loader application.
