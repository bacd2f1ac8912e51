//! Dead letters of events that the database refuses.

use std::{collections::HashSet, time::Duration};

use metrics::counter;
use platform::{
    kafka::{
        admission::Refusal,
        client::KafkaClientConfig,
        dead_letters::letter,
        transactions::{TransactionError, TransactionalProducer},
    },
    telemetry::names,
};
use rdkafka::{
    Timestamp,
    message::{OwnedHeaders, OwnedMessage},
};
use schemas::{EventKind, Source, Topics, dead_letter::Reason};
use uuid::Uuid;

use crate::{decode::STAGE, store::RefusedEvent};

/// Of a Kafka transaction. The database's waits meanwhile, ten seconds at most.
const TRANSACTION: Duration = Duration::from_secs(5);

/// The record of an admitted event: where it was, and what it held.
#[derive(Debug, Clone)]
pub(crate) struct EventRecord {
    pub(crate) source: Source,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// Those that it had in its own topic.
    pub(crate) headers: Option<OwnedHeaders>,
}

impl EventRecord {
    /// One of which nothing but its place is known.
    pub(crate) fn at(source: Source) -> Self {
        Self {
            source,
            key: None,
            value: None,
            headers: None,
        }
    }

    /// The record as it was in its own topic.
    pub(crate) fn original(&self, topics: &Topics) -> OwnedMessage {
        let source = &self.source;
        let millis = source.log_time.micros().div_euclid(1000);
        OwnedMessage::new(
            self.value.clone(),
            self.key.clone(),
            topics.events(source.kind),
            Timestamp::LogAppendTime(millis),
            source.partition,
            source.offset,
            self.headers.clone(),
        )
    }
}

/// Writes them. They are rare, so the producer is made when there are some.
#[derive(Debug)]
pub(crate) struct Letters {
    client: KafkaClientConfig,
    /// This sink's own: a new producer ends what an earlier one left open.
    transactional_id: String,
    topics: Topics,
    /// Those that Kafka has, while their batch is not in the database yet.
    sent: HashSet<(EventKind, i32, i64)>,
}

impl Letters {
    pub(crate) fn new(client: KafkaClientConfig, group: &str, topics: Topics) -> Self {
        Self {
            client,
            transactional_id: format!("{group}-{}", Uuid::new_v4()),
            topics,
            sent: HashSet::new(),
        }
    }

    /// Puts events among the dead letters, all or none. One that is there already is not
    /// sent again before [`settled`](Self::settled).
    ///
    /// They are there before the cursor moves, so that none is lost; a process that ends
    /// between leaves one that comes twice, which readers of the letters know by its source.
    pub(crate) fn send(&mut self, refused: &[RefusedEvent<'_>]) -> Result<(), TransactionError> {
        let key = |source: &Source| (source.kind, source.partition, source.offset);
        let new = |r: &&RefusedEvent<'_>| !self.sent.contains(&key(&r.event.record.source));
        let refused: Vec<_> = refused.iter().filter(new).collect();
        if refused.is_empty() {
            return Ok(());
        }
        let producer =
            TransactionalProducer::new(&self.client, &self.transactional_id, TRANSACTION)?;
        producer.begin()?;
        let topic = self.topics.dead_letters();
        for RefusedEvent { event, why } in &refused {
            let event_id = event.event.common().event_id;
            let refusal = Refusal::new(Reason::RefusedByDatabase, why).of_event(event_id);
            let record = event.record.original(&self.topics);
            let letter = letter(&record, &refusal, STAGE);
            let headers = letter.headers(&record);
            producer.send(&topic, letter.key, letter.value, &headers)?;
        }
        producer.commit_records()?;
        let reason = Reason::RefusedByDatabase.as_str();
        counter!(names::DEAD_LETTERS, "reason" => reason).increment(refused.len() as u64);
        for RefusedEvent { event, why } in refused {
            let source = event.record.source;
            tracing::error!(%source, why, "an event was refused by the database; kept as a dead letter");
            self.sent.insert(key(&source));
        }
        Ok(())
    }

    /// The batch is in the database, and is not tried again.
    pub(crate) fn settled(&mut self) {
        self.sent.clear();
    }
}
