//! Records to Kafka, and what came of each: its receipt, or why it has none.

use std::{sync::Arc, time::Instant};

use platform::{
    kafka::producer::{Delivery, DeliveryError, EnqueueError, EventProducer},
    telemetry::names,
};
use schemas::client;

use crate::{
    idempotency::{Claim, Reused, UsedKeys},
    prepare::Record,
    receipts::{Book, Place, Receipt},
    refusal::Refusal,
};

/// Publishes records to the topics of their kinds.
pub(crate) struct Publisher {
    pub(crate) producer: Arc<EventProducer>,
    /// In the order of [`EventKind::ALL`].
    pub(crate) topics: [String; 4],
    pub(crate) keys: UsedKeys,
    pub(crate) book: Arc<Book>,
}

impl Publisher {
    /// Publishes the records of a request of `client`, under the key it claims, and waits for every
    /// acknowledgement. The receipts are in the book when it returns.
    ///
    /// # Errors
    /// The key was used for another payload; nothing is published then.
    pub(crate) async fn publish(
        &self,
        records: Vec<Record>,
        client: Option<&str>,
        claim: Option<Claim>,
    ) -> Result<Vec<Result<Receipt, Refusal>>, Reused> {
        let claim = claim.filter(|_| !records.is_empty());
        let claimed = match &claim {
            Some(claim) => self.keys.claim(claim).await?,
            None => false,
        };
        let outcomes = self.publish_all(records, client).await;
        self.book.note(outcomes.iter().flatten());
        // Without an answer the records may be in the log: the key stays with this payload.
        let in_log = |outcome: &Result<_, _>| matches!(outcome, Ok(_) | Err(Refusal::Unavailable));
        if let Some(claim) = claim.filter(|_| claimed && !outcomes.iter().any(in_log)) {
            self.keys.release(&claim).await;
        }
        Ok(outcomes)
    }

    /// All are queued before the first is waited for: they keep their order within a
    /// partition and share one linger.
    async fn publish_all(
        &self,
        records: Vec<Record>,
        client: Option<&str>,
    ) -> Vec<Result<Receipt, Refusal>> {
        let began = Instant::now();
        let header = client.map(|client| (client::HEADER, client.as_bytes()));
        let queued: Vec<_> = records
            .into_iter()
            .map(|record| {
                self.enqueue(&record, header.as_slice())
                    .map(|delivery| (record, delivery))
            })
            .collect();
        // One after another, since the answer waits for all: less is woken up.
        let mut outcomes = Vec::with_capacity(queued.len());
        for queued in queued {
            outcomes.push(match queued {
                Ok((record, delivery)) => acknowledged(&record, delivery, began).await,
                Err(failure) => Err(failure),
            });
        }
        log_failures(&outcomes);
        outcomes.into_iter().map(|o| o.map_err(|f| f.0)).collect()
    }

    fn enqueue(&self, record: &Record, headers: &[(&str, &[u8])]) -> Result<Delivery, Failure> {
        let topic = &self.topics[record.kind as usize];
        self.producer
            .enqueue(topic, record.key.as_bytes(), &record.payload, headers)
            .map_err(Failure::from)
    }
}

async fn acknowledged(
    record: &Record,
    delivery: Delivery,
    began: Instant,
) -> Result<Receipt, Failure> {
    let (partition, offset) = delivery.await.map_err(Failure::from)?;
    metrics::histogram!(names::PUBLISH_DURATION, "kind" => record.kind.as_str())
        .record(began.elapsed().as_secs_f64());
    let now = platform::clock::now();
    let place = Place { partition, offset };
    Ok(Receipt::new(record.kind, &record.common, place, now))
}

/// What the client is told, the metric's label, and the log's text.
struct Failure(Refusal, &'static str, String);

impl From<EnqueueError> for Failure {
    fn from(error: EnqueueError) -> Self {
        let (refusal, reason) = match &error {
            EnqueueError::QueueFull => (Refusal::QueueFull, "queue_full"),
            EnqueueError::TooLarge => (Refusal::TooLarge, "too_large"),
            EnqueueError::Fatal(_) => (Refusal::Unavailable, "broken"),
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
fn log_failures<T>(outcomes: &[Result<T, Failure>]) {
    let failures: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    for Failure(_, reason, _) in &failures {
        metrics::counter!(names::PUBLISH_FAILURES, "reason" => *reason).increment(1);
    }
    if let Some(Failure(_, reason, error)) = failures.first() {
        let (failed, of) = (failures.len(), outcomes.len());
        tracing::warn!(failed, of, reason, error, "events were not published");
    }
}
