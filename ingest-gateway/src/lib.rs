//! HTTP to Kafka: posted events, validated, published, acknowledged.
