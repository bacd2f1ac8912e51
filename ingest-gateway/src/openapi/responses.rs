//! The answers that calls share.

use utoipa::IntoResponses;

use super::answers::{BadBatch, BadEvent, Problem, Unavailable, UnavailableBatch};

/// What any ingest call may be answered with instead of being served.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "documentation")]
pub(crate) enum Refusals {
    #[response(
        status = 401,
        description = "No token (token_missing), or none that is believed (token_invalid)",
        content_type = "application/problem+json",
        headers(("WWW-Authenticate" = String, description = "The challenge of RFC 6750"))
    )]
    Unauthenticated(Problem),
    #[response(
        status = 403,
        description = "The caller may not post this (role_not_allowed, not_as_itself, not_your_team)",
        content_type = "application/problem+json"
    )]
    Denied(Problem),
    #[response(
        status = 408,
        description = "The body took too long to arrive (body_timeout)",
        content_type = "application/problem+json"
    )]
    Slow(Problem),
    #[response(
        status = 413,
        description = "The body is larger than this call takes, as sent or decoded (payload_too_large); an event is larger than 1 MiB or than Kafka takes (event_too_large); there are more events than MAX_BATCH_SIZE (batch_too_large)",
        content_type = "application/problem+json"
    )]
    TooLarge(Problem),
    #[response(
        status = 415,
        description = "The body is of another media type (unsupported_media_type) or Content-Encoding (unsupported_encoding) than this call takes",
        content_type = "application/problem+json"
    )]
    Unsupported(Problem),
    #[response(
        status = 422,
        description = "The caller used the Idempotency-Key for another payload (idempotency_key_reused); or, waited for, admission refused the single event (dead_lettered, with reason, message, stage and the receipt)",
        content_type = "application/problem+json"
    )]
    Reused(Problem),
    #[response(
        status = 429,
        description = "The organization's limit is used up (rate_limited)",
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds"))
    )]
    RateLimited(Problem),
    #[response(
        status = 500,
        description = "Something failed on our side (internal)",
        content_type = "application/problem+json"
    )]
    Internal(Problem),
}

/// What a call with one event may be answered with.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "documentation")]
pub(crate) enum OneRefused {
    #[response(
        status = 400,
        description = "The request has faults; all those of an event are in `errors`",
        content_type = "application/problem+json"
    )]
    Faulty(BadEvent),
    #[response(
        status = 503,
        description = "The event could not be confirmed as stored; try again after Retry-After seconds",
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds"))
    )]
    Away(Unavailable),
}

/// What a call with many events may be answered with.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "documentation")]
pub(crate) enum ManyRefused {
    #[response(
        status = 400,
        description = "The request has faults, or none of its events was accepted",
        content_type = "application/problem+json"
    )]
    Faulty(BadBatch),
    #[response(
        status = 503,
        description = "No event could be confirmed as stored; try again after Retry-After seconds",
        content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds"))
    )]
    Away(UnavailableBatch),
}
