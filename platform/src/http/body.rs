//! A request's body: read within its time, decoded, within its limits.

use std::{ops::Deref, time::Duration};

use axum::{
    Extension,
    body::HttpBody,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::{
    budget::{Hold, Overload},
    encoding::{DecodeError, Encoding, decode, grow},
    notes,
    overload::{self, InFlight},
    problem::Problem,
};
use crate::cpu;

/// What decodes to no more than this, in bytes, and comes from no more than this, is decoded
/// on the spot: it takes less time than handing it over.
const DECODED_ON_THE_SPOT: usize = 64 * 1024;

/// What a call takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes, as sent and decoded alike.
    pub bytes: usize,
    /// How long the body may take to arrive, from when it is asked for.
    pub timeout: Duration,
}

impl Limits {
    /// The layer that tells a route's handlers.
    pub fn layer(self) -> Extension<Self> {
        Extension(self)
    }

    /// What the layer of the request's route says; without one, what fits every call.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let told = request.extensions().get().copied();
        told.unwrap_or(Self {
            bytes: 64 * 1024,
            timeout: Duration::from_secs(10),
        })
    }
}

/// A body as its author wrote it, and the room it takes in the budget of its service.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    _held: Hold,
}

impl Deref for Body {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads and decodes a body. Its memory, and that of the records made of it, is taken from
/// the budget that [`overload::limit`] put around the route, before it is used.
///
/// # Errors
/// 413 `payload_too_large`, before reading if the length is announced; 415
/// `unsupported_encoding`; 400 `invalid_encoding` or `incomplete_body`; 408 `body_timeout`;
/// 503 `overloaded`.
pub async fn read(request: Request, limits: &Limits) -> Result<Body, Problem> {
    let headers = request.headers().get_all(header::CONTENT_ENCODING);
    let encoding = Encoding::of(headers.iter().map(HeaderValue::as_bytes))
        .map_err(|_| unsupported_encoding())?;
    let in_flight = InFlight::of(&request);
    let size = if encoding == Encoding::Identity {
        Size::Itself
    } else {
        Size::Encoded
    };
    let (bytes, held) = collect(request, limits, size, &in_flight).await?;
    notes::note(|notes| notes.bytes_in = Some(bytes.len()));
    let (bytes, held) = match encoding {
        Encoding::Identity => (bytes, held),
        _ => decoded(encoding, bytes, held, limits.bytes, &in_flight).await?,
    };
    in_flight.expect_records_of(bytes.len())?;
    Ok(Body {
        bytes: bytes.into(),
        _held: held,
    })
}

#[derive(Clone, Copy)]
enum Size {
    Itself,
    Encoded,
}

async fn collect(
    request: Request,
    limits: &Limits,
    size: Size,
    in_flight: &InFlight,
) -> Result<(Vec<u8>, Hold), Problem> {
    let limit = limits.bytes;
    let body = request.into_body();
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(size, limit).closing());
    }
    let mut held = in_flight.hold();
    let mut room = |more| held.grow(more).is_ok();
    let mut bytes = Vec::new();
    if let Some(length) = announced.and_then(|length| usize::try_from(length).ok()) {
        if !room(length) {
            return Err(overload::refused(Overload::Bytes));
        }
        // Memory that nothing was written to costs nothing yet.
        bytes.reserve_exact(length);
    }
    let deadline = Instant::now() + limits.timeout;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = timeout_at(deadline, chunks.next())
        .await
        .map_err(|_| too_slow(limits.timeout))?
    {
        let chunk = chunk.map_err(|_| {
            Problem::bad_request("incomplete_body", "The body did not arrive whole.")
        })?;
        let grown = grow(&mut bytes, chunk.len(), limit, &mut room);
        if matches!(grown, Err(DecodeError::TooLarge)) || bytes.len() + chunk.len() > limit {
            return Err(too_large(size, limit).closing());
        }
        grown.map_err(|_| overload::refused(Overload::Bytes).closing())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, held))
}

async fn decoded(
    encoding: Encoding,
    encoded: Vec<u8>,
    encoded_held: Hold,
    limit: usize,
    in_flight: &InFlight,
) -> Result<(Vec<u8>, Hold), Problem> {
    let mut held = in_flight.hold();
    let on_the_spot = limit.min(DECODED_ON_THE_SPOT);
    if encoded.len() <= DECODED_ON_THE_SPOT {
        let room = |more| held.grow(more).is_ok();
        match decode(encoding, &encoded, on_the_spot, room) {
            Ok(bytes) => return Ok((bytes, held)),
            Err(DecodeError::TooLarge) if on_the_spot < limit => held = in_flight.hold(),
            Err(error) => return Err(undecodable(error, limit)),
        }
    }
    let work = move || {
        let room = |more| held.grow(more).is_ok();
        let decoded = decode(encoding, &encoded, limit, room);
        drop((encoded, encoded_held));
        decoded.map(|bytes| (bytes, held))
    };
    let decoded = cpu::run(work).await.map_err(Problem::internal)?;
    decoded.map_err(|error| undecodable(error, limit))
}

fn undecodable(error: DecodeError, limit: usize) -> Problem {
    match error {
        DecodeError::Invalid(why) => Problem::bad_request(
            "invalid_encoding",
            format!("The body is not what its Content-Encoding says: {why}."),
        ),
        DecodeError::TooLarge => Problem::payload_too_large(format!(
            "The decoded body is larger than the {limit} bytes this call takes."
        ))
        .member("limit", limit),
        DecodeError::NoRoom => overload::refused(Overload::Bytes),
    }
}

fn too_large(size: Size, limit: usize) -> Problem {
    let which = match size {
        Size::Itself => "body",
        Size::Encoded => "encoded body",
    };
    Problem::payload_too_large(format!(
        "The {which} is larger than the {limit} bytes this call takes."
    ))
    .member("limit", limit)
}

fn too_slow(bound: Duration) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_timeout",
        format!("The body did not arrive within {} ms.", bound.as_millis()),
    )
    .closing()
}

/// With what would be understood, as RFC 9110 section 15.5.16 says.
fn unsupported_encoding() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_encoding",
        "Content-Encoding may be gzip, zstd or identity, and only one of them.",
    )
    .header(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("gzip, zstd, identity"),
    )
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
