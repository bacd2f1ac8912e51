//! A consumer's life: one thread, and a new session whenever one ended with an error.
//!
//! A session begins with what Kafka or the database has committed and holds nothing that
//! could not be read again, so starting over is the cure of every transient fault.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::http::health::ComponentHealth;
use crate::lifecycle::Shutdown;
use crate::telemetry::names::CONSUMER_SESSIONS;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A session that lasted this long was sound: the next pause is a short one again.
const SOUND: Duration = Duration::from_secs(30);

/// What ended a session other than the shutdown. `{:#}` is the whole story, for the log.
pub trait SessionFault: fmt::Display {
    /// The metric's label.
    fn outcome(&self) -> &'static str {
        "failed"
    }

    /// For the public health report.
    fn reason(&self) -> &'static str {
        "its last session failed; a new one is starting"
    }
}

impl SessionFault for anyhow::Error {}

/// Runs sessions on a thread named `service` until `shutdown`, when the running one is to
/// drain and return. Each is given the shutdown, which is also triggered when this future is
/// dropped: the thread never outlives it for long.
///
/// # Errors
/// When the thread cannot be started, or panicked.
pub async fn run_sessions<F: SessionFault>(
    service: &'static str,
    health: ComponentHealth,
    shutdown: Shutdown,
    session: impl FnMut(&Shutdown) -> Result<(), F> + Send + 'static,
) -> anyhow::Result<()> {
    let runtime = Handle::current();
    let shutdown = shutdown.child();
    let _ends = TriggerOnDrop(shutdown.clone());
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name(service.to_owned())
        .spawn(move || {
            keep_running(service, &health, &shutdown, &runtime, session);
            // Nobody listens if the process is ending without us.
            let _ = ended.send(());
        })?;
    end.await
        .map_err(|_| anyhow::anyhow!("the {service}'s thread panicked"))
}

struct TriggerOnDrop(Shutdown);

impl Drop for TriggerOnDrop {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

fn keep_running<F: SessionFault>(
    service: &'static str,
    health: &ComponentHealth,
    shutdown: &Shutdown,
    runtime: &Handle,
    mut session: impl FnMut(&Shutdown) -> Result<(), F>,
) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    while !shutdown.is_triggered() {
        let began = Instant::now();
        let result = session(shutdown);
        let outcome = result.as_ref().map_or_else(F::outcome, |()| "ended");
        counter!(CONSUMER_SESSIONS, "service" => service, "outcome" => outcome).increment(1);
        let Err(fault) = result else {
            info!(service, "session ended");
            continue;
        };
        if shutdown.is_triggered() {
            error!(service, error = %format!("{fault:#}"), "could not drain; what was not committed is read again next time");
            break;
        }
        health.down(fault.reason());
        if began.elapsed() >= SOUND {
            backoff.reset();
        }
        let pause = backoff.pause();
        warn!(service, error = %format!("{fault:#}"), pause_ms = pause.as_millis(), "session failed, starting another");
        // Ends early, and that is no error, when it is time to stop.
        let _ = runtime.block_on(async { timeout(pause, shutdown.triggered()).await });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::http::health::Health;

    #[tokio::test]
    async fn a_failed_session_is_followed_by_another_and_shutdown_ends_them() {
        let shutdown = Shutdown::new();
        let sessions = Arc::new(AtomicUsize::new(0));
        let (count, stop) = (sessions.clone(), shutdown.clone());
        let health = Health::new("test", "0").component("worker");
        run_sessions("test", health, shutdown, move |_| {
            if count.fetch_add(1, Ordering::SeqCst) == 1 {
                stop.trigger();
                return Ok(());
            }
            anyhow::bail!("no")
        })
        .await
        .unwrap();
        assert_eq!(sessions.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_is_told() {
        let health = Health::new("test", "0").component("worker");
        let result = run_sessions("test", health, Shutdown::new(), |_| -> anyhow::Result<()> {
            panic!("broken")
        })
        .await;
        assert!(result.is_err());
    }
}
