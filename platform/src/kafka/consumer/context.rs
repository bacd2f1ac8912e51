//! librdkafka's callbacks: they take notes and return.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::types::RDKafkaRespErr;

use super::TopicPartition;
use super::progress::Fetched;
use crate::kafka::client;
use crate::telemetry::names;

/// A change of the assignment that waits for the owner.
pub(super) enum Rebalance {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
}

impl Rebalance {
    pub(super) fn partitions(&self) -> &[TopicPartition] {
        match self {
            Self::Assigned(partitions) | Self::Revoked(partitions) | Self::Lost(partitions) => {
                partitions
            }
        }
    }
}

pub(super) struct GroupContext {
    group: String,
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// How far each partition is fetched, as the statistics said last.
    fetched: Mutex<BTreeMap<TopicPartition, Fetched>>,
    /// The owner is gone: answer rebalances here.
    alone: AtomicBool,
}

impl GroupContext {
    pub(super) fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            rebalances: Mutex::default(),
            fetched: Mutex::default(),
            alone: AtomicBool::new(false),
        }
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances().pop_front()
    }

    pub(super) fn answer_alone(&self) {
        self.alone.store(true, Ordering::Relaxed);
    }

    /// A partition of another member is not our lag: the gauge must not stay at its last value.
    pub(super) fn forget(&self, partitions: &[TopicPartition]) {
        let mut fetched = locked(&self.fetched);
        for partition in partitions {
            self.record_lag(&partition.topic, partition.partition, 0);
            fetched.remove(partition);
        }
    }

    pub(super) fn fetched(&self, partition: &TopicPartition) -> Option<Fetched> {
        locked(&self.fetched).get(partition).copied()
    }

    fn record_fetched(&self, topic: &str, partition: &Partition) {
        if partition.fetch_state == "active" && partition.next_offset >= 0 {
            let fetched = Fetched {
                next: partition.next_offset,
                at: Instant::now(),
            };
            let partition = TopicPartition::new(topic, partition.partition);
            locked(&self.fetched).insert(partition, fetched);
        }
    }

    fn record_lag(&self, topic: &str, partition: i32, lag: i64) {
        #[allow(clippy::cast_precision_loss)]
        metrics::gauge!(
            names::CONSUMER_LAG,
            "group" => self.group.clone(),
            "topic" => topic.to_owned(),
            "partition" => partition.to_string()
        )
        .set(lag as f64);
    }

    fn rebalances(&self) -> MutexGuard<'_, VecDeque<Rebalance>> {
        locked(&self.rebalances)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values() {
                if let Some(lag) = lag(partition) {
                    self.record_lag(&topic.topic, partition.partition, lag);
                }
                self.record_fetched(&topic.topic, partition);
            }
        }
    }
}

impl ConsumerContext for GroupContext {
    /// Replaces the library's own, which would assign and unassign at once.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assigns = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.alone.load(Ordering::Relaxed) {
            let answered = if assigns {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(list)
            };
            return super::log_close(answered);
        }
        let partitions = partitions_of(list);
        let rebalance = if assigns {
            Rebalance::Assigned(partitions)
        } else if consumer.assignment_lost() {
            Rebalance::Lost(partitions)
        } else {
            Rebalance::Revoked(partitions)
        };
        self.rebalances().push_back(rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            // Nothing to commit.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => tracing::debug!(%error, "a hint of offsets was not taken"),
        }
    }
}

pub(super) fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition::new(element.topic(), element.partition()))
        .collect()
}

/// Records not yet handed to the owner, of a partition being read.
///
/// librdkafka's own figure is of no use: it compares with what the consumer
/// committed, and the offsets are committed elsewhere (in a transaction, or in the
/// database). Marks of transactions count as records in the log but are never
/// handed out, so a partition fetched to its end has no lag.
fn lag(partition: &Partition) -> Option<i64> {
    if partition.partition < 0 || partition.fetch_state != "active" {
        return None;
    }
    let end = if partition.ls_offset >= 0 {
        partition.ls_offset
    } else {
        partition.hi_offset
    };
    if end < 0 {
        return None;
    }
    if partition.fetchq_cnt == 0 && partition.next_offset >= end {
        return Some(0);
    }
    let position = if partition.app_offset >= 0 {
        partition.app_offset
    } else {
        partition.next_offset - partition.fetchq_cnt
    };
    Some((end - position).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(next: i64, app: i64, queued: i64) -> Partition {
        Partition {
            fetch_state: "active".to_owned(),
            ls_offset: 100,
            hi_offset: 120,
            next_offset: next,
            app_offset: app,
            fetchq_cnt: queued,
            ..Partition::default()
        }
    }

    #[test]
    fn lag_is_what_the_owner_has_not_got_yet() {
        assert_eq!(lag(&partition(100, 40, 60)), Some(60));
        assert_eq!(lag(&partition(50, -1001, 10)), Some(60));
    }

    #[test]
    fn a_mark_of_a_transaction_at_the_end_is_no_lag() {
        assert_eq!(lag(&partition(100, 99, 0)), Some(0));
    }

    #[test]
    fn a_partition_not_being_read_has_no_lag_of_ours() {
        let stopped = Partition {
            fetch_state: "none".to_owned(),
            ..partition(1, 1, 0)
        };
        assert_eq!(lag(&stopped), None);
    }
}
