//! What the system says of the process. The values come from the `prometheus` crate, on Linux; what they are is said here.

use super::super::{Kind, Metric, Unit};

/// Metrics of the process, which a scrape has besides [`TABLE`](super::TABLE), on Linux. Reading one gives nothing: their values
/// are not the library's.
pub static PROCESS: [Metric; 7] = [
    Metric::of_system(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Processor time that the process has taken",
        Unit::Seconds,
    ),
    Metric::of_system("process_max_fds", Kind::Gauge, "How many files it may open", Unit::Count),
    Metric::of_system("process_open_fds", Kind::Gauge, "How many files it has open", Unit::Count),
    Metric::of_system("process_resident_memory_bytes", Kind::Gauge, "Memory that it has", Unit::Bytes),
    Metric::of_system(
        "process_start_time_seconds",
        Kind::Gauge,
        "When it was started, in seconds since the epoch",
        Unit::Seconds,
    ),
    Metric::of_system("process_threads", Kind::Gauge, "Threads, librdkafka's and RocksDB's included", Unit::Count),
    Metric::of_system("process_virtual_memory_bytes", Kind::Gauge, "Addresses that it has reserved", Unit::Bytes),
];
