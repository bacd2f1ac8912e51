//! Records to Kafka, and what came of each.

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;
use platform::{
    kafka::producer::{Delivery, DeliveryError, EnqueueError, EventProducer},
    telemetry::names,
};
use schemas::EventKind;

use crate::{prepare::Record, refusal::Refusal};

/// Publishes records to the topics of their kinds.
pub(crate) struct Publisher {
    pub(crate) producer: Arc<EventProducer>,
    /// In the order of [`EventKind::ALL`].
    pub(crate) topics: [String; 4],
}

impl Publisher {
    /// Publishes the records and waits for every acknowledgement. All are queued before the
    /// first is waited for: they keep their order within a partition and share one linger.
    pub(crate) async fn publish(&self, records: Vec<Record>) -> Vec<Result<(), Refusal>> {
        let began = Instant::now();
        let queued: Vec<_> = records
            .into_iter()
            .map(|record| {
                self.enqueue(&record)
                    .map(|delivery| (record.kind, delivery))
            })
            .collect();
        let outcomes = join_all(queued.into_iter().map(async |queued| {
            let (kind, delivery) = queued?;
            acknowledged(kind, delivery, began).await
        }))
        .await;
        log_failures(&outcomes);
        outcomes.into_iter().map(|o| o.map_err(|f| f.0)).collect()
    }

    fn enqueue(&self, record: &Record) -> Result<Delivery, Failure> {
        let topic = &self.topics[record.kind as usize];
        self.producer
            .enqueue(topic, record.key.as_bytes(), &record.payload, &[])
            .map_err(Failure::from)
    }
}

async fn acknowledged(kind: EventKind, delivery: Delivery, began: Instant) -> Result<(), Failure> {
    delivery.await.map_err(Failure::from)?;
    metrics::histogram!(names::PUBLISH_DURATION, "kind" => kind.as_str())
        .record(began.elapsed().as_secs_f64());
    Ok(())
}

/// What the client is told, the metric's label, and the log's text.
struct Failure(Refusal, &'static str, String);

impl From<EnqueueError> for Failure {
    fn from(error: EnqueueError) -> Self {
        let (refusal, reason) = match &error {
            EnqueueError::QueueFull => (Refusal::QueueFull, "queue_full"),
            EnqueueError::TooLarge => (Refusal::TooLarge, "too_large"),
            EnqueueError::Fatal(_) => (Refusal::Unavailable, "broken"),
            EnqueueError::Refused(_) => (Refusal::Unavailable, "refused"),
        };
        Self(refusal, reason, error.to_string())
    }
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        let (refusal, reason) = match &error {
            DeliveryError::TooLarge => (Refusal::TooLarge, "too_large"),
            DeliveryError::TimedOut => (Refusal::Unavailable, "timed_out"),
            DeliveryError::Broken => (Refusal::Unavailable, "broken"),
            // A missing topic or permission: for operators to mend, after which the same
            // event is accepted.
            DeliveryError::Refused(_) => (Refusal::Unavailable, "refused"),
        };
        Self(refusal, reason, error.to_string())
    }
}

/// Once a request: a broker that is away fails thousands of events with one cause.
fn log_failures(outcomes: &[Result<(), Failure>]) {
    let failures: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    for Failure(_, reason, _) in &failures {
        metrics::counter!(names::PUBLISH_FAILURES, "reason" => *reason).increment(1);
    }
    if let Some(Failure(_, reason, error)) = failures.first() {
        let (failed, of) = (failures.len(), outcomes.len());
        tracing::warn!(failed, of, reason, error, "events were not published");
    }
}
