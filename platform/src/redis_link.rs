//! A connection to Redis that may be lost: whoever wants it does without meanwhile.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, aio::MultiplexedConnection};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// The longest a new connection may take.
const CONNECT_BOUND: Duration = Duration::from_secs(1);
/// Between two attempts to reach Redis again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a link is for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// Said when there is a connection.
    pub connected: &'static str,
    /// Said when there is none any more.
    pub away: &'static str,
    /// A gauge: how many links of this process are without their Redis.
    pub links_away: &'static str,
}

/// What must succeed on a new connection; anything less would be lost again with the next call.
pub type Probe =
    Box<dyn Fn(MultiplexedConnection) -> BoxFuture<'static, RedisResult<()>> + Send + Sync>;

/// Redis, and whether it can be reached. While it cannot, one task of its own tries to, and no
/// caller waits.
pub struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    /// The longest a caller waits for Redis.
    bound: Duration,
    purpose: Purpose,
    probe: Probe,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an earlier one does not end its successor.
    generation: u64,
}

impl Link {
    /// Begins to connect. To be called in a runtime.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub fn start(
        url: &SecretString,
        bound: Duration,
        purpose: Purpose,
        probe: Probe,
    ) -> RedisResult<Self> {
        let inner = Arc::new(Inner {
            client: Client::open(url.expose_secret())?,
            bound,
            purpose,
            probe,
            state: Mutex::default(),
        });
        inner.count_away(1.0);
        tokio::spawn(connect(Arc::downgrade(&inner), Attempt::First));
        Ok(Self(inner))
    }

    /// Whether there is a connection at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.state().connection.is_some()
    }

    /// What `work` gets from Redis; `None` when Redis is away, or fails or does not answer in
    /// time and so is away from now on.
    pub async fn call<T, F>(&self, work: impl FnOnce(MultiplexedConnection) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (connection, generation) = {
            let state = self.0.state();
            (state.connection.clone()?, state.generation)
        };
        match within(self.0.bound, work(connection)).await {
            Ok(got) => Some(got),
            Err(error) => {
                self.lost(generation, &error);
                None
            }
        }
    }

    fn lost(&self, generation: u64, error: &RedisError) {
        {
            let mut state = self.0.state();
            if state.generation != generation || state.connection.take().is_none() {
                return; // Somebody else said so already.
            }
        }
        self.0.count_away(1.0);
        self.0.warn_away(error);
        tokio::spawn(connect(Arc::downgrade(&self.0), Attempt::Again));
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that works.
    async fn connected(&self) -> RedisResult<MultiplexedConnection> {
        let settings = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_BOUND));
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&settings);
        let connection = within(CONNECT_BOUND, connecting).await?;
        within(CONNECT_BOUND, (self.probe)(connection.clone())).await?;
        Ok(connection)
    }

    fn count_away(&self, change: f64) {
        metrics::gauge!(self.purpose.links_away).increment(change);
    }

    fn warn_away(&self, error: &RedisError) {
        warn!(%error, "{}", self.purpose.away);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.state().connection.is_none() {
            self.count_away(-1.0);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

/// Tries until there is a connection, or nobody who wants it.
async fn connect(inner: Weak<Inner>, mut attempt: Attempt) {
    loop {
        if attempt == Attempt::Again {
            sleep(RETRY_AFTER).await;
        }
        let Some(inner) = inner.upgrade() else {
            return;
        };
        match inner.connected().await {
            Ok(connection) => {
                let mut state = inner.state();
                state.connection = Some(connection);
                state.generation += 1;
                inner.count_away(-1.0);
                info!("{}", inner.purpose.connected);
                return;
            }
            Err(error) if attempt == Attempt::First => inner.warn_away(&error),
            // Said once.
            Err(_) => {}
        }
        attempt = Attempt::Again;
    }
}

/// What `work` gets, or a failure when it takes longer than `bound`.
///
/// # Errors
/// The work's, or that it timed out.
pub async fn within<T>(
    bound: Duration,
    work: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    timeout(bound, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}
