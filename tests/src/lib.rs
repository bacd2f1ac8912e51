//! The whole pipeline, on real Kafka, a real schema registry and real TimescaleDB. Each
//! test has topics, consumer groups and a database of its own.

#[cfg(test)]
mod client;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod deduplication;
#[cfg(test)]
mod foreign_producers;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod rollups_equal_raw;
