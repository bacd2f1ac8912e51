//! The whole pipeline, on real Kafka, a real schema registry and real TimescaleDB. Each
//! test has topics, consumer groups and a database of its own.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod cached_answers;
#[cfg(test)]
mod client;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod deduplication;
#[cfg(test)]
mod erase;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod foreign_producers;
#[cfg(test)]
mod injection;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod live;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod page;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod refused_rows;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod rollups_equal_raw;
#[cfg(test)]
mod too_many_refused;
#[cfg(test)]
mod watermarks;

/// The fault suite runs services out of this program, which are to use memory as
/// `flowmeter` does.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
