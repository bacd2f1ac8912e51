//! CloudEvents 1.0.2 in its JSON format and its HTTP binding: an envelope is taken apart,
//! and what it says of its event kept. No I/O.
//!
//! <https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents>

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode;
use schemas::{EventKind, Faults, Timestamp, fault::pointer, json::Members};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::posted::{Form, Posted};

/// The attributes that the specification names. Others are extensions, which are ignored.
const KNOWN: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "datacontenttype",
    "dataschema",
    "subject",
];
const PREFIX: &str = "ce-";

/// The `type` of a kind's CloudEvents.
pub(crate) const fn type_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::CommandExecution => "com.flowmeter.command_execution.v1",
        EventKind::AgentInteraction => "com.flowmeter.agent_interaction.v1",
        EventKind::ProductivityMetric => "com.flowmeter.productivity_metric.v1",
        EventKind::UserSession => "com.flowmeter.user_session.v1",
    }
}

/// How a request carries CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One, as a JSON object.
    Structured,
    /// Several, as a JSON array.
    Batched,
    /// One: its attributes in headers, its data as the body.
    Binary,
}

impl Mode {
    /// What a request may be sent as.
    pub(crate) const MEDIA_TYPES: [&str; 3] = [
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
    ];

    /// The mode that one of the media types stands for.
    pub(crate) fn of(media_type: &str) -> Self {
        match media_type {
            "application/cloudevents+json" => Self::Structured,
            "application/cloudevents-batch+json" => Self::Batched,
            _ => Self::Binary,
        }
    }
}

/// Reads a CloudEvent in JSON.
pub(crate) fn structured(raw: &RawValue, organization: Uuid) -> Posted<'_> {
    let mut faults = Faults::default();
    let mut envelope = Envelope::default();
    if !raw.get().starts_with('{') {
        faults.push("", "type", "must be a JSON object");
        return Posted::refused_whole(faults);
    }
    let Ok(Members(members)) = serde_json::from_str(raw.get()) else {
        faults.push(
            "",
            "invalid_text",
            "an attribute's name is not valid Unicode",
        );
        return Posted::refused_whole(faults);
    };
    for (name, value) in members {
        match &*name {
            "data" if envelope.data.is_some() => {
                faults.push("/data", "duplicate_field", "given more than once");
            }
            "data" => envelope.data = Some(value),
            "data_base64" => {
                let why = "is not taken: send the event as JSON in data";
                faults.push("/data_base64", "data_base64", why);
            }
            _ => {
                let text = || serde_json::from_str::<Option<String>>(value.get()).ok();
                envelope.add(&name, text, &mut faults);
            }
        }
    }
    envelope.judge(organization, faults)
}

/// Reads a CloudEvent whose attributes are headers. Pointers are those of its JSON form.
pub(crate) fn binary<'a>(
    headers: &HeaderMap,
    data: &'a RawValue,
    organization: Uuid,
) -> Posted<'a> {
    let mut faults = Faults::default();
    let mut envelope = Envelope {
        data: Some(data),
        ..Envelope::default()
    };
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        if matches!(name, "data" | "datacontenttype") {
            let why = "is no header of a CloudEvent: data is the body, of the Content-Type";
            faults.push(pointer("", name), "unknown_field", why);
        } else {
            envelope.add(name, || header_text(value).map(Some), &mut faults);
        }
    }
    envelope.judge(organization, faults)
}

impl Posted<'_> {
    fn refused_whole(faults: Faults) -> Self {
        Self {
            form: Form::CloudEvent,
            kind: None,
            fields: None,
            event_id: None,
            timestamp: None,
            faults: faults.or_value(()).err().unwrap_or_default(),
        }
    }
}

/// An envelope taken apart. What is `null` counts as absent.
#[derive(Default)]
struct Envelope<'a> {
    /// In the order of [`KNOWN`].
    attributes: [Attribute; 8],
    /// Names, to find those given twice.
    extensions: Vec<String>,
    data: Option<&'a RawValue>,
}

#[derive(Default, Clone, PartialEq)]
enum Attribute {
    #[default]
    Missing,
    Null,
    Unreadable,
    Text(String),
}

impl<'a> Envelope<'a> {
    /// `text` gives the value; `None` if it is no text.
    fn add(
        &mut self,
        name: &str,
        text: impl FnOnce() -> Option<Option<String>>,
        faults: &mut Faults,
    ) {
        let shown = || pointer("", &name.chars().take(100).collect::<String>());
        let twice = ("duplicate_field", "given more than once");
        if let Some(at) = KNOWN.iter().position(|known| *known == name) {
            let slot = &mut self.attributes[at];
            if *slot != Attribute::Missing {
                faults.push(shown(), twice.0, twice.1);
            }
            *slot = match text() {
                Some(Some(text)) => Attribute::Text(text),
                Some(None) => Attribute::Null,
                None => {
                    faults.push(shown(), "type", "must be a string of valid Unicode");
                    Attribute::Unreadable
                }
            };
        } else if !is_extension(name) {
            let why = "is no attribute: names have lower-case letters and digits";
            faults.push(shown(), "unknown_field", why);
        } else if self.extensions.iter().any(|known| known == name) {
            faults.push(shown(), twice.0, twice.1);
        } else {
            self.extensions.push(name.to_owned());
        }
    }

    /// The event, as far as it can be told, and every fault of the envelope.
    fn judge(self, organization: Uuid, mut faults: Faults) -> Posted<'a> {
        for (name, attribute) in KNOWN.iter().zip(&self.attributes) {
            check(name, attribute, &mut faults);
        }
        let text = |at: usize| match &self.attributes[at] {
            Attribute::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let [_, id, source, type_, time, ..] = [0, 1, 2, 3, 4, 5, 6, 7].map(text);
        let sound = |name: &str| !faults.is_at(&pointer("", name));
        let identified = sound("id") && sound("source");
        let event_id = id
            .zip(source)
            .filter(|_| identified)
            .map(|(id, source)| event_id(organization, source, id));
        let kind = type_.and_then(|name| EventKind::ALL.into_iter().find(|k| type_of(*k) == name));
        let data = self.data.filter(|data| data.get() != "null");
        if data.is_none() {
            faults.push(
                "/data",
                "required",
                "is required: it holds the event's fields",
            );
        }
        let mut timestamp = time.and_then(|time| time.parse::<Timestamp>().ok());
        if let Some(Members(fields)) = data.and_then(|d| serde_json::from_str(d.get()).ok()) {
            for (name, value) in fields {
                match &*name {
                    "event_id" => same_id(value, event_id, &mut faults),
                    "timestamp" if value.get() != "null" => timestamp = None,
                    _ => {}
                }
            }
        }
        Posted {
            form: Form::CloudEvent,
            kind,
            fields: data.map(Cow::Borrowed),
            event_id,
            timestamp,
            faults: faults.or_value(()).err().unwrap_or_default(),
        }
    }
}

/// What the specification says of an attribute, and what we do.
fn check(name: &str, attribute: &Attribute, faults: &mut Faults) {
    let at = pointer("", name);
    let required = matches!(name, "specversion" | "id" | "source" | "type");
    let text = match attribute {
        Attribute::Text(text) => text,
        Attribute::Unreadable => return,
        Attribute::Missing | Attribute::Null if !required => return,
        Attribute::Missing | Attribute::Null => return faults.push(at, "required", "is required"),
    };
    match name {
        "specversion" if text != "1.0" => faults.push(at, "choice", "must be 1.0"),
        "type" if !EventKind::ALL.iter().any(|kind| type_of(*kind) == text) => {
            faults.push(at, "choice", "must be one of com.flowmeter.command_execution.v1, com.flowmeter.agent_interaction.v1, com.flowmeter.productivity_metric.v1 and com.flowmeter.user_session.v1");
        }
        "time" => {
            if let Err(error) = text.parse::<Timestamp>() {
                faults.push(at, "timestamp", error.to_string());
            }
        }
        "datacontenttype" if !is_json(text) => {
            faults.push(at, "choice", "must be application/json, or absent");
        }
        "source" | "dataschema" if !is_uri_reference(text) => {
            faults.push(at, "pattern", "must be a URI reference (RFC 3986)");
        }
        "id" | "subject" if text.is_empty() || text.chars().any(char::is_control) => {
            let why = "must have at least one character, and no control characters";
            faults.push(at, "pattern", why);
        }
        _ => {}
    }
}

fn same_id(value: &RawValue, event_id: Option<Uuid>, faults: &mut Faults) {
    let own: Option<Uuid> = serde_json::from_str(value.get()).ok().flatten();
    if own.is_some() && event_id.is_some() && own != event_id {
        let why = "is not the id of the CloudEvent; leave it out";
        faults.push("/data/event_id", "event_id_mismatch", why);
    }
}

/// The event's id: the CloudEvent's if it is a UUID. Otherwise it follows from what makes a
/// CloudEvent the same, `source` and `id`, so that one delivered twice counts once.
fn event_id(organization: Uuid, source: &str, id: &str) -> Uuid {
    // No source holds a space, so no two pairs make one name.
    let derived = || {
        Uuid::new_v5(
            &organization,
            format!("cloudevent {source} {id}").as_bytes(),
        )
    };
    Uuid::try_parse(id).unwrap_or_else(|_| derived())
}

fn is_extension(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !name.is_empty() && name.bytes().all(letter)
}

/// `*/json` or `*/*+json`, with or without parameters.
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default();
    let Some((kind, subtype)) = essence.trim().split_once('/') else {
        return false;
    };
    let is_token = |text: &str| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
        !text.is_empty() && text.bytes().all(letter)
    };
    let subtype = subtype.to_ascii_lowercase();
    is_token(kind) && is_token(&subtype) && (subtype == "json" || subtype.ends_with("+json"))
}

/// By its characters: what they stand for is the producer's business.
fn is_uri_reference(text: &str) -> bool {
    let mut bytes = text.bytes();
    let hex = |bytes: &mut std::str::Bytes<'_>| bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
    while let Some(byte) = bytes.next() {
        let sound = match byte {
            b'%' => hex(&mut bytes) && hex(&mut bytes),
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
        if !sound {
            return false;
        }
    }
    !text.is_empty()
}

/// The text of an attribute's header (HTTP binding, section 3.1.3.2): quotes off, then one
/// round of percent-decoding; what is no UTF-8 then is refused.
fn header_text(value: &HeaderValue) -> Option<String> {
    let bytes = unquoted(value.as_bytes());
    let decoded = percent_decode(&bytes).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Without the quotes of a quoted string (RFC 9110, section 5.6.4).
fn unquoted(bytes: &[u8]) -> Cow<'_, [u8]> {
    let quoted = bytes
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let Some(quoted) = quoted else {
        return bytes.into();
    };
    let mut plain = Vec::with_capacity(quoted.len());
    let mut escaped = false;
    for byte in quoted {
        escaped = *byte == b'\\' && !escaped;
        if !escaped {
            plain.push(*byte);
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests;
