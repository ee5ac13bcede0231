//! What is on the boards, row by row. The order is that in which one looks.

use super::board::Scope::{self, Attribution, Fleet, Fraud, Loader, Redaction};
use super::panel::{Panel, Show};

/// Panels under one title.
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: &'static [Panel],
}

const ALL: &[Scope] = &[Fleet, Redaction, Fraud, Attribution, Loader];
/// Topologies of the library.
const STREAMS: &[Scope] = &[Fleet, Redaction, Fraud, Attribution];
/// Those with stores.
const STATEFUL: &[Scope] = &[Fleet, Fraud, Attribution];

const fn panel(
    title: &'static str,
    show: Show,
    metrics: &'static [&'static str],
    by: &'static [&'static str],
) -> Panel {
    Panel { title, show, metrics, by, only: "", scopes: ALL }
}

impl Panel {
    const fn on(self, scopes: &'static [Scope]) -> Self {
        Self { scopes, ..self }
    }

    const fn only(self, only: &'static str) -> Self {
        Self { only, ..self }
    }
}

pub(super) const ROWS: [Row; 12] = [
    Row { title: "Health", panels: &HEALTH },
    Row { title: "Throughput", panels: &THROUGHPUT },
    Row { title: "Latency", panels: &LATENCY },
    Row { title: "Lag", panels: &LAG },
    Row { title: "Transactions", panels: &TRANSACTIONS },
    Row { title: "State and restore", panels: &STATE },
    Row { title: "RocksDB", panels: &ROCKSDB },
    Row { title: "Kafka client", panels: &KAFKA },
    Row { title: "Errors and dead letters", panels: &ERRORS },
    Row { title: "Process", panels: &PROCESS },
    Row { title: "Business", panels: &BUSINESS },
    Row { title: "PostgreSQL", panels: &POSTGRESQL },
];

const HEALTH: [Panel; 7] = [
    panel("Ready", Show::Smallest, &["millpond_ready"], &["instance"]),
    panel("Live", Show::Smallest, &["millpond_live"], &["instance"]),
    panel("Versions", Show::Sum, &["millpond_build_info"], &["version"]),
    panel("Threads by state", Show::Sum, &["millpond_threads"], &["state"]),
    panel("Tasks by state", Show::Sum, &["millpond_tasks"], &["state"]),
    panel("Silence of loops", Show::Age, &["millpond_heartbeat_timestamp_seconds"], &["instance", "thread"]),
    panel("Clock against Prometheus's", Show::Skew, &["millpond_clock_timestamp_seconds"], &["instance"]),
];

const THROUGHPUT: [Panel; 6] = [
    panel("Records in", Show::Rate, &["millpond_records_consumed_total"], &["topic"]),
    panel("Records out", Show::Rate, &["millpond_records_produced_total"], &["topic"]),
    panel("Records by task", Show::Rate, &["millpond_task_records_processed_total"], &["task"]),
    panel("Late", Show::Rate, &["millpond_records_late_total"], &[]),
    panel("Dropped", Show::Rate, &["millpond_records_dropped_total"], &["reason"]),
    panel("Stream time behind the clock", Show::Age, &["millpond_task_stream_time_seconds"], &["task"]),
];

const LATENCY: [Panel; 6] = [
    panel("End to end", Show::Quantiles, &["millpond_end_to_end_latency_seconds"], &[]),
    panel("End to end, spread", Show::Spread, &["millpond_end_to_end_latency_seconds"], &[]),
    panel("A round of processing", Show::Quantiles, &["millpond_process_seconds"], &[]),
    panel("A poll", Show::Quantiles, &["millpond_poll_seconds"], &[]).on(STREAMS),
    panel("Punctuators", Show::Share, &["millpond_punctuate_seconds"], &["thread"]).on(STREAMS),
    panel(
        "Where the time goes",
        Show::Share,
        &["millpond_poll_seconds", "millpond_process_seconds", "millpond_commit_seconds"],
        &["thread"],
    )
    .on(STREAMS),
];

const LAG: [Panel; 4] = [
    panel("Lag in seconds", Show::Max, &["millpond_consumer_lag_seconds"], &["topic", "partition"]),
    panel("Lag in records", Show::Max, &["millpond_consumer_lag_records"], &["topic", "partition"]),
    panel(
        "Processed, not committed",
        Show::Less,
        &["millpond_consumer_position_offset", "millpond_consumer_committed_offset"],
        &["topic", "partition"],
    ),
    panel("Growth of the log", Show::Slope, &["millpond_consumer_end_offset"], &["topic"]),
];

const TRANSACTIONS: [Panel; 7] = [
    panel("Transactions", Show::Rate, &["millpond_commits_total"], &["result"]),
    panel("Not clean, last 10 minutes", Show::Recent, &["millpond_commits_total"], &["result"])
        .only(", result!=\"ok\""),
    panel("Since the last commit", Show::Age, &["millpond_commit_timestamp_seconds"], &["instance", "thread"]),
    panel("Commit by phase", Show::Quantiles, &["millpond_commit_seconds"], &["phase"]).on(STREAMS),
    panel("Producers replaced, last 10 minutes", Show::Recent, &["millpond_producer_reinits_total"], &["reason"])
        .on(STREAMS),
    panel("Uncommitted", Show::Sum, &["millpond_uncommitted_bytes"], &["instance"]).on(STREAMS),
    panel("Rebalances, last 10 minutes", Show::Recent, &["millpond_rebalances_total"], &["instance"]).on(STREAMS),
];

const STATE: [Panel; 14] = [
    panel("Rows", Show::Sum, &["millpond_store_rows"], &["store"]).on(STATEFUL),
    panel("Size", Show::Sum, &["millpond_store_bytes"], &["store"]).on(STATEFUL),
    panel("Still to replay", Show::Max, &["millpond_restore_remaining_records"], &["task"]),
    panel("Replayed by the running restore", Show::Max, &["millpond_restore_done_records"], &["task"]),
    panel("Replayed", Show::Rate, &["millpond_restored_records_total"], &["instance"]).on(STREAMS),
    panel("Time of the last restore", Show::Max, &["millpond_restore_seconds"], &["task"]).on(STREAMS),
    panel("How tasks started", Show::Sum, &["millpond_task_start"], &["kind", "verified"])
        .only(", figure=\"replayed\"")
        .on(STREAMS),
    panel(
        "Wiped and damaged, since the start",
        Show::Total,
        &["millpond_state_wipes_total", "millpond_state_corruptions_total"],
        &["instance"],
    )
    .on(STREAMS),
    panel(
        "Free on the disk",
        Show::Part,
        &["millpond_state_disk_free_bytes", "millpond_state_disk_size_bytes"],
        &["instance"],
    )
    .on(STREAMS),
    panel("Rows kept in memory", Show::Sum, &["millpond_row_cache_bytes"], &["store"]).on(STATEFUL),
    panel("Missed among rows in memory", Show::Missed, &["millpond_row_cache_reads_total"], &["store"]).on(STATEFUL),
    panel("Operations on stores", Show::Quantiles, &["millpond_store_op_seconds"], &["store", "op"]).on(STATEFUL),
    panel("Queries", Show::Rate, &["millpond_queries_total"], &["result"]).on(STATEFUL),
    panel("Time for queries", Show::Share, &["millpond_query_seconds"], &["thread"]).on(STATEFUL),
];

const ROCKSDB: [Panel; 14] = [
    panel("Table files", Show::Sum, &["millpond_rocksdb_files_bytes", "millpond_rocksdb_live_files_bytes"], &["store"])
        .on(STATEFUL),
    panel("Level-0 files", Show::Max, &["millpond_rocksdb_level0_files"], &["task", "store"]).on(STATEFUL),
    panel("Memtables", Show::Sum, &["millpond_rocksdb_memtables_bytes"], &["store"]).on(STATEFUL),
    panel("Memtables that wait", Show::Max, &["millpond_rocksdb_immutable_memtables"], &["task", "store"]).on(STATEFUL),
    panel("Pending compaction", Show::Max, &["millpond_rocksdb_pending_compaction_bytes"], &["task", "store"])
        .on(STATEFUL),
    panel(
        "At work",
        Show::Sum,
        &["millpond_rocksdb_running_compactions", "millpond_rocksdb_running_flushes"],
        &["instance"],
    )
    .on(STATEFUL),
    panel(
        "Writes held back",
        Show::Max,
        &["millpond_rocksdb_delayed_write_bytes_per_second", "millpond_rocksdb_write_stopped"],
        &["task"],
    )
    .on(STATEFUL),
    panel("Background errors", Show::Total, &["millpond_rocksdb_background_errors_total"], &["task"]).on(STATEFUL),
    panel(
        "Block cache",
        Show::Sum,
        &["millpond_rocksdb_block_cache_bytes", "millpond_rocksdb_block_cache_limit_bytes"],
        &["instance"],
    )
    .on(STATEFUL),
    panel("Missed in the block cache", Show::Missed, &["millpond_rocksdb_block_cache_reads_total"], &["kind"])
        .on(STATEFUL),
    panel("Missed in memtables", Show::Missed, &["millpond_rocksdb_memtable_reads_total"], &[]).on(STATEFUL),
    panel("Files spared by filters", Show::Rate, &["millpond_rocksdb_filter_checks_total"], &["result"]).on(STATEFUL),
    panel(
        "Write buffers",
        Show::Sum,
        &["millpond_rocksdb_write_buffers_bytes", "millpond_rocksdb_write_buffers_limit_bytes"],
        &["instance"],
    )
    .on(STATEFUL),
    panel("Table readers", Show::Sum, &["millpond_rocksdb_table_readers_bytes"], &["store"]).on(STATEFUL),
];

const KAFKA: [Panel; 10] = [
    panel("Clients", Show::Sum, &["millpond_kafka_clients"], &["client"]),
    panel("Connections", Show::Sum, &["millpond_kafka_connections"], &["client", "broker"]),
    panel("Round trips", Show::Max, &["millpond_kafka_round_trip_seconds"], &["client", "broker", "quantile"]),
    panel("Requests", Show::Rate, &["millpond_kafka_requests_total"], &["client", "broker"]),
    panel("Requests in flight", Show::Sum, &["millpond_kafka_requests_in_flight"], &["client", "broker"]),
    panel("Requests queued", Show::Sum, &["millpond_kafka_requests_queued"], &["client", "broker"]),
    panel(
        "Retries, time-outs, disconnects, last 10 minutes",
        Show::Recent,
        &[
            "millpond_kafka_request_retries_total",
            "millpond_kafka_request_timeouts_total",
            "millpond_kafka_request_errors_total",
            "millpond_kafka_disconnects_total",
        ],
        &["client", "broker"],
    ),
    panel(
        "Bytes",
        Show::Rate,
        &["millpond_kafka_sent_bytes_total", "millpond_kafka_received_bytes_total"],
        &["client", "broker"],
    ),
    panel("Records queued", Show::Sum, &["millpond_kafka_queue_records"], &["client"]),
    panel("Bytes queued", Show::Sum, &["millpond_kafka_queue_bytes"], &["client"]),
];

const ERRORS: [Panel; 4] = [
    panel("Errors, last 10 minutes", Show::Recent, &["millpond_errors_total"], &["instance"]),
    panel("Dead letters", Show::Rate, &["millpond_dead_letters_total"], &["reason"]),
    panel("Dead letters, last 10 minutes", Show::Recent, &["millpond_dead_letters_total"], &["reason"]),
    panel("Refused over HTTP, last 10 minutes", Show::Recent, &["millpond_http_refused_total"], &["reason"]),
];

const PROCESS: [Panel; 7] = [
    panel("Memory", Show::Max, &["process_resident_memory_bytes", "process_virtual_memory_bytes"], &["instance"]),
    panel("Processors", Show::Rate, &["process_cpu_seconds_total"], &["instance"]),
    panel("Open files", Show::Part, &["process_open_fds", "process_max_fds"], &["instance"]),
    panel("Threads", Show::Max, &["process_threads"], &["instance"]),
    panel("Running for", Show::Age, &["process_start_time_seconds"], &["instance"]),
    panel("Input waiting", Show::Sum, &["millpond_input_buffer_bytes"], &["instance"]).on(STREAMS),
    panel("Files that may be open", Show::Max, &["process_max_fds"], &["instance"]),
];

const BUSINESS: [Panel; 7] = [
    panel("Addresses redacted", Show::Rate, &["millpond_redactions_total"], &["class"]).on(&[Fleet, Redaction]),
    panel("Addresses redacted, by place", Show::Rate, &["millpond_redactions_total"], &["place"]).on(&[Redaction]),
    panel("Fraud alerts, last 10 minutes", Show::Recent, &["millpond_fraud_alerts_total"], &[]).on(&[Fleet, Fraud]),
    panel("Cart items looked at", Show::Rate, &["millpond_fraud_cart_items_total"], &[]).on(&[Fraud]),
    panel("Orders by channel", Show::Rate, &["millpond_attributions_total"], &["channel"])
        .only(", kind=\"order\"")
        .on(&[Fleet, Attribution]),
    panel("Corrections by channel", Show::Rate, &["millpond_attributions_total"], &["channel"])
        .only(", kind=\"correction\"")
        .on(&[Attribution]),
    panel("Rows loaded", Show::Rate, &["millpond_loader_rows_total"], &["table"]).on(&[Fleet, Loader]),
];

const POSTGRESQL: [Panel; 5] = [
    panel("Time of a batch", Show::Quantiles, &["millpond_loader_write_seconds"], &[]).on(&[Fleet, Loader]),
    panel("Connections to PostgreSQL", Show::Smallest, &["millpond_loader_connections"], &["instance"])
        .on(&[Fleet, Loader]),
    panel(
        "Errors survived, last 10 minutes",
        Show::Recent,
        &["millpond_loader_postgres_errors_total", "millpond_loader_kafka_errors_total"],
        &[],
    )
    .on(&[Loader]),
    panel(
        "COMMITs without an answer, last 10 minutes",
        Show::Recent,
        &["millpond_loader_unknown_commits_total"],
        &["outcome"],
    )
    .on(&[Loader]),
    panel(
        "Rows that were there already, last 10 minutes",
        Show::Recent,
        &["millpond_loader_rows_present_total"],
        &["table"],
    )
    .on(&[Loader]),
];
