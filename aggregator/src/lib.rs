//! Turns events into rollup deltas, exactly once, in Kafka transactions.
