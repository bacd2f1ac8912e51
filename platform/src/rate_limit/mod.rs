//! How much may come from whom.
//!
//! An organization has a quota per class of calls, and each of its users may have one inside
//! it. A request counts in both or in none. Without Redis each process counts for itself; with
//! it all instances count together, and each alone while it is away.

mod gcra;
mod headers;
mod local;
mod redis;
#[cfg(test)]
mod tests;

pub use self::headers::{LIMIT as LIMIT_HEADER, POLICY as POLICY_HEADER};

use uuid::Uuid;

use self::{
    gcra::{Decision, Quota},
    local::Local,
    redis::Shared,
};
use crate::{
    auth::Identity,
    config::{ClassLimits, RateLimitConfig},
    http::problem::Problem,
    telemetry::names,
};

/// Calls that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Posts of one event, counted by requests.
    Single,
    /// Posts of batches, counted by events.
    Batch,
    /// Reads, counted by requests.
    Read,
}

impl Class {
    const ALL: [Self; 3] = [Self::Single, Self::Batch, Self::Read];

    /// Its name in headers, keys and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Batch => "batch",
            Self::Read => "read",
        }
    }

    fn of(self, limits: ClassLimits) -> u32 {
        match self {
            Self::Single => limits.single,
            Self::Batch => limits.batch,
            Self::Read => limits.read,
        }
    }

    /// The policy's name in headers.
    fn policy(self, scope: Scope) -> &'static str {
        match (scope, self) {
            (Scope::Organization, class) => class.as_str(),
            (Scope::User, Self::Single) => "single-user",
            (Scope::User, Self::Batch) => "batch-user",
            (Scope::User, Self::Read) => "read-user",
        }
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Organization,
    User,
}

impl Scope {
    const ALL: [Self; 2] = [Self::Organization, Self::User];

    fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::User => "user",
        }
    }
}

/// One limit of a class.
#[derive(Debug, Clone, Copy)]
struct Limit {
    scope: Scope,
    /// The policy's name in headers.
    name: &'static str,
    quota: Quota,
}

/// What a limit's state is kept under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    class: Class,
    organization_id: Uuid,
    /// `None` for the organization as a whole.
    user_id: Option<Uuid>,
}

/// Counts requests and refuses those beyond the limits.
pub struct RateLimiter {
    /// By class, in the order of [`Class::ALL`].
    limits: [Vec<Limit>; 3],
    local: Local,
    shared: Option<Shared>,
}

impl RateLimiter {
    /// Limits by `config`. With Redis, it begins to connect, and must be called in a runtime;
    /// until it is connected, limits hold within this process.
    ///
    /// # Errors
    /// When the URL is none of Redis, which the configuration has looked at.
    pub fn start(config: &RateLimitConfig) -> anyhow::Result<Self> {
        let limits = Class::ALL.map(|class| limits(config, class));
        let unlimited = limits.iter().all(Vec::is_empty);
        let url = config.redis_url.as_ref().filter(|_| !unlimited);
        let shared = url.map(|url| Shared::start(url, config.redis_timeout));
        Ok(Self {
            limits,
            local: Local::new(config.window),
            shared: shared.transpose()?,
        })
    }

    /// Counts a request of `cost` units, or refuses it and counts nothing. A cost of 0 counts
    /// as 1, and one beyond a whole quota as that.
    ///
    /// The headers `RateLimit-Policy` and `RateLimit` are added to the answer, whichever it
    /// will be.
    ///
    /// # Errors
    /// 429 `rate_limited`, with `Retry-After`.
    pub async fn admit(
        &self,
        identity: &Identity,
        class: Class,
        cost: usize,
    ) -> Result<(), Problem> {
        let limits = &self.limits[class as usize];
        if limits.is_empty() {
            return Ok(());
        }
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let decision = self.decide(identity, class, limits, cost).await;
        headers::add(limits, &decision);
        if decision.admits() {
            return Ok(());
        }
        Err(refusal(class, limits, &decision))
    }

    /// Whether the limits hold across instances at this moment.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared.as_ref().is_some_and(Shared::is_connected)
    }

    async fn decide(
        &self,
        identity: &Identity,
        class: Class,
        limits: &[Limit],
        cost: u32,
    ) -> Decision {
        let key = |limit: &Limit| Key {
            class,
            organization_id: identity.organization_id,
            user_id: (limit.scope == Scope::User).then_some(identity.user_id),
        };
        let keys: Vec<_> = limits.iter().map(key).collect();
        if let Some(shared) = &self.shared
            && let Some(decision) = shared.decide(&keys, limits, cost).await
        {
            return decision;
        }
        self.local.decide(&keys, limits, cost)
    }
}

fn limits(config: &RateLimitConfig, class: Class) -> Vec<Limit> {
    let limit = |scope| {
        let most = class.of(match scope {
            Scope::Organization => config.organization,
            Scope::User => config.user,
        });
        Some(Limit {
            scope,
            name: class.policy(scope),
            quota: Quota::new(most, config.window)?,
        })
    };
    Scope::ALL.into_iter().filter_map(limit).collect()
}

fn refusal(class: Class, limits: &[Limit], decision: &Decision) -> Problem {
    let both = limits.iter().zip(&decision.standings);
    let refusing = both.filter(|(_, standing)| standing.refuses);
    let mut violated = Vec::new();
    for (limit, _) in refusing {
        violated.push(limit.name);
        metrics::counter!(names::RATE_LIMIT_REFUSALS,
            "class" => class.as_str(), "level" => limit.scope.as_str())
        .increment(1);
    }
    // The member is the draft's.
    Problem::too_many_requests(decision.wait()).member("violated-policies", violated)
}
