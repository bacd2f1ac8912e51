//! Advisory locks on a connection of their own: they are held as long as it lives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use platform::database::{DatabaseUrl, Role, connect};
use platform::lifecycle::Shutdown;
use secrecy::SecretString;
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Names our advisory locks apart from those of others in the same database.
const LOCK_CLASS: i32 = 0x666c_6a6f;
/// Of whoever runs jobs on schedule.
pub(crate) const LEADER: &str = "leader";
/// Between two looks at the connection.
const PING_EVERY: Duration = Duration::from_secs(1);
/// A database that does not answer for so long is lost. Well before the server gives a silent
/// client's locks to others.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A client whose machine or network is gone keeps its locks for so long: 10 + 3 · 5 seconds.
const KEEPALIVE: &str = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; \
    set tcp_keepalives_count = 3; set tcp_user_timeout = 20000";

/// The locks of one process.
pub(crate) struct Locks {
    connection: Arc<Mutex<PgConnection>>,
    _ping: AbortOnDropHandle<()>,
}

impl Locks {
    /// Connects. `lost` is triggered when the connection, and so every lock, is.
    pub(crate) async fn open(
        url: &DatabaseUrl,
        password: Option<&SecretString>,
        lost: Shutdown,
    ) -> anyhow::Result<Self> {
        let pool = connect(url, 1, "flowmeter-jobs-lock", Role::Jobs, password).await?;
        let mut connection = pool.acquire().await?.detach();
        pool.close().await;
        sqlx::raw_sql(KEEPALIVE).execute(&mut connection).await?;
        let connection = Arc::new(Mutex::new(connection));
        let ping = tokio::spawn(ping(connection.clone(), lost));
        Ok(Self {
            connection,
            _ping: AbortOnDropHandle::new(ping),
        })
    }

    /// Takes a lock if nobody has it.
    pub(crate) async fn try_take(&self, name: &str) -> anyhow::Result<bool> {
        self.ask("select pg_try_advisory_lock($1, hashtext($2))", name)
            .await
    }

    /// Gives a lock back.
    pub(crate) async fn release(&self, name: &str) -> anyhow::Result<()> {
        let held = self
            .ask("select pg_advisory_unlock($1, hashtext($2))", name)
            .await?;
        anyhow::ensure!(held, "the lock {name} was not held");
        Ok(())
    }

    async fn ask(&self, sql: &'static str, name: &str) -> anyhow::Result<bool> {
        let asked = async {
            let mut connection = self.connection.lock().await;
            sqlx::query_scalar(sql)
                .bind(LOCK_CLASS)
                .bind(name)
                .fetch_one(&mut *connection)
                .await
        };
        let answer = timeout(ANSWER_WITHIN, asked).await;
        Ok(answer.context("the database does not answer")??)
    }
}

async fn ping(connection: Arc<Mutex<PgConnection>>, lost: Shutdown) {
    loop {
        sleep(PING_EVERY).await;
        let pinged = timeout(ANSWER_WITHIN, async {
            connection.lock().await.ping().await
        });
        if !matches!(pinged.await, Ok(Ok(()))) {
            lost.trigger();
            return;
        }
    }
}
