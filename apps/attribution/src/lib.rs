//! The attribution application.
