//! Answers that are kept for as long as they are true (docs/decisions/0025).
//!
//! An answer is computed in one snapshot, which also shows the organization's version, and is
//! kept under that version. The database tells of newer versions as they are committed, and
//! only the newest is asked for. So what is kept need not be removed to be out of use, and
//! while the database cannot be listened to, nothing that is kept is used.

mod conditional;
mod config;
mod entry;
mod gzip;
mod listener;
mod shared;
mod versions;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use moka::{future::Cache as Memory, policy::EvictionPolicy};
use platform::{
    cpu,
    database::{TenantDb, TenantTx},
    http::problem::Problem,
    lifecycle::Shutdown,
    telemetry::names,
};
use schemas::Timestamp;
use serde::Serialize;
use sqlx::PgPool;

pub use self::config::CacheConfig;
pub(crate) use self::entry::Asked;
use self::{
    entry::{Entry, Form, Key},
    shared::Shared,
    versions::{Shown, Stamp, Versions},
};
use crate::{failure::QueryFailure, service::AppState, timing};

/// What an entry takes besides its texts, about.
const OVERHEAD: usize = 300;

/// Headers of an answer, at most.
const HEADERS: usize = 20;

/// Answers by what was asked and from which rows they were made.
pub(crate) struct Cache {
    versions: Arc<Versions>,
    memory: Memory<(Key, Form), Entry>,
    shared: Option<Shared>,
    ttl: Duration,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was in memory.
    Hit,
    /// It was in Redis.
    Shared,
    /// Another request was computing it.
    Coalesced,
    /// It was computed, and is kept.
    Miss,
    /// It was computed, and is not kept: changes are not listened to, or there are no rows.
    Bypass,
    /// The client has it.
    NotModified,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Shared => "shared",
            Self::Coalesced => "coalesced",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
            Self::NotModified => "not_modified",
        }
    }

    fn is_hit(self) -> bool {
        matches!(self, Self::Hit | Self::Shared | Self::Coalesced)
    }
}

impl Cache {
    /// An empty one, which keeps nothing until changes are listened to. To be called in a
    /// runtime.
    ///
    /// # Errors
    /// When the URL is none of Redis, which the configuration has looked at.
    pub(crate) fn start(config: &CacheConfig) -> anyhow::Result<Self> {
        let memory = Memory::builder()
            .max_capacity(config.max_bytes)
            .weigher(|(key, _): &(Key, Form), entry: &Entry| {
                let bytes = key.asked.parameters.len() + entry.body.len() + OVERHEAD;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            // Answers from older rows are never asked for again, however popular they were.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(config.ttl)
            .build();
        Ok(Self {
            versions: Arc::default(),
            memory,
            shared: Shared::start(config)?.filter(|_| !config.ttl.is_zero()),
            ttl: config.ttl,
        })
    }

    /// Listens to changes over a connection of `pool`, until `shutdown`.
    pub(crate) fn listen(&self, pool: PgPool, shutdown: Shutdown) {
        if !self.ttl.is_zero() {
            tokio::spawn(listener::listen(pool, Arc::clone(&self.versions), shutdown));
        }
    }

    #[cfg(test)]
    pub(crate) fn is_listening(&self) -> bool {
        self.versions.session().is_some()
    }

    #[cfg(test)]
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.as_ref().is_some_and(Shared::is_connected)
    }

    #[cfg(test)]
    pub(crate) async fn bytes(&self) -> u64 {
        self.memory.run_pending_tasks().await;
        self.memory.weighted_size()
    }

    /// The newest stamp of an organization, and whether answers may be kept under it.
    async fn stamp(
        &self,
        database: &TenantDb,
        asked: &Asked,
        fresh: bool,
    ) -> Result<(Option<Stamp>, bool), QueryFailure> {
        let known = self.versions.known(asked.organization);
        if let Some(stamp) = known.filter(|_| !fresh) {
            return Ok((Some(stamp), true));
        }
        let session = self.versions.session();
        let mut transaction = database.begin(asked.organization).await?;
        let Shown { stamp, .. } = Shown::read(&mut transaction).await?;
        transaction.finish();
        let Some((stamp, session)) = stamp.zip(session) else {
            return Ok((stamp, false));
        };
        let noted = self.versions.note(session, asked.organization, stamp);
        Ok((Some(stamp), noted))
    }
}

impl AppState {
    /// Answers what was asked, from what is kept or by `read`, which gets a transaction of the
    /// organization, which it ends, and the watermark. The answer is an object; how long it
    /// took and whether it was kept are added to it.
    ///
    /// # Errors
    /// Those of [`QueryFailure`].
    pub(crate) async fn answer<T, F>(
        &self,
        headers: &HeaderMap,
        asked: Asked,
        read: impl FnOnce(TenantTx, Option<Timestamp>) -> F,
    ) -> Result<Response, Problem>
    where
        T: Serialize,
        F: Future<Output = Result<T, QueryFailure>>,
    {
        let (began, kind, cache) = (Instant::now(), asked.kind, &self.cache);
        let fresh = conditional::wants_fresh(headers);
        let (stamp, kept) = cache.stamp(&self.database, &asked, fresh).await?;
        if let Some(stamp) = stamp {
            let key = Key {
                asked: asked.clone(),
                stamp,
            };
            if let Some(etag) = conditional::known(headers, || key.etag()) {
                return Ok(not_modified(kind, etag));
            }
            if kept {
                let form = conditional::form(headers);
                let (entry, outcome) = self.kept(key, form, read).await?;
                return Ok(told(kind, outcome, &entry, began));
            }
        }
        let (_, entry) = self.compute(asked, read).await?;
        if let Some(etag) = conditional::known(headers, || entry.etag.clone()) {
            return Ok(not_modified(kind, etag));
        }
        Ok(told(kind, Outcome::Bypass, &entry, began))
    }

    /// What is kept under a key, in a form; or it is made, once for all who ask meanwhile.
    async fn kept<T, F>(
        &self,
        key: Key,
        form: Form,
        read: impl FnOnce(TenantTx, Option<Timestamp>) -> F,
    ) -> Result<(Entry, Outcome), Problem>
    where
        T: Serialize,
        F: Future<Output = Result<T, QueryFailure>>,
    {
        let memory = &self.cache.memory;
        let place = (key, form);
        if let Some(entry) = memory.get(&place).await {
            return Ok((entry, Outcome::Hit));
        }
        let (plain, outcome) = self.plain((place.0.clone(), Form::Plain), read).await?;
        if form == Form::Plain {
            return Ok((plain, outcome));
        }
        let pack = async {
            let packed = cpu::run(|| plain.packed()).await;
            packed
                .map_err(anyhow::Error::from)
                .flatten()
                .map_err(Problem::internal)
        };
        let packed = memory.try_get_with_by_ref(&place, pack).await;
        let packed = packed.map_err(|problem| Problem::clone(&problem))?;
        Ok((packed, outcome))
    }

    /// The same as it is written first.
    async fn plain<T, F>(
        &self,
        place: (Key, Form),
        read: impl FnOnce(TenantTx, Option<Timestamp>) -> F,
    ) -> Result<(Entry, Outcome), Problem>
    where
        T: Serialize,
        F: Future<Output = Result<T, QueryFailure>>,
    {
        let (cache, key) = (&self.cache, &place.0);
        if let Some(entry) = cache.memory.get(&place).await {
            return Ok((entry, Outcome::Hit));
        }
        let mut outcome = Outcome::Coalesced;
        let find = async {
            if let Some(shared) = &cache.shared
                && let Some(entry) = shared.get(key).await
            {
                outcome = Outcome::Shared;
                return Ok(entry);
            }
            outcome = Outcome::Miss;
            let (computed, entry) = self.compute(key.asked.clone(), read).await?;
            // Of newer rows, when some came meanwhile; then it is the answer to both. Older
            // than what was told it cannot be.
            if let Some(computed) = computed {
                if let Some(shared) = &cache.shared {
                    shared.put(&computed, &entry);
                }
                if computed != *key {
                    let computed = (computed, Form::Plain);
                    cache.memory.insert(computed, entry.clone()).await;
                }
            }
            Ok::<_, Problem>(entry)
        };
        let found = cache.memory.try_get_with_by_ref(&place, find).await;
        let entry = found.map_err(|problem| Problem::clone(&problem))?;
        metrics::gauge!(names::CACHE_BYTES).set(cache.memory.weighted_size() as f64);
        Ok((entry, outcome))
    }

    /// Reads, and tells from which rows.
    async fn compute<T, F>(
        &self,
        asked: Asked,
        read: impl FnOnce(TenantTx, Option<Timestamp>) -> F,
    ) -> Result<(Option<Key>, Entry), Problem>
    where
        T: Serialize,
        F: Future<Output = Result<T, QueryFailure>>,
    {
        let kind = asked.kind;
        let computed = async {
            let mut transaction = self.database.begin(asked.organization).await?;
            let Shown { stamp, watermark } = Shown::read(&mut transaction).await?;
            Ok((stamp, read(transaction, watermark).await?))
        };
        let ((stamp, answer), _) = timing::bounded(kind, self.slow_query, computed).await?;
        let key = stamp.map(|stamp| Key { asked, stamp });
        let entry = Entry::new(key.as_ref(), &answer).map_err(Problem::internal)?;
        Ok((key, entry))
    }
}

fn told(kind: &'static str, outcome: Outcome, entry: &Entry, began: Instant) -> Response {
    let parts = entry.answer(began.elapsed(), outcome.is_hit());
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    // One after the other, so that what is kept is handed over as it is.
    let parts = parts.map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(stream::iter(parts)));
    let headers = response.headers_mut();
    // For those of the layers around, too, so that they need not be put anew as they grow.
    headers.reserve(HEADERS);
    headers.insert(header::CONTENT_LENGTH, length.into());
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if entry.is_gzip() {
        let gzip = HeaderValue::from_static("gzip");
        headers.insert(header::CONTENT_ENCODING, gzip);
    }
    respond(kind, outcome, entry.etag.clone(), response)
}

/// When the client has the answer.
fn not_modified(kind: &'static str, etag: HeaderValue) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    respond(kind, Outcome::NotModified, etag, response)
}

/// An answer, or 304 when the client has it, with what either says.
fn respond(
    kind: &'static str,
    outcome: Outcome,
    etag: HeaderValue,
    mut response: Response,
) -> Response {
    metrics::counter!(names::CACHE_ANSWERS, "query" => kind, "outcome" => outcome.as_str())
        .increment(1);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    // Whoever keeps it asks again each time, which is cheap.
    let policy = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, policy);
    let vary = HeaderValue::from_static("Authorization, Accept-Encoding");
    headers.insert(header::VARY, vary);
    response
}
