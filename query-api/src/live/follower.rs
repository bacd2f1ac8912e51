//! Reads `metrics.rollups`, all of it, into memory: on a thread of its own, in no group, since
//! every instance needs every delta.
//!
//! The newest part of the log is read first, and followed; what the longer windows need of the
//! part before is read in the pauses. Deltas add up in any order, so nothing waits for anything.
//! Where reading goes on is kept in memory beside what was read: after a fault it goes on there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use metrics::{gauge, histogram};
use platform::{
    clock,
    http::health::ComponentHealth,
    kafka::{
        client::KafkaClientConfig,
        log_follower::{Followed, LogFollower, LogFollowerError, Start},
        log_reader::{LogReader, LogReaderError, LogRecord},
        registry::{LookupError, RegistryClient},
        sessions::{SessionFault, run_sessions},
    },
    lifecycle::Shutdown,
    telemetry::names,
};
use schemas::{Timestamp, Topics};
use tokio::runtime::Handle;
use tracing::{error, info};

use super::{
    Live, LiveConfig,
    backfill::Backfill,
    horizon::{RECENT_SECONDS, read_from, whole_from},
    records::Reader,
    world::World,
};

/// The thread's name.
const NAME: &str = "live";
/// How long something is waited for when there is nothing else to do.
const WAIT: Duration = Duration::from_millis(100);
/// Between two looks at the clock and at the partitions.
const LOOK: Duration = Duration::from_secs(10);

/// Starts to follow the log, until `shutdown`.
pub(super) fn start(
    live: Live,
    config: &LiveConfig,
    health: ComponentHealth,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let registry = RegistryClient::connect(&config.kafka)
        .map_err(|fault| anyhow!("SCHEMA_REGISTRY_URL: {fault}"))?;
    let mut follower = Follower {
        live,
        client: KafkaClientConfig::from(&config.kafka),
        group: format!("{}-live", config.kafka.group_prefix),
        topic: Topics::new(config.kafka.topic_prefix.as_str()).rollups(),
        horizon_seconds: i64::try_from(config.horizon.as_secs()).unwrap_or(i64::MAX),
        reader: Reader::new(registry, Handle::current()),
        health: health.clone(),
        place: None,
    };
    let sessions = run_sessions(NAME, health, shutdown, move |shutdown| {
        let outcome = follower.session(shutdown);
        if let Err(FollowerError::Log(LogFollowerError::OffsetGone)) = outcome {
            follower.place = None;
            follower.live.forget();
        }
        outcome
    });
    tokio::spawn(async move {
        if let Err(error) = sessions.await {
            error!(%error, "live views have ended");
        }
    });
    Ok(())
}

struct Follower {
    live: Live,
    client: KafkaClientConfig,
    group: String,
    topic: String,
    horizon_seconds: i64,
    reader: Reader,
    health: ComponentHealth,
    /// `None` as long as nothing was read.
    place: Option<Place>,
}

/// Where reading goes on.
struct Place {
    /// By partition, the next offset.
    next: BTreeMap<i32, i64>,
    /// Partitions that were read to their end once.
    caught_up: BTreeSet<i32>,
    /// From which log time on everything was read.
    from: Timestamp,
    /// Partitions whose first record is all that says how far back the log goes.
    cut: BTreeSet<i32>,
    backfill: Option<Backfill>,
    began: Instant,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum FollowerError {
    #[error(transparent)]
    Log(#[from] LogFollowerError),
    #[error("older deltas: {0}")]
    Backfill(#[from] LogReaderError),
    #[error(transparent)]
    Registry(#[from] LookupError),
    #[error("the topic has more partitions than before")]
    Partitions,
}

impl SessionFault for FollowerError {
    fn reason(&self) -> &'static str {
        "the log of rollup deltas cannot be read; trying again"
    }
}

impl Follower {
    fn session(&mut self, shutdown: &Shutdown) -> Result<(), FollowerError> {
        let log = LogFollower::new(&self.client, &self.group, &self.topic)?;
        let partitions = log.partitions()?;
        let mut place = match self.place.take() {
            Some(place) => place.with(partitions),
            None => self.begin(&log, partitions)?,
        };
        let assigned = log.read_from(&place.next).map_err(FollowerError::from);
        let outcome = assigned.and_then(|()| self.follow(&log, &mut place, shutdown));
        // Whatever happened: what was read must not be read again.
        self.place = Some(place);
        outcome
    }

    /// Finds where to begin: with the newest part of the log.
    fn begin(&self, log: &LogFollower, partitions: usize) -> Result<Place, FollowerError> {
        let now = clock::now();
        let recent = read_from(now, RECENT_SECONDS.min(self.horizon_seconds));
        let all = read_from(now, self.horizon_seconds);
        let starts = log.starts(partitions, recent)?;
        let older = log.starts(partitions, all)?;
        let left = starts.iter().map(|(partition, start)| {
            let first = older[partition].offset.min(start.offset);
            (*partition, (first, start.offset))
        });
        info!(topic = self.topic, partitions, from = %recent, "reading rollup deltas");
        Ok(Place {
            next: starts.iter().map(|(p, start)| (*p, start.offset)).collect(),
            caught_up: BTreeSet::new(),
            from: recent,
            cut: cut(&starts),
            backfill: Some(Backfill::new(left.collect(), all, cut(&older))),
            began: Instant::now(),
        })
    }

    fn follow(
        &self,
        log: &LogFollower,
        place: &mut Place,
        shutdown: &Shutdown,
    ) -> Result<(), FollowerError> {
        let world = self.live.world();
        let mut older = None;
        let mut looked = Instant::now();
        while !shutdown.is_triggered() {
            let fills = place.is_warm() && place.backfill.is_some();
            match log.poll(if fills { Duration::ZERO } else { WAIT })? {
                Followed::Record(record) => {
                    self.reader.add(&record, &world)?;
                    place.has_read(&record);
                }
                Followed::CaughtUp(partition) => {
                    if place.has_caught_up(partition) {
                        world.is_whole_from(whole_from(place.from));
                        info!(elapsed = ?place.began.elapsed(), "the newest rollup deltas are read");
                    }
                    if place.is_warm() {
                        self.health.up();
                    }
                }
                Followed::Away => self.health.down("no Kafka broker can be reached"),
                Followed::Idle if fills => self.fill(place, &mut older, &world)?,
                Followed::Idle => {}
            }
            if looked.elapsed() >= LOOK {
                world.advance(clock::now());
                if log.partitions()? != place.next.len() {
                    return Err(FollowerError::Partitions);
                }
                looked = Instant::now();
            }
        }
        Ok(())
    }

    /// Reads some of what came before the part that is followed.
    fn fill(
        &self,
        place: &mut Place,
        older: &mut Option<LogReader>,
        world: &World,
    ) -> Result<(), FollowerError> {
        let Some(backfill) = &mut place.backfill else {
            return Ok(());
        };
        let reader = match older {
            Some(reader) => reader,
            None => older.insert(backfill.open(&self.client, &self.group, &self.topic)?),
        };
        let take = |record: &LogRecord| Ok::<_, FollowerError>(self.reader.add(record, world)?);
        if backfill.step(reader, take)? {
            place.from = backfill.from;
            place.backfill = None;
            *older = None;
            world.is_whole_from(whole_from(place.from));
            let elapsed = place.began.elapsed();
            gauge!(names::LIVE_WARM_UP).set(elapsed.as_secs_f64());
            info!(?elapsed, from = %place.from, "older rollup deltas are read");
        }
        Ok(())
    }
}

impl Place {
    /// With partitions that were added meanwhile, which are read from their beginning.
    fn with(mut self, partitions: usize) -> Self {
        for partition in (0..).take(partitions) {
            self.next.entry(partition).or_insert(0);
        }
        self
    }

    fn has_read(&mut self, record: &LogRecord) {
        if self.cut.remove(&record.partition) {
            self.from = self.from.max(record.log_time);
            // Nor is there anything before it.
            self.backfill = None;
        }
        self.next.insert(record.partition, record.offset + 1);
        let behind = clock::now().micros() - record.log_time.micros();
        let behind = Duration::from_micros(behind.max(0).unsigned_abs());
        histogram!(names::LIVE_READ_DELAY).record(behind);
    }

    /// Whether everything is read with that, for the first time.
    fn has_caught_up(&mut self, partition: i32) -> bool {
        self.caught_up.insert(partition) && self.is_warm()
    }

    fn is_warm(&self) -> bool {
        self.caught_up.len() == self.next.len()
    }
}

/// Partitions whose first record is all that says how far back the log goes.
fn cut(starts: &BTreeMap<i32, Start>) -> BTreeSet<i32> {
    let cut = starts.iter().filter(|(_, start)| start.cut);
    cut.map(|(partition, _)| *partition).collect()
}
