//! A stream as Server-Sent Events (HTML, section 9.2).

use std::convert::Infallible;

use axum::{
    http::{HeaderName, HeaderValue},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::stream;

use super::stream::{Outgoing, Stream};

/// Proxies that know it pass the events on at once.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// The answer whose events are the stream's messages, each with the cursor it leads to as its
/// id: a browser sends it back after the connection broke.
pub(super) fn answer(stream: Stream) -> Response {
    let events = stream::unfold(Some(stream), async |stream| {
        let mut stream = stream?;
        let (event, rest) = match stream.next().await {
            Outgoing::Message { text, cursor } => {
                let event = match cursor {
                    Some(cursor) => Event::default().id(cursor.as_str()),
                    None => Event::default(),
                };
                (event.data(text.as_str()), Some(stream))
            }
            Outgoing::Ping { text, cursor } => {
                let event = Event::default().id(cursor.as_str()).data(text.as_str());
                (event, Some(stream))
            }
            Outgoing::End { text, .. } => (Event::default().data(text.as_str()), None),
        };
        Some((Ok::<_, Infallible>(event), rest))
    });
    ([UNBUFFERED], Sse::new(events)).into_response()
}
