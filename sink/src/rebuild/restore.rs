//! Raw rows that the log has and the database lacks.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use platform::kafka::{
    client::KafkaClientConfig,
    log_reader::{LogReader, LogRecord, Step},
    refusals::{RefusalLimit, Refusals},
};
use schemas::{EventKind, Source, Window};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Rebuild, RebuildError, boundaries};
use crate::{
    SinkConfig,
    batch::{Batch, Item, RawEvent},
    decode::Decoder,
    expand::expand,
    letters::EventRecord,
    store::{Kept, RefusedEvent, Store, StoreError},
};

/// Events looked up and restored at once.
const AT_ONCE: usize = 2_000;
/// An event's time may be ahead of its record's.
const AHEAD_SECONDS: i64 = 5 * 60;

/// Writes the events of the range that the sink has read from the log and that are not in
/// their tables, with what they add to rollups. `progress` is told how many records were read
/// and how many events restored, and may end it; then `false` is given.
///
/// Nothing after the sink's cursors is touched: that is the sink's to write. Nothing of erased
/// users comes back.
pub(super) async fn restore(
    config: &SinkConfig,
    pool: &PgPool,
    request: &Rebuild,
    mut progress: impl FnMut(u64, u64) -> bool,
) -> Result<bool, RebuildError> {
    let decoder = Decoder::connect(config).map_err(RebuildError::Registry)?;
    let topic = decoder.topics.admitted();
    let cursors: Vec<(i32, i64)> = sqlx::query_as(
        "select partition, next_offset from flowmeter.cursors where consumer = $1 and topic = $2",
    )
    .bind(config.group())
    .bind(&topic)
    .fetch_all(pool)
    .await
    .map_err(StoreError::from)?;
    let (sender, mut events) = mpsc::channel(4);
    let reader = Reader {
        client: KafkaClientConfig::from(&config.kafka),
        group: config.group(),
        topic,
        decoder,
        request: request.clone(),
        ends: cursors.into_iter().collect(),
        sender,
    };
    let reading = tokio::task::spawn_blocking(move || reader.read());
    let store = Store::of(pool.clone(), config.group());
    let (mut restored, mut goes_on) = (0, true);
    while let Some((read, found)) = events.recv().await {
        let missing = missing(pool, found).await?;
        restored += missing.len() as u64;
        if !missing.is_empty() {
            restored -= write(&store, &config.windows, &missing).await?;
        }
        goes_on = progress(read, restored);
        if !goes_on {
            break;
        }
    }
    // The reader ends when nobody takes what it reads.
    drop(events);
    reading.await.map_err(|_| RebuildError::ReaderPanicked)??;
    Ok(goes_on)
}

/// Writes events, and tells how many of them the database refuses: they are dead letters of the
/// sink's, whoever finds them missing.
async fn write(store: &Store, windows: &[Window], events: &[RawEvent]) -> Result<u64, StoreError> {
    let mut batch = Batch::default();
    for event in events {
        batch.add(Item::Event(event.clone()), 0);
    }
    let tables = expand(windows, std::mem::take(&mut batch.deltas));
    match store
        .write(&batch, &tables, &[], &mut Kept::default())
        .await
    {
        Err(StoreError::Refused(_)) => {}
        written => return written.map(|_| 0),
    }
    let mut refusals = Refusals::new(RefusalLimit {
        window: 1,
        max_share: 1.0,
    });
    let mut count = 0;
    let told = |refused: &[RefusedEvent<'_>]| {
        count = refused.len() as u64;
        Ok(())
    };
    let sound = store.write_sound(&batch, events, windows, &[], &mut refusals, told);
    sound.await?;
    Ok(count)
}

/// Reads on a thread of its own, since the registry is asked from outside of the runtime.
struct Reader {
    client: KafkaClientConfig,
    group: String,
    topic: String,
    decoder: Decoder,
    request: Rebuild,
    /// The sink's cursors, by partition.
    ends: BTreeMap<i32, i64>,
    /// Records read so far, and some of the range's events.
    sender: mpsc::Sender<(u64, Vec<RawEvent>)>,
}

impl Reader {
    fn read(self) -> Result<(), RebuildError> {
        // No event is further ahead of its record than the reader looks back.
        let from = self.request.from.saturating_add_seconds(-AHEAD_SECONDS);
        let mut log = LogReader::open(&self.client, &self.group, &self.topic, Some(from))?;
        let (mut read, mut found) = (0, Vec::new());
        loop {
            let record = match log.poll()? {
                Step::Record(record) => record,
                Step::Waiting => continue,
                Step::End => break,
            };
            read += 1;
            let end = self.ends.get(&record.partition).copied().unwrap_or(0);
            if record.offset < end {
                found.extend(self.event(&record)?);
            }
            if found.len() >= AT_ONCE && !self.hand_over(read, &mut found) {
                return Ok(());
            }
        }
        self.hand_over(read, &mut found);
        Ok(())
    }

    /// The event of a record, if it has one, and one of the range.
    fn event(&self, record: &LogRecord) -> Result<Option<RawEvent>, RebuildError> {
        let source = Source::from_header(record.header(Source::HEADER));
        let Ok((event, source)) = self.decoder.event(source, record.parts())? else {
            // A watermark, or what the sink has kept as a dead letter.
            return Ok(None);
        };
        let common = event.common();
        let organization = self.request.organization;
        let is_wanted = (self.request.from..self.request.to).contains(&common.timestamp)
            && organization.is_none_or(|id| id == common.organization_id);
        Ok(is_wanted.then(|| RawEvent {
            event,
            // Of what is refused, the sink has made a dead letter.
            record: EventRecord::at(source),
        }))
    }

    /// `false` when nobody takes them any more.
    fn hand_over(&self, read: u64, found: &mut Vec<RawEvent>) -> bool {
        let found = std::mem::take(found);
        self.sender.blocking_send((read, found)).is_ok()
    }
}

/// Those that the tables have lost. What retention removed is not lost: it counts in the
/// rollups still.
async fn missing(pool: &PgPool, found: Vec<RawEvent>) -> Result<Vec<RawEvent>, RebuildError> {
    let mut absent = Vec::new();
    for kind in EventKind::ALL {
        let of_kind = || {
            found
                .iter()
                .filter(|event| event.record.source.kind == kind)
        };
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
            .map_err(StoreError::from)?;
        let stored: HashSet<(i32, i64)> = stored.into_iter().collect();
        let erased = erased(pool, &of_kind().collect::<Vec<_>>()).await?;
        for (n, event) in of_kind().enumerate() {
            if erased.contains(&n) {
                continue;
            }
            let source = &event.record.source;
            if !stored.contains(&(source.partition, source.offset)) {
                absent.push(event.clone());
            }
        }
    }
    let organizations: HashSet<Uuid> = absent
        .iter()
        .map(|event| event.event.common().organization_id)
        .collect();
    let organizations: Vec<Uuid> = organizations.into_iter().collect();
    // Asked last, so that nothing can have been removed unseen.
    let since = boundaries::since(pool, &organizations).await?;
    absent.retain(|event| {
        let common = event.event.common();
        let since = since.get(&common.organization_id);
        since.is_none_or(|since| *since <= common.timestamp)
    });
    Ok(absent)
}

/// Which of them are of users that were erased after their records came: they are in the log
/// still, and nowhere else any more.
async fn erased(pool: &PgPool, events: &[&RawEvent]) -> Result<HashSet<usize>, RebuildError> {
    let keys: Vec<String> = events.iter().map(|event| event.event.key()).collect();
    let times: Vec<DateTime<Utc>> = events
        .iter()
        .map(|e| e.record.source.log_time.into())
        .collect();
    let found: Vec<i64> = sqlx::query_scalar(
        "select distinct k.n - 1 from unnest($1::text[], $2::timestamptz[]) with ordinality as k(key, at, n) \
         join flowmeter.erasures e on e.user_hash = sha256(convert_to(k.key, 'UTF8')) \
         and k.at <= e.started_at",
    )
    .bind(keys)
    .bind(times)
    .fetch_all(pool)
    .await
    .map_err(crate::store::StoreError::from)?;
    Ok(found
        .into_iter()
        .filter_map(|n| usize::try_from(n).ok())
        .collect())
}
