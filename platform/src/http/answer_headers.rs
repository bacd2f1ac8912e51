//! Headers that code deep inside a request adds to its answer, whatever that answer will be.

use axum::http::{HeaderName, HeaderValue};

use super::context::Context;

/// Adds a header to the answer of the request that this task is answering, be it a success, a
/// problem or a timeout. Of a name added twice the last value counts. Outside the layers of
/// [`crate::http::layers`] it does nothing.
pub fn add(name: HeaderName, value: HeaderValue) {
    if let Some(context) = Context::try_current() {
        context.headers().insert(name, value);
    }
}
