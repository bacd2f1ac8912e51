//! A record's way through Kafka alone: from the producer's queue to a consumer's hand.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use hdrhistogram::Histogram;
use platform::{
    kafka::producer::{EventProducer, ProducerSettings},
    test_support::kafka,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::sleep_until};

use crate::harness::{Run, process::CpuClock, statistics::latencies};

/// Of a record: about what an event has as Avro.
const BYTES: usize = 160;
/// How long the last records are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to send, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    /// A topic of one partition.
    pub(super) topic: String,
    /// Records a second.
    pub(super) rate: u64,
    /// Seconds that count.
    pub(super) seconds: u64,
    /// Seconds before, which do not.
    pub(super) warm_up: u64,
}

/// Runs a plan; delays are in `values`, in milliseconds.
///
/// # Errors
/// If a record does not come back.
pub(super) fn run(plan: &Plan) -> anyhow::Result<Run> {
    let consumer: BaseConsumer = kafka()
        .base()
        .set("group.id", &plan.topic)
        .set("enable.auto.commit", "false")
        .create()?;
    let (_, end) = consumer.fetch_watermarks(&plan.topic, 0, PATIENCE)?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(&plan.topic, 0, Offset::Offset(end))?;
    consumer.assign(&partitions)?;
    let (began, clock) = (Instant::now(), CpuClock::own());
    let (first, records) = (plan.warm_up * plan.rate, plan.seconds * plan.rate);
    let reading = std::thread::spawn(move || read(&consumer, began, first, records));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(send(plan, began, first + records))?;
    let delays = reading
        .join()
        .map_err(|_| anyhow!("the reader panicked"))??;
    Ok(Run {
        events: records,
        seconds: plan.seconds as f64,
        parts: vec![clock.part("echo")],
        values: latencies(&delays),
    })
}

/// Sends each record when it is due, whatever became of those before. A record begins with the
/// time since `began`, in nanoseconds, at which it was sent.
async fn send(plan: &Plan, began: Instant, records: u64) -> anyhow::Result<()> {
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default())?;
    let mut deliveries = JoinSet::new();
    let mut record = [0; BYTES];
    for number in 0..records {
        let due = began + Duration::from_micros(1_000_000 * number / plan.rate);
        sleep_until(due.into()).await;
        let sent = u64::try_from(began.elapsed().as_nanos())?;
        record[..8].copy_from_slice(&sent.to_le_bytes());
        let delivery = producer.enqueue(&plan.topic, b"", &record, &[])?;
        deliveries.spawn(delivery);
        while let Some(delivered) = deliveries.try_join_next() {
            delivered??;
        }
    }
    while let Some(delivered) = deliveries.join_next().await {
        delivered??;
    }
    Ok(())
}

/// The delays, in microseconds, of `records` records that come after the `first` ones.
fn read(
    consumer: &BaseConsumer,
    began: Instant,
    first: u64,
    records: u64,
) -> anyhow::Result<Histogram<u64>> {
    let mut delays = Histogram::<u64>::new(3)?;
    let (mut seen, mut last) = (0, Instant::now());
    while seen < first + records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            ensure!(last.elapsed() < PATIENCE, "only {seen} records came back");
            continue;
        };
        let message = message?;
        last = Instant::now();
        let sent = message.payload().and_then(|bytes| bytes.first_chunk());
        let sent = u64::from_le_bytes(*sent.context("a record of somebody else")?);
        seen += 1;
        if seen > first {
            let delay = last - (began + Duration::from_nanos(sent));
            delays.record(u64::try_from(delay.as_micros())?)?;
        }
    }
    Ok(delays)
}
