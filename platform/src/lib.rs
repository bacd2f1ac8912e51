//! What every Flowmeter service stands on: configuration, telemetry, lifecycle, HTTP, authentication, database, Kafka.
