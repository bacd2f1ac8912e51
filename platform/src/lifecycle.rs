//! How a process starts its services, and how it ends.

use std::{collections::HashMap, future::Future, time::Duration};

use anyhow::{Context, anyhow, bail};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The exit code of a process that was interrupted: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Says that it is time to end. Clones say it together.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// One that is not triggered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM or ^C triggers; a second signal ends the process at
    /// once, for the person who does not want to wait for the drain.
    ///
    /// # Errors
    /// When the signals cannot be listened for.
    pub fn on_signals() -> anyhow::Result<Self> {
        let shutdown = Self::new();
        let triggered = shutdown.clone();
        let mut signals = Signals::new().context("signals cannot be listened for")?;
        tokio::spawn(async move {
            let name = signals.next().await;
            info!(signal = name, "ending; a second signal ends at once");
            triggered.trigger();
            let name = signals.next().await;
            error!(signal = name, "ended at once by a second signal");
            std::process::exit(INTERRUPTED);
        });
        Ok(shutdown)
    }

    /// Triggers it and its children. Twice is as good as once.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Waits until it is triggered; returns at once when it was.
    pub async fn triggered(&self) {
        self.0.cancelled().await;
    }

    /// Whether it was triggered.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// One that this one triggers, but that does not trigger this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "ctrl-c"
    }
}

/// The services of one process, which live and end together.
#[derive(Debug, Default)]
pub struct Services {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, String>,
}

impl Services {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a service. Its name is for logs and errors.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        service: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(service);
        self.names.insert(task.id(), name.into());
    }

    /// Runs until `shutdown` is triggered and every service has ended, or
    /// `drain_bound` has passed since.
    ///
    /// A service that fails triggers the shutdown of the others, as does one
    /// that ends although nobody asked it to: a process that lacks a part must
    /// not look alive. The process's `main` returns the error.
    ///
    /// # Errors
    /// The first failure, with the service's name; or the names of the
    /// services that did not end within the bound, which are aborted.
    pub async fn run_until_shutdown(
        mut self,
        shutdown: Shutdown,
        drain_bound: Duration,
    ) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        tokio::select! {
            // Looked at first: a service that ends then was asked to.
            biased;
            () = shutdown.triggered() => {}
            ended = self.tasks.join_next_with_id() => {
                let Some(ended) = ended else { return Ok(()) };
                let (name, result) = self.ended(ended);
                outcome = result.and_then(|()| Err(anyhow!("{name} ended before it was asked to")));
                warn!(service = name, "a service ended; the others are asked to end");
                shutdown.trigger();
            }
        }
        let drained = timeout(drain_bound, async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                let (name, result) = self.ended(ended);
                match result {
                    Ok(()) => info!(service = name, "ended"),
                    Err(failure) if outcome.is_ok() => outcome = Err(failure),
                    // Only one error can be returned; the rest is logged here.
                    Err(failure) => error!(
                        service = name,
                        error = format!("{failure:#}"),
                        "failed while ending"
                    ),
                }
            }
        })
        .await;
        if drained.is_err() {
            let mut late: Vec<String> = self.names.into_values().collect();
            late.sort_unstable();
            let late = late.join(", ");
            match &outcome {
                Ok(()) => bail!("not ended within {drain_bound:?}: {late}"),
                Err(_) => {
                    error!(services = late, bound = ?drain_bound, "not ended within the bound")
                }
            }
        }
        outcome
    }

    fn ended(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), JoinError>,
    ) -> (String, anyhow::Result<()>) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(anyhow!("panicked"))),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        let result = result.with_context(|| format!("{name} failed"));
        (name, result)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const BOUND: Duration = Duration::from_secs(5);

    async fn until(shutdown: Shutdown) -> anyhow::Result<()> {
        shutdown.triggered().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_child_follows_and_does_not_lead() {
        let parent = Shutdown::new();
        let (child, clone) = (parent.child(), parent.clone());
        child.trigger();
        assert!(child.is_triggered() && !parent.is_triggered());
        let child = parent.child();
        clone.trigger();
        parent.triggered().await;
        assert!(child.is_triggered());
    }

    #[tokio::test]
    async fn services_end_together_when_asked() {
        let (shutdown, mut services) = (Shutdown::new(), Services::new());
        services.spawn("a", until(shutdown.clone()));
        services.spawn("b", until(shutdown.child()));
        shutdown.trigger();
        services.run_until_shutdown(shutdown, BOUND).await.unwrap();
    }

    #[tokio::test]
    async fn the_failure_of_one_ends_the_others_and_is_returned_with_its_name() {
        let (shutdown, mut services) = (Shutdown::new(), Services::new());
        services.spawn("well", until(shutdown.clone()));
        services.spawn("broken", async { bail!("no broker") });
        let error = services
            .run_until_shutdown(shutdown.clone(), BOUND)
            .await
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "broken failed: no broker");
        assert!(shutdown.is_triggered());
    }

    #[tokio::test]
    async fn a_panic_and_an_early_end_are_failures() {
        let (shutdown, mut services) = (Shutdown::new(), Services::new());
        services.spawn("panics", async { panic!("on purpose") });
        let error = services
            .run_until_shutdown(shutdown, BOUND)
            .await
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "panics failed: panicked");
        let mut services = Services::new();
        services.spawn("early", async { Ok(()) });
        let error = services
            .run_until_shutdown(Shutdown::new(), BOUND)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "early ended before it was asked to");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_within_the_bound_is_named() {
        let (shutdown, mut services) = (Shutdown::new(), Services::new());
        services.spawn("stuck", pending());
        services.spawn("well", until(shutdown.clone()));
        shutdown.trigger();
        let error = services
            .run_until_shutdown(shutdown, BOUND)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "not ended within 5s: stuck");
    }

    #[tokio::test]
    async fn a_failure_while_ending_is_returned() {
        let (shutdown, mut services) = (Shutdown::new(), Services::new());
        let asked = shutdown.clone();
        services.spawn("flusher", async move {
            asked.triggered().await;
            bail!("the last flush failed")
        });
        shutdown.trigger();
        let error = services
            .run_until_shutdown(shutdown, BOUND)
            .await
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "flusher failed: the last flush failed"
        );
    }
}
