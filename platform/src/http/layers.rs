//! What surrounds every route: request id and trace, metrics, one log line, panic and
//! timeout turned into problems, security headers, CORS, 404 and 405.

use std::{
    any::Any,
    mem,
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
use tower::util::option_layer;
use tracing::{Instrument, Span, debug, info, info_span, warn};

use super::{
    context::Context,
    cors,
    notes::Notes,
    problem::Problem,
    request_id::{self, RequestId},
    trace_context::TraceContext,
};
use crate::{config::HttpConfig, telemetry::names};

/// The route of a request that no route matched, as a label.
const UNMATCHED: &str = "unmatched";

/// How long a client should wait after its request took too long.
const RETRY_AFTER_TIMEOUT: Duration = Duration::from_secs(1);

struct Surroundings {
    service: &'static str,
    request_timeout: Duration,
    headers: Vec<(HeaderName, HeaderValue)>,
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
    let surround = |service| {
        let around = Surroundings {
            service,
            request_timeout: config.request_timeout,
            headers: default_headers(config),
        };
        from_fn_with_state(Arc::new(around), surround)
    };
    let cors = || option_layer(config.cors.as_ref().map(cors::layer));
    let mut joined = Router::new();
    for (service, router) in services {
        joined = joined.merge(router.layer(cors()).layer(surround(service)));
    }
    // After the merge, because two routers that both have fallbacks cannot be
    // merged; and with the layers, because those above do not reach them.
    joined
        .method_not_allowed_fallback(
            (async || Problem::method_not_allowed())
                .layer(cors())
                .layer(surround(name)),
        )
        .fallback(
            (async || Problem::not_found())
                .layer(cors())
                .layer(surround(name)),
        )
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
    let context = Context::of(request.headers());
    // The matched route and not the path, and no query: both may hold what
    // a user would not want in a log.
    let span = info_span!(
        "request",
        service = around.service,
        method,
        route,
        request_id = context.id().as_str(),
        trace_id = context.trace().map(TraceContext::trace_id),
    );

    let answer = guarded(next.run(request), around.request_timeout);
    let answer = context.clone().scope(answer).instrument(span.clone());
    let mut response = answer.await;

    let added = mem::take(&mut *context.headers());
    response.headers_mut().extend(added);
    add_headers(&mut response, context.id(), &around.headers);
    let status = response.status();
    let elapsed = started.elapsed();
    count(around.service, method, &route, status, elapsed);
    log(&span, &route, status, elapsed, &context.noted());
    response
}

/// The one line of a request.
fn log(span: &Span, route: &str, status: StatusCode, elapsed: Duration, notes: &Notes) {
    let _in_span = span.enter();
    let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
    let Notes {
        organization,
        bytes_in,
        events_accepted,
        events_refused,
    } = notes;
    let organization = organization.map(tracing::field::display);
    let events = events_accepted + events_refused > 0;
    let accepted = events.then_some(events_accepted);
    let refused = events.then_some(events_refused);
    // A macro, since the level of an event is part of its static description.
    macro_rules! line {
        ($level:ident) => {
            $level!(
                status = status.as_u16(),
                elapsed_ms,
                organization,
                bytes_in,
                events_accepted = accepted,
                events_refused = refused,
                "answered"
            )
        };
    }
    if status.is_server_error() {
        line!(warn);
    } else if is_asked_by_machines(route) {
        line!(debug);
    } else {
        line!(info);
    }
}

/// Health checks and scrapes, which come every few seconds and say nothing new.
fn is_asked_by_machines(route: &str) -> bool {
    route == "/metrics"
        || route.starts_with("/health/")
        || route.ends_with("/health")
        || route.starts_with("/api/metrics/health/")
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

/// What an answer has unless its handler chose otherwise: assets are cached, a page allows
/// its own scripts.
fn default_headers(config: &HttpConfig) -> Vec<(HeaderName, HeaderValue)> {
    // Who may read answers across origins may also embed them.
    let resource_policy = match config.cors {
        None => "same-origin",
        Some(_) => "cross-origin",
    };
    let mut headers: Vec<_> = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            resource_policy,
        ),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .into();
    let hsts = config
        .hsts_max_age
        .map(|age| format!("max-age={}", age.as_secs()));
    if let Some(Ok(value)) = hsts.map(HeaderValue::try_from) {
        headers.push((header::STRICT_TRANSPORT_SECURITY, value));
    }
    headers
}

fn add_headers(response: &mut Response, id: &RequestId, defaults: &[(HeaderName, HeaderValue)]) {
    let headers = response.headers_mut();
    if let Some(value) = id.header_value() {
        headers.insert(request_id::HEADER, value);
    }
    for (name, value) in defaults {
        headers.entry(name).or_insert_with(|| value.clone());
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
#[path = "layers_tests.rs"]
mod tests;
