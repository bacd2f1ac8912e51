//! The states that instances share, in Redis.

use std::{io, sync::Arc, time::Duration};

use futures_util::FutureExt;
use redis::{RedisResult, Script, aio::MultiplexedConnection};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    Class, Key, Limit, Scope,
    gcra::{Decision, Micros, Quota, decide},
};
use crate::{
    redis_link::{Link, Purpose, within},
    telemetry::names,
};

const PURPOSE: Purpose = Purpose {
    connected: "rate limits are shared through Redis",
    away: "Redis is away; until it is back each instance limits alone",
    links_away: names::RATE_LIMIT_FALLBACK,
};

/// Redis, as a place for states.
pub(super) struct Shared {
    link: Link,
    states: Arc<States>,
}

struct States {
    script: Script,
    /// The longest a request waits for Redis.
    check_bound: Duration,
}

impl Shared {
    /// Begins to connect. To be called in a runtime.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub(super) fn start(url: &SecretString, check_bound: Duration) -> RedisResult<Self> {
        let states = Arc::new(States::new(check_bound));
        let probed = Arc::clone(&states);
        let probe = Box::new(move |connection| {
            let states = Arc::clone(&probed);
            async move { states.probe(connection).await }.boxed()
        });
        let link = Link::start(url, check_bound, PURPOSE, probe)?;
        Ok(Self { link, states })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// `None` when Redis is away, or does not answer in time and so is away from now on.
    pub(super) async fn decide(
        &self,
        keys: &[Key],
        limits: &[Limit],
        cost: u32,
    ) -> Option<Decision> {
        self.link
            .call(|mut connection| async move {
                self.states.check(&mut connection, keys, limits, cost).await
            })
            .await
    }
}

impl States {
    fn new(check_bound: Duration) -> Self {
        Self {
            script: Script::new(include_str!("gcra.lua")),
            check_bound,
        }
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
        let answer: Vec<Micros> = call.invoke_async(connection).await?;
        let [now, arrivals @ ..] = answer.as_slice() else {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        };
        let before = limits.iter().zip(arrivals);
        let before: Vec<_> = before.map(|(limit, at)| (limit.quota, *at)).collect();
        Ok(decide(&before, *now, cost))
    }

    /// Whether a check succeeds within the bound of a request.
    async fn probe(&self, mut connection: MultiplexedConnection) -> RedisResult<()> {
        self.script.load_async(&mut connection).await?;
        let keys = [Key {
            class: Class::Read,
            organization_id: Uuid::nil(),
            user_id: None,
        }];
        let limit = Quota::new(1000, Duration::from_secs(1)).map(|quota| Limit {
            scope: Scope::Organization,
            name: "probe",
            quota,
        });
        let check = self.check(&mut connection, &keys, limit.as_slice(), 1);
        within(self.check_bound, check).await?;
        Ok(())
    }
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
    use redis::{AsyncCommands, Client};

    use super::*;
    use crate::test_support::required_env;

    /// Both do the same sums: what Redis keeps is what `decide` says is to be kept.
    #[tokio::test]
    async fn lua_and_rust_reckon_alike() {
        let states = States::new(Duration::from_secs(10));
        let client = Client::open(required_env("REDIS_URL")).unwrap();
        let connecting = client.get_multiplexed_async_connection();
        let mut connection = connecting.await.unwrap();
        states.probe(connection.clone()).await.unwrap();
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
            let decision = states.check(&mut connection, &keys, &limits, cost);
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
