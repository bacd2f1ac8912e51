//! The whole pipeline, tested on real Kafka, a real schema registry and real TimescaleDB.
