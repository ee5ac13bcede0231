//! The loader: Kafka topics into PostgreSQL tables, each record exactly once.
mod batch;
mod bisection;
mod identifier;
mod route;
mod row;
mod statement;

pub mod postgres;

pub use batch::Batch;
pub use identifier::{Identifier, TableName};
pub use route::{Column, ColumnType, Field, Route, RouteError, RouteKind, Routes, SOURCE_COLUMNS};
pub use row::{Cell, Reason, Refused, Row};
