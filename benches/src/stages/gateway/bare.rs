//! What HTTP itself costs: axum with a handler that reads the body and answers 202.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    http::StatusCode,
    routing::{get, post},
    serve::ListenerExt,
};
use tokio::net::TcpListener;

use crate::harness::{
    Context, Run,
    installation::{Installation, Service},
    pinned,
};

/// Starts it on the servers' cores, as a worker.
pub(super) fn start(context: &Context, installation: &Installation) -> anyhow::Result<Service> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = pinned(&context.cores.server, &program);
    command.args(["worker", "gateway-bare"]);
    let mut service = installation.start_peer(context, "bare", command)?;
    service.until_ready()?;
    Ok(service)
}

/// Serves at the port in `PORT` until it is killed.
pub(in crate::stages) fn serve() -> anyhow::Result<Run> {
    let port = std::env::var("PORT").context("PORT is missing")?.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        // Without a delay, as our own server does.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let router = Router::new()
            .route("/health/ready", get(StatusCode::OK))
            .route(
                "/api/metrics/commands",
                post(async |_: Bytes| StatusCode::ACCEPTED),
            );
        axum::serve(listener, router).await?;
        Ok(Run::default())
    })
}
