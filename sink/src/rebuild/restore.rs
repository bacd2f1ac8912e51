//! Raw rows that the log has and the database lacks.

use std::collections::HashSet;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use platform::kafka::{
    client::KafkaClientConfig,
    consumer::ConsumerError,
    log_reader::{Stretch, read_log},
};
use schemas::{EventKind, Topics};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Rebuild, RebuildError};
use crate::{
    SinkConfig,
    batch::{Batch, Item, RawEvent},
    decode::Decoder,
    expand::expand,
    store::Store,
};

/// Events looked up and restored at once.
const AT_ONCE: usize = 2_000;
/// An event's time may be ahead of its record's.
const AHEAD_MILLIS: i64 = 5 * 60_000;

/// Writes the events of the range that the sink has read from the log and that are not in
/// their tables, with what they add to rollups, and gives how many they were. `progress` is
/// told how many records were read and how many events restored, and may end it.
///
/// Nothing after the sink's cursors is touched: that is the sink's to write.
pub(super) async fn restore(
    config: &SinkConfig,
    decoder: Decoder,
    pool: &PgPool,
    request: &Rebuild,
    mut progress: impl FnMut(u64, u64) -> bool,
) -> Result<u64, RebuildError> {
    let topic = Topics::new(config.kafka.topic_prefix.as_str()).admitted();
    let cursors: Vec<(i32, i64)> = sqlx::query_as(
        "select partition, next_offset from flowmeter.cursors where consumer = $1 and topic = $2",
    )
    .bind(config.group())
    .bind(&topic)
    .fetch_all(pool)
    .await
    .map_err(crate::store::StoreError::from)?;
    let from_millis = request.from.micros().div_euclid(1000) - AHEAD_MILLIS;
    let stretches: Vec<Stretch> = cursors
        .into_iter()
        .map(|(partition, end)| Stretch {
            partition,
            from_millis,
            end,
        })
        .collect();
    let (sender, mut events) = mpsc::channel(4);
    let reader = Reader {
        client: KafkaClientConfig::from(&config.kafka),
        topic,
        decoder,
        request: request.clone(),
        sender,
    };
    let reading = tokio::task::spawn_blocking(move || reader.read(&stretches));
    let store = Store::of(pool.clone(), config.group());
    let (mut restored, mut goes_on) = (0, true);
    while let Some((read, found)) = events.recv().await {
        let missing = missing(pool, found).await?;
        restored += missing.events.len() as u64;
        if !missing.events.is_empty() {
            let tables = expand(&config.windows, missing.deltas.clone());
            store.write(&missing, &tables, &[]).await?;
        }
        goes_on = progress(read, restored);
        if !goes_on {
            break;
        }
    }
    // The reader ends when nobody takes what it reads.
    drop(events);
    let outcome = reading.await.map_err(|_| RebuildError::ReaderPanicked)?;
    if goes_on {
        outcome?;
    }
    Ok(restored)
}

/// Reads on a thread of its own, since the registry is asked from outside of the runtime.
struct Reader {
    client: KafkaClientConfig,
    topic: String,
    decoder: Decoder,
    request: Rebuild,
    /// Records read so far, and some of the range's events.
    sender: mpsc::Sender<(u64, Vec<RawEvent>)>,
}

impl Reader {
    fn read(self, stretches: &[Stretch]) -> Result<(), RebuildError> {
        let (mut read, mut found, mut fault) = (0, Vec::new(), None);
        let outcome: Result<(), ConsumerError> =
            read_log(&self.client, &self.topic, stretches, |record| {
                read += 1;
                match self.decoder.decode(record) {
                    Ok(Item::Event(event)) if self.is_wanted(&event) => found.push(event),
                    // A dead letter or a watermark.
                    Ok(_) => {}
                    Err(error) => {
                        fault = Some(RebuildError::from(error));
                        return false;
                    }
                }
                found.len() < AT_ONCE || self.hand_over(read, &mut found).is_continue()
            });
        outcome?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let _ = self.hand_over(read, &mut found);
        Ok(())
    }

    fn is_wanted(&self, event: &RawEvent) -> bool {
        let common = event.event.common();
        let organization = self.request.organization;
        (self.request.from..self.request.to).contains(&common.timestamp)
            && organization.is_none_or(|id| id == common.organization_id)
    }

    fn hand_over(&self, read: u64, found: &mut Vec<RawEvent>) -> ControlFlow<()> {
        match self.sender.blocking_send((read, std::mem::take(found))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Those that are not in their tables, as a batch of the sink's.
async fn missing(pool: &PgPool, found: Vec<RawEvent>) -> Result<Batch, RebuildError> {
    let mut batch = Batch::default();
    for kind in EventKind::ALL {
        let of_kind = || found.iter().filter(|event| event.source.kind == kind);
        let times = || of_kind().map(|event| event.event.common().timestamp);
        let (Some(first), Some(last)) = (times().min(), times().max()) else {
            continue;
        };
        // By the event's id, which has an index; of several with one id, by the source.
        let sql = format!(
            "select source_partition, source_offset from flowmeter.{} \
             where event_id = any($1) and \"timestamp\" between $2 and $3",
            kind.plural()
        );
        let ids: Vec<Uuid> = of_kind()
            .map(|event| event.event.common().event_id)
            .collect();
        let stored: Vec<(i32, i64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(ids)
            .bind(DateTime::<Utc>::from(first))
            .bind(DateTime::<Utc>::from(last))
            .fetch_all(pool)
            .await
            .map_err(crate::store::StoreError::from)?;
        let stored: HashSet<(i32, i64)> = stored.into_iter().collect();
        for event in of_kind() {
            if !stored.contains(&(event.source.partition, event.source.offset)) {
                batch.add(Item::Event(event.clone()), 0);
            }
        }
    }
    Ok(batch)
}

/// The decoder of admitted events, as the sink has it.
pub(super) fn decoder(config: &SinkConfig) -> Result<Decoder, RebuildError> {
    let registry = platform::kafka::registry::RegistryClient::connect(&config.kafka)
        .map_err(|fault| RebuildError::Registry(fault.to_string()))?;
    Ok(Decoder {
        admission: platform::kafka::admission::Admission::again(registry),
        runtime: Handle::current(),
        topics: Topics::new(config.kafka.topic_prefix.as_str()),
    })
}
