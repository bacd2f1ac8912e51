//! A server on a free port, for the tests of this folder.

use std::net::SocketAddr;

use axum::Router;
use tokio::{net::TcpStream, task::JoinHandle};

use super::server;
use crate::{config::HttpConfig, lifecycle::Shutdown};

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub(super) async fn start(router: Router, config: HttpConfig) -> Self {
        let listener = server::bind(&config).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let task = tokio::spawn(server::serve(listener, router, config, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
        }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.trigger();
        self.task.await.unwrap()
    }
}
