//! Listening to the database's notifications of newer versions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use platform::{backoff::Backoff, database::changes, lifecycle::Shutdown, telemetry::names};
use sqlx::{PgPool, postgres::PgListener};
use tokio::time::{sleep_until, timeout};
use tracing::{info, warn};

use super::versions::Versions;

/// Between two questions whether the connection lives.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Listens until `shutdown`, over a connection of its own that is made again when it is lost.
pub(super) async fn listen(pool: PgPool, versions: Arc<Versions>, shutdown: Shutdown) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut was_listening = true;
    loop {
        let session = async {
            let listener = open(&pool, &versions).await?;
            backoff.reset();
            was_listening = true;
            hear(listener, &versions).await
        };
        let heard = tokio::select! {
            heard = session => heard,
            () = shutdown.triggered() => Ok(()),
        };
        versions.lost();
        metrics::gauge!(names::CACHE_LISTENING).set(0.0);
        let Err(error) = heard else { return };
        // Said once.
        if was_listening {
            let error = format!("{error:#}");
            warn!(
                error,
                "changes cannot be listened to; until they are, nothing is cached"
            );
            was_listening = false;
        }
        // Ends early, and that is no error, when it is time to stop.
        let _ = timeout(backoff.pause(), shutdown.triggered()).await;
    }
}

/// Begins to listen.
async fn open(pool: &PgPool, versions: &Versions) -> anyhow::Result<PgListener> {
    let mut listener = PgListener::connect_with(pool).await?;
    // A connection made again unseen would have missed something.
    listener.eager_reconnect(false);
    let began = Instant::now();
    timeout(ANSWER_BOUND, listener.listen(changes::CHANNEL)).await??;
    versions.begun(began);
    metrics::gauge!(names::CACHE_LISTENING).set(1.0);
    info!("listens to changes");
    Ok(listener)
}

/// Hears until something fails.
async fn hear(mut listener: PgListener, versions: &Versions) -> anyhow::Result<()> {
    let mut ask_at = tokio::time::Instant::now() + ASK_EVERY;
    loop {
        let told = tokio::select! {
            biased;
            () = sleep_until(ask_at) => None,
            told = listener.try_recv() => Some(told?),
        };
        match told {
            Some(Some(message)) => {
                let told = changes::parse(message.payload());
                versions.told(told.context("a message that is none of ours")?);
            }
            Some(None) => bail!("the connection is lost"),
            None => {
                let asked = Instant::now();
                let answered = sqlx::query("select 1").execute(&mut listener);
                timeout(ANSWER_BOUND, answered)
                    .await
                    .context("the connection does not answer")??;
                versions.alive(asked);
                ask_at = tokio::time::Instant::now() + ASK_EVERY;
            }
        }
    }
}
