use axum::{Router, body::Body, http::Request, middleware::from_fn_with_state, routing::get};
use tokio::sync::Notify;
use tower::ServiceExt;

use super::*;
use crate::http::{notes, request_id::RequestId};

fn around(budget: &Arc<Budget>, router: Router) -> Router {
    router.layer(from_fn_with_state(Arc::clone(budget), limit))
}

fn call(app: &Router) -> impl Future<Output = Response> + use<> {
    let request = Request::get("/").body(Body::empty()).unwrap();
    let app = app.clone();
    async move { app.oneshot(request).await.unwrap() }
}

#[tokio::test]
async fn beyond_the_limit_a_call_is_refused_at_once_and_told_when_to_come_again() {
    let budget = Budget::new(1, 0);
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&go_on));
    let slow = get(async move || {
        enter.notify_one();
        wait.notified().await;
        "done"
    });
    let app = around(&budget, Router::new().route("/", slow));
    let first = tokio::spawn(call(&app));
    entered.notified().await;
    let refused = call(&app).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    go_on.notify_one();
    assert_eq!(first.await.unwrap().status(), 200);
    go_on.notify_one();
    assert_eq!(call(&app).await.status(), 200);
}

#[tokio::test]
async fn work_whose_client_has_gone_is_finished_and_accounted_for_until_then() {
    let budget = Budget::new(1, 0);
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let finished = Arc::new(Notify::new());
    let (enter, wait, finish) = (
        Arc::clone(&entered),
        Arc::clone(&go_on),
        Arc::clone(&finished),
    );
    let slow = get(async move || {
        enter.notify_one();
        wait.notified().await;
        finish.notify_one();
    });
    let app = around(&budget, Router::new().route("/", slow));
    let client = tokio::spawn(call(&app));
    entered.notified().await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    assert_eq!(budget.requests(), 1);
    go_on.notify_one();
    finished.notified().await;
    while budget.requests() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_handler_that_panics_gives_its_slot_back() {
    let budget = Budget::new(1, 0);
    let panics = get(async || -> &'static str { panic!("expected") });
    let app = around(&budget, Router::new().route("/", panics));
    assert!(tokio::spawn(call(&app)).await.unwrap_err().is_panic());
    assert_eq!(budget.requests(), 0);
}

#[tokio::test]
async fn a_handler_knows_its_request_and_may_note_something() {
    let handler = get(async || {
        notes::events(2, 1);
        RequestId::current().unwrap().as_str().to_owned()
    });
    let app = around(&Budget::new(1, 0), Router::new().route("/", handler));
    let context = Context::current();
    let response = context.clone().scope(call(&app)).await;
    let body = axum::body::to_bytes(response.into_body(), 100)
        .await
        .unwrap();
    assert_eq!(body, context.id().as_str());
    let noted = context.noted();
    assert_eq!((noted.events_accepted, noted.events_refused), (2, 1));
}
