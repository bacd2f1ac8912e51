//! Headers that code deep inside a request adds to its answer, whatever that answer will be.

use std::cell::RefCell;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};

tokio::task_local! {
    static ADDED: RefCell<HeaderMap>;
}

/// Adds a header to the answer of the request that this task is answering, be it a success, a
/// problem or a timeout. Of a name added twice the last value counts. Outside the layers of
/// [`crate::http::layers`] it does nothing.
pub fn add(name: HeaderName, value: HeaderValue) {
    // An error means that there is no request: a test, or a task of its own.
    let _ = ADDED.try_with(|added| added.borrow_mut().insert(name, value));
}

/// The answer, with what was added while it was made.
pub(super) async fn collect(answer: impl Future<Output = Response>) -> Response {
    let collecting = async {
        let mut response = answer.await;
        let added = ADDED.with(RefCell::take);
        response.headers_mut().extend(added);
        response
    };
    ADDED.scope(RefCell::default(), collecting).await
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-noted");

    #[tokio::test]
    async fn what_is_added_is_in_this_answer_and_no_other() {
        add(NAME, HeaderValue::from_static("nowhere"));
        let answer = collect(async {
            add(NAME, HeaderValue::from_static("first"));
            add(NAME, HeaderValue::from_static("last"));
            "done".into_response()
        });
        let answer = answer.await;
        let values: Vec<_> = answer.headers().get_all(NAME).iter().collect();
        assert_eq!(values, ["last"]);
        let other = collect(async { "done".into_response() }).await;
        assert!(other.headers().get(NAME).is_none());
    }
}
