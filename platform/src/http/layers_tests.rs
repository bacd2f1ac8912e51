use std::{future::pending, io, net::IpAddr, sync::Mutex};

use axum::{
    body::{Body, to_bytes},
    routing::{get, post},
};
use serde_json::Value;
use tower::ServiceExt;

use uuid::Uuid;

use super::*;
use crate::{
    config::CorsOrigins,
    http::{answer_headers, notes},
    telemetry,
};

fn config() -> HttpConfig {
    HttpConfig {
        host: IpAddr::from([127, 0, 0, 1]),
        port: 0,
        header_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_millis(50),
        max_connections: 8,
        cors: None,
        hsts_max_age: None,
        write_timeout: Duration::from_secs(5),
    }
}

fn app() -> Router {
    let one = Router::new()
        .route("/shared", get(async || "read"))
        .route("/panics", get(async || -> &'static str { panic!("hush") }))
        .route("/stuck/{id}", get(pending::<&'static str>))
        .route(
            "/adds",
            get(async || {
                answer_headers::add(ADDED, HeaderValue::from_static("first"));
                // As a request beyond its client is: in a task of its own.
                let context = Context::current();
                let work = context.scope(async {
                    answer_headers::add(ADDED, HeaderValue::from_static("last"));
                    pending::<&'static str>().await
                });
                tokio::spawn(work).await.unwrap()
            }),
        )
        .route(
            "/asset",
            get(async || ([(header::CACHE_CONTROL, "max-age=9")], "")),
        );
    let two = Router::new().route("/shared", post(async || "written"));
    combined("both", [("one", one), ("two", two)], &config())
}

const ADDED: HeaderName = HeaderName::from_static("x-added");

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
async fn headers_added_inside_are_on_whatever_answer_it_becomes() {
    answer_headers::add(ADDED, HeaderValue::from_static("nowhere"));
    let (response, body) = call("GET", "/adds").await;
    assert_eq!(body["code"], "timeout");
    let values: Vec<_> = response.headers().get_all(ADDED).iter().collect();
    assert_eq!(values, ["last"]);
    let (response, _) = call("GET", "/shared").await;
    assert!(!response.headers().contains_key(ADDED));
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

#[tokio::test]
async fn a_trace_gives_the_request_its_id_and_is_known_inside() {
    let inside = get(async || TraceContext::current().map_or_else(String::new, |t| t.to_string()));
    let app = standard(Router::new().route("/", inside), "test", &config());
    let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (sent, known) in [(sound, sound), ("00-0-0-00", "")] {
        let request = Request::get("/").header("traceparent", sent);
        let request = request.body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let id = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(id == "4bf92f3577b34da6a3ce929d0e0e4736", !known.is_empty());
        let body = to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(body, known);
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_of_security_and_a_handler_may_choose() {
    let page = get(async || {
        (
            [(header::CONTENT_SECURITY_POLICY, "default-src 'self'")],
            "page",
        )
    });
    let router = || Router::new().route("/page", page.clone());
    let ask = async |config: HttpConfig, path: &str| {
        let app = standard(router(), "test", &config);
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.oneshot(request).await.unwrap().headers().clone()
    };
    let none = ask(config(), "/nowhere").await;
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(none[name], value, "{name}");
    }
    assert!(!none.contains_key("strict-transport-security"));
    let page = ask(config(), "/page").await;
    assert_eq!(page["content-security-policy"], "default-src 'self'");
    let open = HttpConfig {
        cors: Some(CorsOrigins::Any),
        hsts_max_age: Some(Duration::from_secs(86_400)),
        ..config()
    };
    let page = ask(open, "/page").await;
    assert_eq!(page["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(page["strict-transport-security"], "max-age=86400");
}

#[tokio::test]
async fn pages_of_the_configured_origins_may_call_and_no_others() {
    let list = CorsOrigins::List(vec!["https://app.example".to_owned()]);
    for (cors, origin, allowed) in [
        (None, "https://app.example", None),
        (
            Some(list.clone()),
            "https://app.example",
            Some("https://app.example"),
        ),
        (Some(list.clone()), "https://evil.example", None),
        (Some(list), "null", None),
        (Some(CorsOrigins::Any), "https://evil.example", Some("*")),
    ] {
        let config = HttpConfig { cors, ..config() };
        let handler = post(async || -> StatusCode { panic!("a preflight reached the handler") });
        let app = standard(Router::new().route("/post", handler), "test", &config);
        for (path, method) in [
            ("/post", "OPTIONS"),
            ("/nowhere", "GET"),
            ("/post", "DELETE"),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,ce-id")
                .body(Body::empty())
                .unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let headers = response.headers();
            let found = headers.get("access-control-allow-origin");
            assert_eq!(
                found.map(|v| v.to_str().unwrap()),
                allowed,
                "{config:?} {path}"
            );
            assert!(!headers.contains_key("access-control-allow-credentials"));
            assert!(headers.contains_key("x-request-id"));
            if config.cors.is_none() {
                assert!(!headers.contains_key("access-control-allow-methods"));
            } else if method == "OPTIONS" {
                assert_eq!(response.status(), 200);
                assert_eq!(headers["access-control-max-age"], "600");
                assert_eq!(
                    headers["access-control-allow-methods"],
                    "GET,POST,PUT,DELETE"
                );
                let sent = headers["access-control-allow-headers"].to_str().unwrap();
                assert!(
                    sent.contains("idempotency-key") && sent.contains("ce-id"),
                    "{sent}"
                );
            } else {
                let read = headers["access-control-expose-headers"].to_str().unwrap();
                assert!(read.contains("retry-after") && read.contains("ratelimit-policy"));
            }
        }
    }
}

/// The lines that `work` logs, as JSON, from `info` up.
async fn logged(work: impl Future<Output = ()>) -> Vec<Value> {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    work.await;
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_request_has_one_line_that_says_what_is_worth_knowing_and_no_more() {
    let handler = post(async || {
        notes::organization(Uuid::from_u128(7));
        notes::events(3, 1);
        StatusCode::MULTI_STATUS
    });
    let router = Router::new()
        .route("/things/{id}", handler)
        .route("/health/live", get(async || "ok"))
        .route("/broken", get(async || StatusCode::SERVICE_UNAVAILABLE));
    let app = standard(router, "test", &config());
    let lines = logged(async {
        for (method, path) in [
            ("POST", "/things/4711?token=hush"),
            ("GET", "/health/live"),
            ("GET", "/broken"),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("authorization", "Bearer hush")
                .header(
                    "traceparent",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                );
            let request = request.body(Body::from("hush")).unwrap();
            app.clone().oneshot(request).await.unwrap();
        }
    })
    .await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let line = &lines[0];
    assert_eq!(
        (&line["level"], &line["status"]),
        (&"INFO".into(), &207.into())
    );
    assert!(line["elapsed_ms"].is_number());
    assert_eq!(line["organization"], Uuid::from_u128(7).to_string());
    assert_eq!(
        (&line["events_accepted"], &line["events_refused"]),
        (&3.into(), &1.into())
    );
    let span = &line["span"];
    assert_eq!(span["route"], "/things/{id}");
    assert_eq!(span["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span["request_id"], span["trace_id"]);
    assert_eq!(span["method"], "POST");
    assert_eq!(
        (&lines[1]["level"], &lines[1]["status"]),
        (&"WARN".into(), &503.into())
    );
    assert!(lines[1].get("events_accepted").is_none(), "{lines:?}");
    let text = format!("{lines:?}");
    assert!(!text.contains("hush") && !text.contains("4711"), "{text}");
}
