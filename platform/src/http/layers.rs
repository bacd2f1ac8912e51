//! What surrounds every route: request id, metrics, log line, panic and
//! timeout turned into problems, security headers, 404 and 405.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    handler::Handler,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tracing::{Instrument, debug, info_span, warn};

use super::{
    answer_headers,
    problem::Problem,
    request_id::{self, RequestId},
};
use crate::{config::HttpConfig, telemetry::names};

/// The route of a request that no route matched, as a label.
const UNMATCHED: &str = "unmatched";

/// How long a client should wait after its request took too long.
const RETRY_AFTER_TIMEOUT: Duration = Duration::from_secs(1);

struct Surroundings {
    service: &'static str,
    request_timeout: Duration,
}

/// Surrounds one service's routes.
///
/// The router must have no fallback of its own. `service` is the label of its
/// metrics. To be called once, after the state was given.
pub fn standard(router: Router, service: &'static str, config: &HttpConfig) -> Router {
    combined(service, [(service, router)], config)
}

/// Surrounds the routes of several services and joins them in one router, each
/// with its own label; `name` is the label of what matches none of them.
///
/// Two services may share a path when their methods differ.
///
/// # Panics
/// When two services have the same path and method, which is a fault of the
/// program and shows at start.
pub fn combined(
    name: &'static str,
    services: impl IntoIterator<Item = (&'static str, Router)>,
    config: &HttpConfig,
) -> Router {
    let surroundings = |service| {
        Arc::new(Surroundings {
            service,
            request_timeout: config.request_timeout,
        })
    };
    let mut joined = Router::new();
    for (service, router) in services {
        joined = joined.merge(router.layer(from_fn_with_state(surroundings(service), surround)));
    }
    // After the merge, because two routers that both have fallbacks cannot be
    // merged; and with the layer, because the one above does not reach them.
    let layer = || from_fn_with_state(surroundings(name), surround);
    joined
        .method_not_allowed_fallback((async || Problem::method_not_allowed()).layer(layer()))
        .fallback((async || Problem::not_found()).layer(layer()))
}

async fn surround(
    State(around): State<Arc<Surroundings>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    // A 405 has a matched path; a 404 has none.
    let route = matched
        .as_ref()
        .map_or(UNMATCHED, MatchedPath::as_str)
        .to_owned();
    let id = RequestId::of(request.headers());
    // The matched route and not the path, and no query: both may hold what
    // a user would not want in a log.
    let span = info_span!(
        "request",
        service = around.service,
        method,
        route,
        request_id = id.as_str()
    );

    let answer = answer_headers::collect(guarded(next.run(request), around.request_timeout));
    let mut response = id.clone().scope(answer).instrument(span.clone()).await;

    add_headers(&mut response, &id);
    let status = response.status();
    let elapsed = started.elapsed();
    count(around.service, method, &route, status, elapsed);
    let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
    span.in_scope(|| {
        if status.is_server_error() {
            warn!(status = status.as_u16(), elapsed_ms, "answered");
        } else {
            debug!(status = status.as_u16(), elapsed_ms, "answered");
        }
    });
    response
}

/// The answer, or a problem when it panics or takes too long.
async fn guarded(answer: impl Future<Output = Response>, bound: Duration) -> Response {
    let unwinding = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(bound, unwinding).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            Problem::internal(anyhow!("panic: {}", panic_text(&*panic))).into_response()
        }
        Err(_) => Problem::unavailable(
            "timeout",
            "The request took too long and was given up.",
            RETRY_AFTER_TIMEOUT,
        )
        .into_response(),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

fn add_headers(response: &mut Response, id: &RequestId) {
    let headers = response.headers_mut();
    if let Some(value) = id.header_value() {
        headers.insert(request_id::HEADER, value);
    }
    // What a handler chose stays: assets are cached, a page is framed by none.
    let defaults: [(HeaderName, &'static str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in defaults {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

fn count(
    service: &'static str,
    method: &'static str,
    route: &str,
    status: StatusCode,
    elapsed: Duration,
) {
    let route = route.to_owned();
    metrics::counter!(names::HTTP_REQUESTS, "service" => service, "method" => method,
        "route" => route.clone(), "status" => status.as_u16().to_string())
    .increment(1);
    metrics::histogram!(names::HTTP_REQUEST_DURATION, "service" => service, "method" => method, "route" => route)
        .record(elapsed.as_secs_f64());
}

/// A client may invent methods; a label may not.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::IpAddr};

    use axum::{
        body::{Body, to_bytes},
        routing::{get, post},
    };
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::telemetry;

    fn config() -> HttpConfig {
        HttpConfig {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            header_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_millis(50),
            max_connections: 8,
        }
    }

    fn app() -> Router {
        let one = Router::new()
            .route("/shared", get(async || "read"))
            .route("/panics", get(async || -> &'static str { panic!("hush") }))
            .route("/stuck/{id}", get(pending::<&'static str>))
            .route(
                "/asset",
                get(async || ([(header::CACHE_CONTROL, "max-age=9")], "")),
            );
        let two = Router::new().route("/shared", post(async || "written"));
        combined("both", [("one", one), ("two", two)], &config())
    }

    async fn call(method: &str, path: &str) -> (Response<()>, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-request-id", "id-1");
        let response = app()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 16).await.unwrap();
        (
            Response::from_parts(parts, ()),
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }

    #[tokio::test]
    async fn the_request_id_is_echoed_and_in_the_problem() {
        let (response, body) = call("GET", "/nowhere").await;
        assert_eq!(response.headers()["x-request-id"], "id-1");
        assert_eq!(body["instance"], "id-1");
        let (response, _) = call("GET", "/shared").await;
        assert_eq!(response.headers()["x-request-id"], "id-1");
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_problem() {
        let (response, body) = call("GET", "/nowhere").await;
        assert_eq!(
            (response.status().as_u16(), body["code"].as_str()),
            (404, Some("not_found"))
        );
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let (response, body) = call("DELETE", "/shared").await;
        assert_eq!(
            (response.status().as_u16(), body["code"].as_str()),
            (405, Some("method_not_allowed"))
        );
        assert_eq!(response.headers()["allow"], "GET,HEAD,POST");
    }

    #[tokio::test]
    async fn two_services_share_a_path_with_different_methods() {
        assert_eq!(call("GET", "/shared").await.0.status(), 200);
        assert_eq!(call("POST", "/shared").await.0.status(), 200);
    }

    #[tokio::test]
    async fn a_panic_is_a_500_that_tells_nothing() {
        let (response, body) = call("GET", "/panics").await;
        assert_eq!(
            (response.status().as_u16(), body["code"].as_str()),
            (500, Some("internal"))
        );
        assert!(!body.to_string().contains("hush"));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_a_503_that_may_be_tried_again() {
        let (response, body) = call("GET", "/stuck/1").await;
        assert_eq!(
            (response.status().as_u16(), body["code"].as_str()),
            (503, Some("timeout"))
        );
        assert_eq!(response.headers()["retry-after"], "1");
    }

    #[tokio::test]
    async fn answers_are_not_stored_unless_the_handler_says_so() {
        assert_eq!(
            call("GET", "/shared").await.0.headers()["cache-control"],
            "no-store"
        );
        assert_eq!(
            call("GET", "/asset").await.0.headers()["cache-control"],
            "max-age=9"
        );
    }

    #[tokio::test]
    async fn labels_are_routes_and_known_methods_only() {
        let handle = telemetry::metrics::install().unwrap();
        call("GET", "/stuck/4711").await;
        call("GET", "/nowhere/4711").await;
        call("BREW", "/shared").await;
        let text = handle.render();
        assert!(
            text.contains("service=\"one\",method=\"GET\",route=\"/stuck/{id}\",status=\"503\""),
            "{text}"
        );
        assert!(
            text.contains("service=\"both\",method=\"GET\",route=\"unmatched\",status=\"404\""),
            "{text}"
        );
        assert!(
            text.contains("service=\"both\",method=\"other\",route=\"/shared\",status=\"405\""),
            "{text}"
        );
        assert!(!text.contains("4711") && !text.contains("BREW"), "{text}");
    }
}
