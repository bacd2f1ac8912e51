//! What a client is told of its limits: `RateLimit-Policy` and `RateLimit`, structured fields
//! of draft-ietf-httpapi-ratelimit-headers-10, on every answer of a limited call.
//!
//! The quota unit of `batch` is an event, for which the draft has no name.

use std::{fmt::Write, time::Duration};

use axum::http::{HeaderName, HeaderValue};

use super::{Limit, gcra::Decision};
use crate::http::answer_headers;

/// The quotas: `"single";q=1000;w=60`.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of them: `"single";r=997;t=1`.
pub const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds the headers to the answer of the current request.
pub(super) fn add(limits: &[Limit], decision: &Decision) {
    for (name, text) in [
        (POLICY, policy(limits)),
        (LIMIT, standing(limits, decision)),
    ] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            answer_headers::add(name, value);
        }
    }
}

fn policy(limits: &[Limit]) -> String {
    list(limits.iter().map(|limit| {
        let window = whole_seconds_up(limit.quota.window());
        (limit.name, 'q', limit.quota.limit(), 'w', window)
    }))
}

/// `t` is when more is given back; of a limit that refuses, when the request would pass, which
/// is what `Retry-After` says.
fn standing(limits: &[Limit], decision: &Decision) -> String {
    let both = limits.iter().zip(&decision.standings);
    list(both.map(|(limit, standing)| {
        let more_in = whole_seconds_up(standing.more_in);
        (limit.name, 'r', standing.remaining, 't', more_in)
    }))
}

/// A list of strings with two integer parameters each (RFC 9651).
fn list(items: impl Iterator<Item = (&'static str, char, u32, char, u64)>) -> String {
    let mut text = String::new();
    for (name, first, number, second, seconds) in items {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{comma}\"{name}\";{first}={number};{second}={seconds}"
        );
    }
    text
}

fn whole_seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::{Scope, gcra::Quota, gcra::decide};

    fn limit(scope: Scope, name: &'static str, quota: u32, millis: u64) -> Limit {
        Limit {
            scope,
            name,
            quota: Quota::new(quota, Duration::from_millis(millis)).unwrap(),
        }
    }

    #[test]
    fn the_headers_are_as_the_draft_says() {
        let limits = [limit(Scope::Organization, "single", 1000, 60_000)];
        assert_eq!(policy(&limits), r#""single";q=1000;w=60"#);
        let decision = decide(&[(limits[0].quota, 0)], 1, 3);
        assert_eq!(standing(&limits, &decision), r#""single";r=997;t=1"#);
    }

    #[test]
    fn a_limit_of_the_user_is_a_policy_of_its_own() {
        let limits = [
            limit(Scope::Organization, "read", 100, 1500),
            limit(Scope::User, "read-user", 2, 1500),
        ];
        assert_eq!(policy(&limits), r#""read";q=100;w=2, "read-user";q=2;w=2"#);
        let used_up = 1_500_001;
        let refused = decide(&[(limits[0].quota, 0), (limits[1].quota, used_up)], 1, 1);
        assert_eq!(
            standing(&limits, &refused),
            r#""read";r=100;t=0, "read-user";r=0;t=1"#
        );
    }
}
