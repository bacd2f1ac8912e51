//! The HTTP server: bounded in connections and in how long a head may take,
//! and drained when it ends.
//!
//! It speaks HTTP/1.1 alone. Telling HTTP/2 apart would mean to wait for a
//! connection's first bytes before any timeout of hyper's runs; the reverse
//! proxy in front speaks HTTP/2 to the outside.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt;
use tracing::{debug, info, warn};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::lingering::Lingering;
use crate::{config::HttpConfig, lifecycle::Shutdown, telemetry::names};

/// The most bytes of a request's head; more is answered with 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long accepting pauses when the process is out of something, such as
/// file descriptors: trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What a drain gives on top of a request's own timeout.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Keeps a connection among those that the server counts and, at its end, waits for. Every
/// request has it among its extensions; who upgrades the connection and goes on with it keeps
/// it, since then the connection is no request's any more.
#[derive(Debug, Clone)]
pub struct ConnectionHold {
    _permit: Arc<OwnedSemaphorePermit>,
    _token: TaskTrackerToken,
}

/// Opens the listening socket.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind(config: &HttpConfig) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(config.host, config.port);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// Serves until `shutdown` is triggered, then stops accepting and lets the
/// requests in flight finish, for at most the request timeout and a second.
///
/// Handlers find the client's address in `ConnectInfo<SocketAddr>`. An answer
/// without end (a live stream), and an upgraded connection that is kept by its
/// [`ConnectionHold`], must end by themselves when `shutdown` is triggered.
///
/// # Errors
/// When the socket's own address cannot be read.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: HttpConfig,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listening socket has no address")?;
    info!(%address, "listening");
    let permits = Arc::new(Semaphore::new(config.max_connections));
    // Dropping the set aborts what is left, so nothing outlives this call.
    let mut connections = JoinSet::new();
    let held = TaskTracker::new();
    held.close();
    loop {
        tokio::select! {
            biased;
            () = shutdown.triggered() => break,
            Some(_ended) = connections.join_next() => {}
            // The permit comes first: connections beyond the limit wait in the
            // kernel's queue and cost this process nothing.
            accepted = accept(&listener, &permits) => match accepted {
                Ok((stream, peer, permit)) => {
                    let connection = Connection {
                        stream,
                        peer,
                        header_timeout: config.header_timeout,
                        write_timeout: config.write_timeout,
                    };
                    let hold = ConnectionHold { _permit: Arc::new(permit), _token: held.token() };
                    connections.spawn(connection.run(router.clone(), shutdown.clone(), hold));
                }
                Err(error) if concerns_one_connection(&error) => debug!(%error, "a connection was not accepted"),
                Err(error) => {
                    warn!(%error, "accepting pauses");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let drain = async {
        while connections.join_next().await.is_some() {}
        held.wait().await;
    };
    if timeout(config.request_timeout + DRAIN_GRACE, drain)
        .await
        .is_err()
    {
        let connections = connections.len().max(held.len());
        warn!(%address, connections, "connections were cut that did not end in time");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// Whether the peer is at fault and the listener is well.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A connection among the open ones, also when it is cut.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!(names::HTTP_CONNECTIONS).increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(names::HTTP_CONNECTIONS).decrement(1.0);
    }
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    header_timeout: Duration,
    write_timeout: Duration,
}

impl Connection {
    async fn run(self, router: Router, shutdown: Shutdown, hold: ConnectionHold) {
        let peer = self.peer;
        let _counted = Counted::new();
        // Answers are small and wanted at once.
        if let Err(error) = self.stream.set_nodelay(true) {
            debug!(%peer, %error, "TCP_NODELAY cannot be set");
        }
        if let Err(error) = drop_when_stalled(&self.stream, self.write_timeout) {
            debug!(%peer, %error, "TCP_USER_TIMEOUT cannot be set");
        }
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(hold.clone());
            router.clone().oneshot(request.map(Body::new))
        });
        let mut http = http1::Builder::new();
        // Without a timer hyper's header timeout does nothing.
        http.timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MAX_HEAD_BYTES);
        let mut connection = pin!(
            http.serve_connection(TokioIo::new(Lingering::new(self.stream)), service)
                .with_upgrades()
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.triggered() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "a connection ended early");
        }
    }
}

/// Has the kernel end a connection whose peer acknowledges nothing, or whose window stays
/// closed, for so long (RFC 5482). A timer of our own cannot tell: with megabytes in the
/// socket's buffer, a slow reader looks like a dead one.
#[cfg(target_os = "linux")]
fn drop_when_stalled(stream: &TcpStream, bound: Duration) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(bound))
}

/// Elsewhere TCP's own patience holds.
#[cfg(not(target_os = "linux"))]
fn drop_when_stalled(_stream: &TcpStream, _bound: Duration) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
