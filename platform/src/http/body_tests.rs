use std::{convert::Infallible, io::Write, sync::Arc};

use axum::{
    Router,
    body::{Body as HttpBody, to_bytes},
    http::Request,
    middleware::from_fn_with_state,
    response::Response,
    routing::post,
};
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};
use tower::ServiceExt;

use super::*;
use crate::{
    config::{Env, HttpConfig},
    http::{budget::Budget, layers, testing::Running},
};

const LIMIT: usize = 200_000;
const BOUND: Duration = Duration::from_secs(10);

fn config() -> HttpConfig {
    HttpConfig::from_env(&mut Env::from_pairs([("PORT", "0")]))
}

/// Answers with the size of what it was sent.
fn app(timeout: Duration, budget: &Arc<Budget>) -> Router {
    let limits = Limits {
        bytes: LIMIT,
        timeout,
    };
    let size = async |request: axum::extract::Request| {
        let limits = Limits::of(&request);
        let body = read(request, &limits).await?;
        Ok::<_, Problem>(body.len().to_string())
    };
    let router = Router::new()
        .route("/", post(size))
        .layer(limits.layer())
        .layer(from_fn_with_state(Arc::clone(budget), overload::limit));
    layers::standard(router, "test", &config())
}

fn plenty() -> Arc<Budget> {
    Budget::new(100, 100 << 20)
}

async fn send(budget: &Arc<Budget>, encoding: &str, body: impl Into<HttpBody>) -> Response {
    let request = Request::post("/")
        .header("content-encoding", encoding)
        .body(body.into())
        .unwrap();
    app(BOUND, budget).oneshot(request).await.unwrap()
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn chunked(bytes: Vec<u8>) -> HttpBody {
    let chunks: Vec<_> = bytes
        .chunks(1000)
        .map(|chunk| Ok::<_, Infallible>(chunk.to_vec()))
        .collect();
    HttpBody::from_stream(stream::iter(chunks))
}

#[tokio::test]
async fn a_body_is_decoded_whatever_its_size_and_nothing_stays_held() {
    let budget = plenty();
    for size in [
        0,
        1,
        5000,
        DECODED_ON_THE_SPOT,
        DECODED_ON_THE_SPOT + 1,
        LIMIT,
    ] {
        // Random enough to be larger than what is decoded on the spot.
        let plain: Vec<u8> = (0..size as u64).map(|i| (i * i % 251) as u8).collect();
        for (encoding, body) in [
            ("identity", plain.clone()),
            ("gzip", gzip(&plain)),
            ("zstd", zstd::encode_all(&plain[..], 3).unwrap()),
        ] {
            for body in [HttpBody::from(body.clone()), chunked(body)] {
                let (status, answered) = answer(send(&budget, encoding, body).await).await;
                assert_eq!((status, answered), (200, size.into()), "{encoding}");
                assert_eq!((budget.requests(), budget.bytes()), (0, 0));
            }
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_said_to_be_so_before_or_after_decoding() {
    let budget = plenty();
    let large = vec![b' '; LIMIT + 1];
    let bomb = vec![0; 100 << 20];
    let random: Vec<u8> = large.iter().map(|_| rand_byte()).collect();
    for (encoding, body, which) in [
        ("identity", large.clone(), "The body"),
        ("gzip", gzip(&large), "The decoded body"),
        (
            "zstd",
            zstd::encode_all(&bomb[..], 3).unwrap(),
            "The decoded body",
        ),
        ("gzip", gzip(&random), "The encoded body"),
    ] {
        for body in [HttpBody::from(body.clone()), chunked(body)] {
            let (status, problem) = answer(send(&budget, encoding, body).await).await;
            assert_eq!(
                (status, &problem["code"]),
                (413, &"payload_too_large".into())
            );
            assert!(
                problem["detail"].as_str().unwrap().starts_with(which),
                "{problem}"
            );
            assert_eq!(problem["limit"], LIMIT);
        }
    }
    assert_eq!(budget.bytes(), 0);
}

/// What no compression makes smaller.
fn rand_byte() -> u8 {
    uuid::Uuid::new_v4().as_bytes()[0]
}

#[tokio::test]
async fn an_encoding_that_is_unknown_or_untrue_is_refused() {
    let budget = plenty();
    for encoding in ["br", "deflate", "gzip, gzip", "zstd, gzip"] {
        let response = send(&budget, encoding, "{}").await;
        assert_eq!(
            response.headers()["accept-encoding"],
            "gzip, zstd, identity"
        );
        let (status, problem) = answer(response).await;
        assert_eq!(
            (status, &problem["code"]),
            (415, &"unsupported_encoding".into())
        );
    }
    for (encoding, body) in [
        ("gzip", b"{}".to_vec()),
        ("zstd", gzip(b"{}")),
        ("gzip", [gzip(b"{}"), b"more".to_vec()].concat()),
        ("gzip", gzip(b"{}")[..15].to_vec()),
        ("zstd", Vec::new()),
    ] {
        let (status, problem) = answer(send(&budget, encoding, body).await).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &"invalid_encoding".into())
        );
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_incomplete() {
    let chunks = stream::iter([Ok("{"), Err(std::io::Error::other("gone"))]);
    let (status, problem) =
        answer(send(&plenty(), "identity", HttpBody::from_stream(chunks)).await).await;
    assert_eq!((status, &problem["code"]), (400, &"incomplete_body".into()));
}

#[tokio::test]
async fn memory_is_reserved_before_it_is_used() {
    let small = Budget::new(1, 30_000);
    let plain = vec![b' '; 100_000];
    for (encoding, body) in [
        ("identity", HttpBody::from(plain.clone())),
        ("identity", chunked(plain.clone())),
        ("gzip", HttpBody::from(gzip(&plain))),
        ("zstd", chunked(zstd::encode_all(&plain[..], 3).unwrap())),
    ] {
        let response = send(&small, encoding, body).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let (status, problem) = answer(response).await;
        assert_eq!((status, &problem["code"]), (503, &"overloaded".into()));
        assert_eq!((small.requests(), small.bytes()), (0, 0));
    }
    let fits = answer(send(&small, "identity", " ".repeat(2500)).await).await;
    assert_eq!(fits.0, 200);
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(BOUND, stream.read_to_end(&mut text))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(text).unwrap()
}

async fn head(server: &Running, more: &str) -> TcpStream {
    let mut stream = server.connect().await;
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{more}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_cut() {
    let app = app(Duration::from_millis(300), &plenty());
    let server = Running::start(app, config()).await;
    for (framing, byte) in [
        ("content-length: 1000", "1"),
        ("transfer-encoding: chunked", "1\r\n1\r\n"),
    ] {
        let stream = head(&server, framing).await;
        let (mut reading, mut writing) = stream.into_split();
        // One byte now and then, for as long as somebody listens.
        let trickle = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(50));
            loop {
                ticks.tick().await;
                if writing.write_all(byte.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let mut text = Vec::new();
        let end = timeout(BOUND, reading.read_to_end(&mut text)).await;
        // A reset may follow the answer, as the client goes on sending.
        let _closed = end.unwrap();
        trickle.abort();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert!(
            text.contains("connection: close") && text.contains("body_timeout"),
            "{text}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_announced_length_beyond_the_limit_is_refused_before_the_body_comes() {
    let server = Running::start(app(BOUND, &plenty()), config()).await;
    let too_long = format!("content-length: {}", LIMIT + 1);
    for expect in ["", "\r\nexpect: 100-continue"] {
        let mut stream = head(&server, &format!("{too_long}{expect}")).await;
        let text = read_all(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
        assert!(text.contains("connection: close"), "{text}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_answer_arrives_though_the_client_goes_on_sending() {
    let server = Running::start(app(BOUND, &plenty()), config()).await;
    let mut stream = head(&server, "content-length: 20000000").await;
    // More than the sockets' buffers hold, so that somebody must have read it.
    stream.write_all(&vec![b' '; 20_000_000]).await.unwrap();
    let text = read_all(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_expects_to_be_asked_for_the_body_is_asked() {
    let server = Running::start(app(BOUND, &plenty()), config()).await;
    let mut stream = head(
        &server,
        "content-length: 2\r\nconnection: close\r\nexpect: 100-continue",
    )
    .await;
    let mut asked = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    timeout(BOUND, stream.read_exact(&mut asked))
        .await
        .unwrap()
        .unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 "));
    stream.write_all(b"{}").await.unwrap();
    let text = read_all(&mut stream).await;
    assert!(
        text.starts_with("HTTP/1.1 200 ") && text.ends_with('2'),
        "{text}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn bodies_on_their_way_take_room_until_their_clients_are_gone() {
    let budget = Budget::new(2, 150_000);
    let server = Running::start(app(BOUND, &budget), config()).await;
    let mut announced = head(&server, "content-length: 100000").await;
    until(|| budget.bytes() == 100_000).await;
    let mut refused = head(&server, "content-length: 100000").await;
    refused.write_all(&[b' '; 100_000]).await.unwrap();
    let mut start = vec![0; 13];
    timeout(BOUND, refused.read_exact(&mut start))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(start, b"HTTP/1.1 503 ");
    let mut third = head(&server, "content-length: 1").await;
    until(|| budget.requests() == 2).await;
    let mut fourth = head(&server, "content-length: 1\r\nconnection: close").await;
    assert!(read_all(&mut fourth).await.starts_with("HTTP/1.1 503 "));
    third.write_all(b"1").await.unwrap();
    timeout(BOUND, third.read_exact(&mut start))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(start, b"HTTP/1.1 200 ");
    announced.write_all(b"some").await.unwrap();
    drop(announced);
    until(|| (budget.requests(), budget.bytes()) == (0, 0)).await;
    server.stop().await.unwrap();
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, wait).await.unwrap();
}
