//! An event as a call takes it from its request, before it is judged.

use std::borrow::Cow;

use schemas::{EventKind, Fault, Faults, Timestamp, json::Members};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::refusal::Refusal;

/// How an event is written, which decides where its fields are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Its fields are the members of one object.
    Plain,
    /// Its fields are the members of a CloudEvent's `data`.
    CloudEvent,
}

impl Form {
    /// From the event's root to what is at `pointer` below its fields.
    pub(crate) fn locate(self, pointer: &str) -> String {
        match self {
            Self::Plain => pointer.to_owned(),
            Self::CloudEvent => format!("/data{pointer}"),
        }
    }

    /// Where the event's id is.
    pub(crate) const fn event_id(self) -> &'static str {
        match self {
            Self::Plain => "/event_id",
            Self::CloudEvent => "/id",
        }
    }
}

/// An event to be judged. What is missing is missing because of one of the faults.
#[derive(Debug)]
pub(crate) struct Posted<'a> {
    pub(crate) form: Form,
    pub(crate) kind: Option<EventKind>,
    pub(crate) fields: Option<Cow<'a, RawValue>>,
    /// Its id if its fields name none.
    pub(crate) event_id: Option<Uuid>,
    /// Its time if its fields name none; before the request's.
    pub(crate) timestamp: Option<Timestamp>,
    /// What is wrong outside of its fields, with pointers from the event's root.
    pub(crate) faults: Vec<Fault>,
}

impl<'a> Posted<'a> {
    /// An event whose fields are a body, or an element of a batch's list.
    pub(crate) fn plain(kind: EventKind, fields: &'a RawValue, event_id: Uuid) -> Self {
        Self {
            form: Form::Plain,
            kind: Some(kind),
            fields: Some(Cow::Borrowed(fields)),
            event_id: Some(event_id),
            timestamp: None,
            faults: Vec::new(),
        }
    }

    /// Its refusal for the faults outside of its fields and those within.
    pub(crate) fn refused(&self, within: Vec<Fault>) -> Refusal {
        let mut faults = Faults::default();
        faults.extend(self.faults.iter().cloned());
        faults.extend(within.into_iter().map(|fault| Fault {
            pointer: self.locate(&fault.pointer),
            ..fault
        }));
        Refusal::Invalid(faults.or_value(()).err().unwrap_or_default())
    }

    fn locate(&self, pointer: &str) -> String {
        match (self.form, pointer) {
            (Form::CloudEvent, "/timestamp") if self.timestamp.is_some() => "/time".to_owned(),
            _ => self.form.locate(pointer),
        }
    }

    /// The id by which its sender knows it, if it has a readable one.
    pub(crate) fn own_id(&self) -> Option<Uuid> {
        match self.form {
            Form::Plain => own_id(self.fields.as_deref()?),
            Form::CloudEvent => self.event_id,
        }
    }
}

/// The readable `event_id` among the fields.
pub(crate) fn own_id(fields: &RawValue) -> Option<Uuid> {
    let Members(members) = serde_json::from_str(fields.get()).ok()?;
    let mut ids = members.into_iter().filter(|(name, _)| name == "event_id");
    let (_, id) = ids.next().filter(|_| ids.next().is_none())?;
    serde_json::from_str(id.get()).ok()
}
