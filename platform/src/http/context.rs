//! What the task that answers a request knows of it: id, trace, notes, and headers
//! for its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;

use super::{notes::Notes, request_id::RequestId, trace_context::TraceContext};

/// The header a request's place in a trace comes in.
pub(super) const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static CURRENT: Context;
}

/// Of one request; clones share the notes and headers.
#[derive(Debug, Clone)]
pub(super) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: RequestId,
    trace: Option<TraceContext>,
    notes: Mutex<Notes>,
    /// For the answer, whatever it will be.
    headers: Mutex<HeaderMap>,
}

impl Context {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let trace = TraceContext::of(headers);
        Self::new(RequestId::of(headers, trace.as_ref()), trace)
    }

    pub(super) fn new(id: RequestId, trace: Option<TraceContext>) -> Self {
        Self(Arc::new(Inner {
            id,
            trace,
            notes: Mutex::default(),
            headers: Mutex::default(),
        }))
    }

    /// Of the request this task answers.
    pub(super) fn try_current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The same; outside a request, one of nobody's.
    pub(super) fn current() -> Self {
        Self::try_current().unwrap_or_else(|| Self::of(&HeaderMap::new()))
    }

    /// Runs `work` as part of this request.
    pub(super) async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    pub(super) fn id(&self) -> &RequestId {
        &self.0.id
    }

    pub(super) fn trace(&self) -> Option<&TraceContext> {
        self.0.trace.as_ref()
    }

    pub(super) fn notes(&self) -> &Mutex<Notes> {
        &self.0.notes
    }

    pub(super) fn headers(&self) -> MutexGuard<'_, HeaderMap> {
        let headers = self.0.headers.lock();
        headers.unwrap_or_else(PoisonError::into_inner)
    }

    /// The notes so far.
    pub(super) fn noted(&self) -> Notes {
        let notes = self.0.notes.lock();
        notes.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TraceContext {
    /// What the one `traceparent` says; `None` if there is none or it says nothing sound.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        let (first, second) = (sent.next()?, sent.next());
        match second {
            None => first.to_str().ok()?.parse().ok(),
            Some(_) => None,
        }
    }

    /// Of the request this task is answering, inside the layers of [`super::layers`].
    #[must_use]
    pub fn current() -> Option<Self> {
        Context::try_current()?.trace().copied()
    }
}

impl RequestId {
    /// The id of the request this task is answering, inside the layers of
    /// [`super::layers`].
    #[must_use]
    pub fn current() -> Option<Self> {
        Some(Context::try_current()?.id().clone())
    }
}
