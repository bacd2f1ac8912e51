use std::{net::IpAddr, time::Instant};

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use super::*;
use crate::http::{layers, testing::Running};

fn config() -> HttpConfig {
    HttpConfig {
        host: IpAddr::from([127, 0, 0, 1]),
        port: 0,
        header_timeout: Duration::from_millis(200),
        request_timeout: Duration::from_secs(5),
        max_connections: 2,
        cors: None,
        hsts_max_age: None,
        write_timeout: Duration::from_secs(5),
    }
}

fn hello() -> Router {
    layers::standard(
        Router::new().route("/", get(async || "hello")),
        "test",
        &config(),
    )
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut text))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_request_is_answered_and_the_connection_kept() {
    let server = Running::start(hello(), config()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        rest(&mut stream).await.matches("HTTP/1.1 200 OK").count(),
        2
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_head_and_a_silent_connection_are_cut() {
    let server = Running::start(hello(), config()).await;
    for start in ["", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let began = Instant::now();
        rest(&mut stream).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{start:?}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let server = Running::start(hello(), config()).await;
    let mut stream = server.connect().await;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-big: {}",
        "a".repeat(MAX_HEAD_BYTES)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431 "));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_in_flight_finishes_when_the_server_drains() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&go_on));
    let slow = get(async move || {
        enter.notify_one();
        wait.notified().await;
        "done"
    });
    let server = Running::start(Router::new().route("/", slow), config()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    entered.notified().await;
    server.shutdown.trigger();
    // The listener is gone before the request is: wait for that.
    timeout(Duration::from_secs(5), async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    go_on.notify_one();
    let answer = rest(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"),
        "{answer}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let server = Running::start(
        hello(),
        HttpConfig {
            header_timeout: Duration::from_secs(60),
            ..config()
        },
    )
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    timeout(Duration::from_secs(3), server.stop())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let config = HttpConfig {
        max_connections: 1,
        header_timeout: Duration::from_secs(60),
        ..config()
    };
    let server = Running::start(hello(), config).await;
    let holder = server.connect().await;
    let mut waiting = server.connect().await;
    waiting
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let early = timeout(Duration::from_millis(100), waiting.readable()).await;
    assert!(early.is_err(), "answered although the limit was reached");
    drop(holder);
    assert!(rest(&mut waiting).await.starts_with("HTTP/1.1 200 OK"));
    server.stop().await.unwrap();
}

/// An answer without end, which says when it is given up.
struct Endless(Arc<Notify>);

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped_and_one_that_takes_little_is_not() {
    let given_up = Arc::new(Notify::new());
    let told = Arc::clone(&given_up);
    let endless = get(async move || {
        let state = Endless(Arc::clone(&told));
        Body::from_stream(futures_util::stream::unfold(state, async |state| {
            Some((Ok::<_, io::Error>(vec![0_u8; 64 * 1024]), state))
        }))
    });
    let config = HttpConfig {
        write_timeout: Duration::from_secs(1),
        ..config()
    };
    let server = Running::start(Router::new().route("/", endless), config).await;
    let mut stream = server.connect().await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // Two megabytes a second, for three times as long as one may take nothing.
    let mut taken = vec![0_u8; 200 * 1024];
    for _ in 0..30 {
        stream.read_exact(&mut taken).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let told = given_up.notified();
    timeout(Duration::from_secs(30), told)
        .await
        .expect("given up");
    drop(stream);
    server.shutdown.trigger();
    server.stop().await.unwrap();
}
