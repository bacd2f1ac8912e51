//! Every metric's name, with its help text, its unit and its kind.
//!
//! Labels are routes, kinds and reasons: sets that are known beforehand.
//! Tenants, users and raw paths are never labels.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Events accepted, by `kind`.
pub const EVENTS_ACCEPTED: &str = "flowmeter_events_accepted_total";
/// Events refused, by `kind` and `code`.
pub const EVENTS_REFUSED: &str = "flowmeter_events_refused_total";
/// HTTP answers, by `service`, `method`, `route` and `status`.
pub const HTTP_REQUESTS: &str = "flowmeter_http_requests_total";
/// Seconds to an HTTP answer's head, by `service`, `method` and `route`.
pub const HTTP_REQUEST_DURATION: &str = "flowmeter_http_request_duration_seconds";
/// Requests refused for their token or the lack of one, by `reason`.
pub const TOKENS_REFUSED: &str = "flowmeter_tokens_refused_total";
/// Reads of the key set that tokens are verified with, by `outcome` (`read`, `failed`).
pub const KEY_SET_READS: &str = "flowmeter_key_set_reads_total";
/// Seconds to the broker's acknowledgement, by `kind`.
pub const PUBLISH_DURATION: &str = "flowmeter_publish_duration_seconds";
/// Records the broker did not acknowledge, by `reason`.
pub const PUBLISH_FAILURES: &str = "flowmeter_publish_failures_total";
/// Records admitted, by `kind`.
pub const RECORDS_ADMITTED: &str = "flowmeter_records_admitted_total";
/// Records whose event was there before and says the same, by `kind`.
pub const DUPLICATES: &str = "flowmeter_duplicates_total";
/// Ids of events that the aggregator knows.
pub const KNOWN_IDS: &str = "flowmeter_deduplication_ids";
/// Records refused to the dead letters, by `reason`.
pub const DEAD_LETTERS: &str = "flowmeter_dead_letters_total";
/// Records not yet consumed, by `group`, `topic` and `partition`.
pub const CONSUMER_LAG: &str = "flowmeter_consumer_lag_records";
/// Consumer sessions that ended, by `service` and `outcome`.
pub const CONSUMER_SESSIONS: &str = "flowmeter_consumer_sessions_total";
/// Seconds of one flush of the aggregator.
pub const AGGREGATOR_FLUSH_DURATION: &str = "flowmeter_aggregator_flush_duration_seconds";
/// Seconds from a record's log time until its rollup delta is published.
pub const ROLLUP_DELAY: &str = "flowmeter_rollup_delay_seconds";
/// Partitions that are not read on, by `reason`: `registry` (a schema cannot be looked up
/// now), `dead_letters` (too large a share of its records is refused).
pub const PARTITIONS_HELD: &str = "flowmeter_partitions_held";
/// The oldest watermark of the partitions that this aggregator reads, seconds since 1970.
pub const WATERMARK: &str = "flowmeter_watermark_timestamp_seconds";
/// Rollup deltas the aggregator published.
pub const AGGREGATOR_DELTAS: &str = "flowmeter_aggregator_deltas_total";
/// Seconds of one batch's database transaction in the sink.
pub const SINK_BATCH_DURATION: &str = "flowmeter_sink_batch_duration_seconds";
/// Rows the sink wrote, by `table`.
pub const SINK_ROWS: &str = "flowmeter_sink_rows_total";
/// Seconds of a database query, by `query`.
pub const QUERY_DURATION: &str = "flowmeter_query_duration_seconds";
/// Answers of the query API, by `query` and how they came about (`outcome`).
pub const CACHE_ANSWERS: &str = "flowmeter_cache_answers_total";
/// Bytes of answers that this process keeps.
pub const CACHE_BYTES: &str = "flowmeter_cache_bytes";
/// 1 while the database's changes are listened to, so that answers may be kept; otherwise 0.
pub const CACHE_LISTENING: &str = "flowmeter_cache_listening";
/// Caches of this process whose Redis is away.
pub const CACHE_FALLBACK: &str = "flowmeter_cache_fallback";
/// Calls of Redis for answers that failed.
pub const CACHE_REDIS_ERRORS: &str = "flowmeter_cache_redis_errors_total";
/// Exports that are running.
pub const EXPORTS_RUNNING: &str = "flowmeter_exports_running";
/// Exports that ended, by `format` and `outcome` (`complete`, `abandoned` by the client, `failed`).
pub const EXPORTS: &str = "flowmeter_exports_total";
/// Rows that were exported, by `kind`.
pub const EXPORT_ROWS: &str = "flowmeter_export_rows_total";
/// Seconds from a record's log time until it is stored.
pub const END_TO_END_DELAY: &str = "flowmeter_end_to_end_delay_seconds";
/// Requests refused by a rate limit, by `class` of calls and `level` (organization or user).
pub const RATE_LIMIT_REFUSALS: &str = "flowmeter_rate_limit_refusals_total";
/// Limiters of this process that count alone because their Redis is away.
pub const RATE_LIMIT_FALLBACK: &str = "flowmeter_rate_limit_fallback";
/// Receipts of accepted events in the gateway's memory.
pub const RECEIPTS_KEPT: &str = "flowmeter_receipts_kept";
/// Events that were to be waited for until they are stored, by `outcome`.
pub const WAITS: &str = "flowmeter_waits_total";
/// Seconds from an event's acceptance until it was seen to be stored, of events waited for.
pub const WAIT_DURATION: &str = "flowmeter_wait_duration_seconds";
/// Always 1, with the `version` as label.
pub const BUILD_INFO: &str = "flowmeter_build_info";
/// Open HTTP connections.
pub const HTTP_CONNECTIONS: &str = "flowmeter_http_connections";
/// Calls let in by the overload limits and not answered yet.
pub const REQUESTS_IN_FLIGHT: &str = "flowmeter_http_requests_in_flight";
/// Memory reserved for bodies and the records made of them.
pub const BYTES_IN_FLIGHT: &str = "flowmeter_http_bytes_in_flight";
/// Calls answered with 503 at once, by `cause`: `requests` or `bytes`.
pub const OVERLOAD_REFUSALS: &str = "flowmeter_overload_refusals_total";

/// Attempts at jobs, by `job` and `outcome`.
pub const JOB_RUNS: &str = "flowmeter_job_runs_total";
/// Seconds of an attempt at a job, by `job`.
pub const JOB_DURATION: &str = "flowmeter_job_duration_seconds";
/// When a job last succeeded, seconds since 1970, by `job`.
pub const JOB_LAST_SUCCESS: &str = "flowmeter_job_last_success_timestamp_seconds";
/// 1 in the process that runs the jobs on schedule, 0 in those that stand by.
pub const JOBS_LEADER: &str = "flowmeter_jobs_leader";
/// Rollups that were not as the raw rows say, and were healed, by `window`.
pub const ROLLUPS_HEALED: &str = "flowmeter_rollups_healed_total";
/// Rows that retention deleted one by one, by `table`.
pub const RETENTION_ROWS: &str = "flowmeter_retention_deleted_rows_total";
/// Chunks that retention dropped, by `table`.
pub const RETENTION_CHUNKS: &str = "flowmeter_retention_dropped_chunks_total";
/// Subjects of which a condition of the health check is true, by `condition`.
pub const ALERTS_FIRING: &str = "flowmeter_alerts_firing";
/// Alert messages that the webhook has not taken yet.
pub const ALERTS_UNDELIVERED: &str = "flowmeter_alerts_undelivered";
/// Bytes of a table with its indexes, by `table`.
pub const TABLE_BYTES: &str = "flowmeter_table_bytes";
/// Chunks of a table, by `table`.
pub const TABLE_CHUNKS: &str = "flowmeter_table_chunks";
/// Bytes of the database.
pub const DATABASE_BYTES: &str = "flowmeter_database_bytes";

/// Live streams, by `transport` (`websocket`, `sse`).
pub const LIVE_CONNECTIONS: &str = "flowmeter_live_connections";
/// Messages handed to live streams, by `transport`.
pub const LIVE_MESSAGES: &str = "flowmeter_live_messages_total";
/// Bytes of these messages, by `transport`.
pub const LIVE_BYTES: &str = "flowmeter_live_bytes_total";
/// Live streams that had to begin anew, by `reason`.
pub const LIVE_GAPS: &str = "flowmeter_live_gaps_total";
/// Rollups held in memory for live views.
pub const LIVE_ROWS: &str = "flowmeter_live_rows";
/// Seconds from start until the log was read as far back as live views reach.
pub const LIVE_WARM_UP: &str = "flowmeter_live_warm_up_seconds";
/// Seconds from the log time of a record of rollup deltas until it was read for live views.
pub const LIVE_READ_DELAY: &str = "flowmeter_live_read_delay_seconds";
/// Seconds from an event's log time until it was pushed to a client: of the oldest event of
/// each delta, so at most.
pub const LIVE_PUSH_DELAY: &str = "flowmeter_live_push_delay_seconds";

/// Bounds of the histogram buckets, in seconds: fine below a second, where
/// the promises are, and up to the timeouts.
pub const DURATION_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Bounds of the delay's buckets, in seconds: a backlog may be hours old.
pub const DELAY_BUCKETS: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0,
];

/// Tells the installed recorder each metric's help text and unit.
pub(super) fn describe() {
    describe_counter!(EVENTS_ACCEPTED, Unit::Count, "Events accepted, by kind.");
    describe_counter!(
        EVENTS_REFUSED,
        Unit::Count,
        "Events refused, by kind and code."
    );
    describe_counter!(
        HTTP_REQUESTS,
        Unit::Count,
        "HTTP answers, by service, method, matched route and status."
    );
    describe_histogram!(
        HTTP_REQUEST_DURATION,
        Unit::Seconds,
        "Time from a request's head to its answer's head."
    );
    describe_counter!(
        TOKENS_REFUSED,
        Unit::Count,
        "Requests refused for their token or the lack of one, by reason."
    );
    describe_counter!(
        KEY_SET_READS,
        Unit::Count,
        "Reads of the key set that tokens are verified with, by outcome."
    );
    describe_histogram!(
        PUBLISH_DURATION,
        Unit::Seconds,
        "Time until the broker acknowledged a record, by kind."
    );
    describe_counter!(
        PUBLISH_FAILURES,
        Unit::Count,
        "Records the broker did not acknowledge, by reason."
    );
    describe_counter!(RECORDS_ADMITTED, Unit::Count, "Records admitted, by kind.");
    describe_counter!(
        DUPLICATES,
        Unit::Count,
        "Records whose event was there before and says the same, by kind."
    );
    describe_gauge!(
        KNOWN_IDS,
        Unit::Count,
        "Ids of events that the aggregator knows."
    );
    describe_counter!(
        DEAD_LETTERS,
        Unit::Count,
        "Records refused to the dead letters, by reason."
    );
    describe_gauge!(
        CONSUMER_LAG,
        Unit::Count,
        "Records not yet consumed, by group, topic and partition."
    );
    describe_counter!(
        CONSUMER_SESSIONS,
        Unit::Count,
        "Consumer sessions that ended, by service and outcome."
    );
    describe_histogram!(
        AGGREGATOR_FLUSH_DURATION,
        Unit::Seconds,
        "Time of one flush, transaction included."
    );
    describe_histogram!(
        ROLLUP_DELAY,
        Unit::Seconds,
        "Time from a record's log time until its rollup delta is published."
    );
    describe_gauge!(
        PARTITIONS_HELD,
        Unit::Count,
        "Partitions that are not read on, by reason."
    );
    describe_gauge!(
        WATERMARK,
        Unit::Seconds,
        "The oldest watermark of the partitions being read, seconds since 1970."
    );
    describe_counter!(AGGREGATOR_DELTAS, Unit::Count, "Rollup deltas published.");
    describe_histogram!(
        SINK_BATCH_DURATION,
        Unit::Seconds,
        "Time of one batch's database transaction."
    );
    describe_counter!(SINK_ROWS, Unit::Count, "Rows written, by table.");
    describe_histogram!(
        QUERY_DURATION,
        Unit::Seconds,
        "Time of a database query, by query."
    );
    describe_gauge!(HTTP_CONNECTIONS, Unit::Count, "Open HTTP connections.");
    describe_counter!(
        CACHE_ANSWERS,
        Unit::Count,
        "Answers of the query API, by query and outcome: hit, shared, coalesced, miss, bypass, not_modified."
    );
    describe_gauge!(
        CACHE_BYTES,
        Unit::Bytes,
        "Bytes of answers that this process keeps."
    );
    describe_gauge!(
        CACHE_LISTENING,
        Unit::Count,
        "1 while changes are listened to, so that answers may be kept."
    );
    describe_gauge!(
        CACHE_FALLBACK,
        Unit::Count,
        "Caches of this process whose Redis is away."
    );
    describe_counter!(
        CACHE_REDIS_ERRORS,
        Unit::Count,
        "Calls of Redis for answers that failed."
    );
    describe_gauge!(EXPORTS_RUNNING, Unit::Count, "Exports that are running.");
    describe_counter!(
        EXPORTS,
        Unit::Count,
        "Exports that ended, by format and outcome."
    );
    describe_counter!(EXPORT_ROWS, Unit::Count, "Rows exported, by kind.");
    describe_histogram!(
        END_TO_END_DELAY,
        Unit::Seconds,
        "Time from a record's log time until it is stored."
    );
    describe_counter!(
        RATE_LIMIT_REFUSALS,
        Unit::Count,
        "Requests refused by a rate limit, by class and level."
    );
    describe_gauge!(
        RATE_LIMIT_FALLBACK,
        Unit::Count,
        "Limiters that count alone because Redis is away."
    );
    describe_gauge!(
        RECEIPTS_KEPT,
        Unit::Count,
        "Receipts of accepted events in the gateway's memory."
    );
    describe_counter!(
        WAITS,
        Unit::Count,
        "Events to be waited for until stored, by outcome."
    );
    describe_histogram!(
        WAIT_DURATION,
        Unit::Seconds,
        "Time from an event's acceptance until it was seen stored, of events waited for."
    );
    describe_gauge!(
        REQUESTS_IN_FLIGHT,
        Unit::Count,
        "Calls let in by the overload limits and not answered yet."
    );
    describe_gauge!(
        BYTES_IN_FLIGHT,
        Unit::Bytes,
        "Memory reserved for bodies and the records made of them."
    );
    describe_counter!(
        OVERLOAD_REFUSALS,
        Unit::Count,
        "Calls refused for overload, by cause."
    );
    describe_counter!(
        JOB_RUNS,
        Unit::Count,
        "Attempts at jobs, by job and outcome."
    );
    describe_histogram!(
        JOB_DURATION,
        Unit::Seconds,
        "Time of an attempt at a job, by job."
    );
    describe_gauge!(
        JOB_LAST_SUCCESS,
        Unit::Seconds,
        "When a job last succeeded, seconds since 1970, by job."
    );
    describe_gauge!(
        JOBS_LEADER,
        Unit::Count,
        "1 in the process that runs the jobs on schedule, 0 in those that stand by."
    );
    describe_counter!(
        ROLLUPS_HEALED,
        Unit::Count,
        "Rollups that were not as the raw rows say, and were healed, by window."
    );
    describe_counter!(
        RETENTION_ROWS,
        Unit::Count,
        "Rows that retention deleted one by one, by table."
    );
    describe_counter!(
        RETENTION_CHUNKS,
        Unit::Count,
        "Chunks that retention dropped, by table."
    );
    describe_gauge!(
        ALERTS_FIRING,
        Unit::Count,
        "Subjects of which a condition of the health check is true, by condition."
    );
    describe_gauge!(
        ALERTS_UNDELIVERED,
        Unit::Count,
        "Alert messages that the webhook has not taken yet."
    );
    describe_gauge!(
        TABLE_BYTES,
        Unit::Bytes,
        "Size of a table with its indexes, by table."
    );
    describe_gauge!(TABLE_CHUNKS, Unit::Count, "Chunks of a table, by table.");
    describe_gauge!(DATABASE_BYTES, Unit::Bytes, "Size of the database.");
    describe_gauge!(LIVE_CONNECTIONS, Unit::Count, "Live streams, by transport.");
    describe_counter!(
        LIVE_MESSAGES,
        Unit::Count,
        "Messages handed to live streams, by transport."
    );
    describe_counter!(
        LIVE_BYTES,
        Unit::Bytes,
        "Bytes handed to live streams, by transport."
    );
    describe_counter!(
        LIVE_GAPS,
        Unit::Count,
        "Live streams that had to begin anew, by reason."
    );
    describe_gauge!(
        LIVE_ROWS,
        Unit::Count,
        "Rollups held in memory for live views."
    );
    describe_gauge!(
        LIVE_WARM_UP,
        Unit::Seconds,
        "Time from start until the log was read as far back as live views reach."
    );
    describe_histogram!(
        LIVE_READ_DELAY,
        Unit::Seconds,
        "Time from the log time of rollup deltas until they were read for live views."
    );
    describe_histogram!(
        LIVE_PUSH_DELAY,
        Unit::Seconds,
        "Time from an event's log time until it was pushed to a client, of each delta's oldest."
    );
    describe_gauge!(BUILD_INFO, Unit::Count, "Always 1; the version is a label.");
}
