//! Answers that instances share, in Redis.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use platform::{
    redis_link::{Link, Purpose},
    telemetry::names,
};
use redis::{RedisResult, aio::MultiplexedConnection, cmd};
use uuid::Uuid;

use super::{
    CacheConfig,
    entry::{Entry, Key},
};

const PURPOSE: Purpose = Purpose {
    connected: "answers are shared through Redis",
    away: "Redis is away; until it is back each instance keeps answers for itself",
    links_away: names::CACHE_FALLBACK,
};

/// Larger answers are not shared: they would hold up the others on their way.
const LARGEST: usize = 4 << 20;

/// Redis, as a place for answers.
pub(super) struct Shared {
    link: Arc<Link>,
    ttl: Duration,
}

impl Shared {
    /// Begins to connect, if there is a Redis. To be called in a runtime.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub(super) fn start(config: &CacheConfig) -> RedisResult<Option<Self>> {
        let Some(url) = &config.redis_url else {
            return Ok(None);
        };
        let probe = Box::new(|connection| ping(connection).boxed());
        let link = Link::start(url, config.redis_timeout, PURPOSE, probe)?;
        Ok(Some(Self {
            link: Arc::new(link),
            ttl: config.ttl,
        }))
    }

    #[cfg(test)]
    pub(super) fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// The answer of a key, if there is one.
    pub(super) async fn get(&self, key: &Key) -> Option<Entry> {
        let name = name(key);
        let got = call(&self.link, |mut connection| async move {
            cmd("GET").arg(name).query_async(&mut connection).await
        });
        let value: Option<Vec<u8>> = got.await?;
        let value = Bytes::from(value?);
        // The value says whole what it is the answer to: nothing else is ever taken for it.
        let line = key.line();
        let is_its_own = value.starts_with(line.as_bytes());
        is_its_own.then(|| Entry::stored(Some(key), value.slice(line.len()..)))
    }

    /// Keeps an answer, in place of one from older rows; nobody waits for it.
    pub(super) fn put(&self, key: &Key, entry: &Entry) {
        if entry.body.len() > LARGEST {
            return;
        }
        let value = [key.line().as_bytes(), &entry.body].concat();
        let (name, ttl) = (name(key), self.ttl.as_secs());
        let link = Arc::clone(&self.link);
        tokio::spawn(async move {
            let set = |mut connection: MultiplexedConnection| async move {
                let mut set = cmd("SET");
                set.arg(name).arg(value).arg("EX").arg(ttl);
                set.exec_async(&mut connection).await
            };
            call(&link, set).await
        });
    }
}

/// Counts when it fails.
async fn call<T, F>(link: &Link, work: impl FnOnce(MultiplexedConnection) -> F) -> Option<T>
where
    F: Future<Output = RedisResult<T>>,
{
    let connected = link.is_connected();
    let got = link.call(work).await;
    if connected && got.is_none() {
        metrics::counter!(names::CACHE_REDIS_ERRORS).increment(1);
    }
    got
}

async fn ping(mut connection: MultiplexedConnection) -> RedisResult<()> {
    cmd("PING").exec_async(&mut connection).await
}

/// The same for all versions: the newest takes the place of older ones, which nobody asks for
/// any more. The keys of an organization share its hash tag.
fn name(key: &Key) -> String {
    const NAMESPACE: Uuid = Uuid::from_u128(0x41f3_7c0e_9d52_4c58_b0a6_2d1b_c7e5_9083);
    let asked = &key.asked;
    let (organization, kind) = (asked.organization, asked.kind);
    let hash = Uuid::new_v5(&NAMESPACE, asked.parameters.as_bytes()).simple();
    format!("flowmeter:cache:{{{organization}}}:{kind}:{hash}")
}
