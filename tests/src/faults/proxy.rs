//! A connection between two parts that can be cut, refused and stalled.
//!
//! Kafka's clients do not stay at the address they were given: they go where the brokers'
//! answers send them. So the proxy of Kafka puts its own port in the place of the broker's in
//! those answers. The address is a text followed by four bytes of port in every version of
//! every answer that holds one, and the new port takes as many bytes as the old, so nothing
//! of the protocol need be understood but where an answer begins. A listener of the broker
//! for the tests would do as well, but would be a setting of the stack, and one proxy could
//! not be told from another. One broker is supported, whose address is `KAFKA_BROKERS`.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Brokers come first in every answer that holds their addresses.
const ADDRESS_WITHIN: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// New connections end at once.
    Refusing,
    /// Connections stay and nothing comes through, as when a cable is cut.
    Stalled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    mode: Mode,
    /// Connections of an earlier generation end.
    generation: u64,
}

/// Where the proxy leads to.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// Bytes as they are, to `host:port`.
    Plain(String),
    /// To a broker at `host:port`.
    Kafka(String),
}

impl Upstream {
    fn address(&self) -> &str {
        match self {
            Self::Plain(address) | Self::Kafka(address) => address,
        }
    }
}

/// Listens on a port of its own until dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(upstream: Upstream) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, watched) = watch::channel(State {
            mode: Mode::Open,
            generation: 0,
        });
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(client, upstream.clone(), port, watched.clone()));
            }
        });
        Self {
            port,
            state,
            accepting,
        }
    }

    fn set(&self, mode: Mode, ends_connections: bool) {
        self.state.send_modify(|state| {
            state.mode = mode;
            state.generation += u64::from(ends_connections);
        });
    }

    /// Ends every connection, wherever it is in a message. New ones are let through.
    pub(crate) fn cut(&self) {
        self.set(Mode::Open, true);
    }

    /// Ends every connection and each new one, until [`Proxy::open`].
    pub(crate) fn refuse(&self) {
        self.set(Mode::Refusing, true);
    }

    /// Lets nothing through, and tells nobody, until [`Proxy::open`].
    pub(crate) fn stall(&self) {
        self.set(Mode::Stalled, false);
    }

    pub(crate) fn open(&self) {
        self.set(Mode::Open, false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
        self.accepting.abort();
    }
}

async fn serve(
    client: TcpStream,
    upstream: Upstream,
    port: u16,
    mut state: watch::Receiver<State>,
) {
    let began = *state.borrow_and_update();
    if began.mode == Mode::Refusing {
        return;
    }
    let address: SocketAddr = match tokio::net::lookup_host(upstream.address()).await {
        Ok(mut found) => found.next().expect("an address"),
        Err(_) => return,
    };
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    // Small messages go at once, as without a proxy.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = copy(from_client, to_server, state.clone());
    let cut = state.clone();
    let answers = async {
        match &upstream {
            Upstream::Plain(_) => copy(from_server, to_client, cut).await,
            Upstream::Kafka(broker) => {
                copy_answers(from_server, to_client, cut, broker, port).await
            }
        }
    };
    tokio::select! {
        _ = requests => {}
        _ = answers => {}
        _ = state.wait_for(|now| now.generation != began.generation) => {}
    }
}

/// Waits while nothing is to come through.
async fn flowing(state: &mut watch::Receiver<State>) -> std::io::Result<()> {
    let flows = state.wait_for(|state| state.mode != Mode::Stalled).await;
    flows.map(|_| ()).map_err(std::io::Error::other)
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        flowing(&mut state).await?;
        to.write_all(&buffer[..read]).await?;
    }
}

async fn copy_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    broker: &str,
    port: u16,
) -> std::io::Result<()> {
    let (host, broker_port) = broker.rsplit_once(':').expect("host:port");
    let broker_port: i32 = broker_port.parse().expect("a port");
    let wanted = [host.as_bytes(), &broker_port.to_be_bytes()].concat();
    let ours = i32::from(port).to_be_bytes();
    let mut answer = Vec::new();
    loop {
        let length = from.read_u32().await?;
        answer.resize(length as usize, 0);
        from.read_exact(&mut answer).await?;
        let head = answer.len().min(ADDRESS_WITHIN);
        let found: Vec<usize> = answer[..head]
            .windows(wanted.len())
            .enumerate()
            .filter(|(_, window)| *window == wanted)
            .map(|(at, _)| at + host.len())
            .collect();
        for at in found {
            answer[at..at + ours.len()].copy_from_slice(&ours);
        }
        flowing(&mut state).await?;
        to.write_u32(length).await?;
        to.write_all(&answer).await?;
    }
}
