//! The states that instances share, in Redis.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, RedisError, RedisResult, Script, aio::MultiplexedConnection,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Class, Key, Limit, Scope,
    gcra::{Decision, Micros, Quota, decide},
};
use crate::telemetry::names;

/// The longest a new connection may take.
const CONNECT_BOUND: Duration = Duration::from_secs(1);
/// Between two attempts to reach Redis again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Redis, and whether it can be reached. While it cannot, one task of its own tries to, and no
/// request waits.
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    client: Client,
    script: Script,
    /// The longest a request waits for Redis.
    check_bound: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an earlier one does not end its successor.
    generation: u64,
}

impl Shared {
    /// Begins to connect. To be called in a runtime.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub(super) fn start(url: &SecretString, check_bound: Duration) -> RedisResult<Self> {
        let inner = Arc::new(Inner {
            client: Client::open(url.expose_secret())?,
            script: Script::new(include_str!("gcra.lua")),
            check_bound,
            state: Mutex::default(),
        });
        fallback(1.0);
        tokio::spawn(connect(Arc::downgrade(&inner), Attempt::First));
        Ok(Self(inner))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.0.state().connection.is_some()
    }

    /// `None` when Redis is away, or does not answer in time and so is away from now on.
    pub(super) async fn decide(
        &self,
        keys: &[Key],
        limits: &[Limit],
        cost: u32,
    ) -> Option<Decision> {
        let (mut connection, generation) = {
            let state = self.0.state();
            (state.connection.clone()?, state.generation)
        };
        match self.0.check(&mut connection, keys, limits, cost).await {
            Ok(decision) => Some(decision),
            Err(error) => {
                self.lost(generation, &error);
                None
            }
        }
    }

    fn lost(&self, generation: u64, error: &RedisError) {
        {
            let mut state = self.0.state();
            if state.generation != generation || state.connection.take().is_none() {
                return; // Somebody else said so already.
            }
        }
        fallback(1.0);
        warn_away(error);
        tokio::spawn(connect(Arc::downgrade(&self.0), Attempt::Again));
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn check(
        &self,
        connection: &mut MultiplexedConnection,
        keys: &[Key],
        limits: &[Limit],
        cost: u32,
    ) -> RedisResult<Decision> {
        let mut call = self.script.prepare_invoke();
        for (key, limit) in keys.iter().zip(limits) {
            let quota = limit.quota;
            call.key(name(key))
                .arg(quota.interval())
                .arg(quota.limit())
                .arg(quota.clamped(cost));
        }
        let answer: Vec<Micros> = within(self.check_bound, call.invoke_async(connection)).await?;
        let [now, arrivals @ ..] = answer.as_slice() else {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        };
        let before = limits.iter().zip(arrivals);
        let before: Vec<_> = before.map(|(limit, at)| (limit.quota, *at)).collect();
        Ok(decide(&before, *now, cost))
    }

    /// A connection on which a check succeeds within the bound of a request; anything less
    /// would be lost again with the next one.
    async fn connected(&self) -> RedisResult<MultiplexedConnection> {
        let settings = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_BOUND));
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&settings);
        let mut connection = within(CONNECT_BOUND, connecting).await?;
        within(CONNECT_BOUND, self.script.load_async(&mut connection)).await?;
        let key = Key {
            class: Class::Read,
            organization_id: Uuid::nil(),
            user_id: None,
        };
        let limit = Quota::new(1000, Duration::from_secs(1)).map(|quota| Limit {
            scope: Scope::Organization,
            name: "probe",
            quota,
        });
        self.check(&mut connection, &[key], limit.as_slice(), 1)
            .await?;
        Ok(connection)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.state().connection.is_none() {
            fallback(-1.0);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

/// Tries until there is a connection, or nobody who wants it.
async fn connect(inner: Weak<Inner>, mut attempt: Attempt) {
    loop {
        if attempt == Attempt::Again {
            sleep(RETRY_AFTER).await;
        }
        let Some(inner) = inner.upgrade() else {
            return;
        };
        match inner.connected().await {
            Ok(connection) => {
                let mut state = inner.state();
                state.connection = Some(connection);
                state.generation += 1;
                fallback(-1.0);
                info!("rate limits are shared through Redis");
                return;
            }
            Err(error) if attempt == Attempt::First => warn_away(&error),
            // Said once.
            Err(_) => {}
        }
        attempt = Attempt::Again;
    }
}

fn warn_away(error: &RedisError) {
    warn!(%error, "Redis is away; until it is back each instance limits alone");
}

/// How many limiters of this process are without their Redis.
fn fallback(change: f64) {
    metrics::gauge!(names::RATE_LIMIT_FALLBACK).increment(change);
}

async fn within<T>(bound: Duration, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(bound, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// The keys of an organization share its hash tag.
fn name(key: &Key) -> String {
    let (organization, class) = (key.organization_id, key.class.as_str());
    match key.user_id {
        None => format!("flowmeter:rate:{{{organization}}}:{class}"),
        Some(user) => format!("flowmeter:rate:{{{organization}}}:{class}:{user}"),
    }
}

#[cfg(test)]
mod tests {
    use redis::AsyncCommands;

    use super::*;
    use crate::test_support::required_env;

    /// Both do the same sums: what Redis keeps is what `decide` says is to be kept.
    #[tokio::test]
    async fn lua_and_rust_reckon_alike() {
        let inner = Inner {
            client: Client::open(required_env("REDIS_URL")).unwrap(),
            script: Script::new(include_str!("gcra.lua")),
            check_bound: Duration::from_secs(10),
            state: Mutex::default(),
        };
        fallback(1.0);
        let mut connection = inner.connected().await.unwrap();
        let organization_id = Uuid::new_v4();
        let keys = [None, Some(Uuid::new_v4())].map(|user_id| Key {
            class: Class::Batch,
            organization_id,
            user_id,
        });
        // 50 minutes over 7 is no whole number of microseconds.
        let limits = [(1000, 3600), (7, 3000)].map(|(limit, seconds)| Limit {
            scope: Scope::Organization,
            name: "batch",
            quota: Quota::new(limit, Duration::from_secs(seconds)).unwrap(),
        });
        let mut refused = 0;
        for cost in [1, 2, 3, 1, 1, 0, 5, 7, 2000, 1, 1] {
            let decision = inner.check(&mut connection, &keys, &limits, cost);
            let decision = decision.await.unwrap();
            refused += usize::from(!decision.admits());
            for (key, standing) in keys.iter().zip(&decision.standings) {
                let kept: Micros = connection.get(name(key)).await.unwrap();
                assert_eq!(kept, standing.arrival);
                let lifetime: u64 = connection.pttl(name(key)).await.unwrap();
                assert!((1..=3_600_000).contains(&lifetime), "{lifetime}");
            }
        }
        assert!((1..11).contains(&refused), "{refused}");
    }
}
