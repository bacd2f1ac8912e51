//! The keys of an issuer, as they are now: read anew at times, and when a token names a key
//! that is not known.
//!
//! One task reads the set and no request does, so that no two reads run at once and a client
//! that goes away interrupts none. Requests see the last set that could be read; one that
//! lacks its key waits for the task's answer.

use std::{mem::replace, sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;
use metrics::counter;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::{
    jwks::{Ignored, KeySet},
    source::KeySource,
};
use crate::{config::JwksConfig, telemetry::names};

/// Requests that may wait for a read; more wait for their turn to wait.
const WAITING: usize = 1024;

/// The current keys. The task behind it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Keyring {
    current: watch::Receiver<Option<Arc<KeySet>>>,
    wanted: mpsc::Sender<Wanted>,
    cooldown: Duration,
    _keeper: AbortOnDropHandle<()>,
}

/// A request lacks its key.
struct Wanted {
    at: Instant,
    done: oneshot::Sender<()>,
}

impl Keyring {
    /// Begins to read the set; to be called within a Tokio runtime. A set that is away is no
    /// failure: it is waited for.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub(super) fn start(config: &JwksConfig, algorithms: &[Algorithm]) -> anyhow::Result<Self> {
        let (publish, current) = watch::channel(None);
        let (wanted, asked) = mpsc::channel(WAITING);
        let keeper = Keeper {
            source: KeySource::new(config)?,
            algorithms: algorithms.to_vec(),
            schedule: Schedule::new(config),
            publish,
            ignored: Vec::new(),
        };
        Ok(Self {
            current,
            wanted,
            cooldown: config.cooldown,
            _keeper: AbortOnDropHandle::new(tokio::spawn(keeper.run(asked))),
        })
    }

    /// The last set that could be read, if any could.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.current.borrow().clone()
    }

    /// The set after the source was read again; without that if it was read less than a
    /// cooldown before `at`.
    pub(super) async fn refetched(&self, at: Instant) -> Option<Arc<KeySet>> {
        let (done, answered) = oneshot::channel();
        if self.wanted.send(Wanted { at, done }).await.is_ok() {
            // An error is the end of the task, and the keys are still what they are.
            let _ = answered.await;
        }
        self.current()
    }

    /// The least time between two reads.
    pub(super) fn cooldown(&self) -> Duration {
        self.cooldown
    }
}

/// The task's state.
struct Keeper {
    source: KeySource,
    algorithms: Vec<Algorithm>,
    schedule: Schedule,
    publish: watch::Sender<Option<Arc<KeySet>>>,
    /// Of the last set, so that each is logged once.
    ignored: Vec<Ignored>,
}

impl Keeper {
    async fn run(mut self, mut asked: mpsc::Receiver<Wanted>) {
        self.read(Instant::now()).await;
        loop {
            match timeout_at(self.schedule.due(), asked.recv()).await {
                Err(_) => self.read(Instant::now()).await,
                Ok(Some(Wanted { at, done })) => {
                    if self.schedule.allows(at) {
                        self.read(at).await;
                    }
                    // It may have gone away.
                    let _ = done.send(());
                }
                Ok(None) => return,
            }
        }
    }

    /// Reads the set and publishes it. When it cannot be read the last one stays.
    async fn read(&mut self, at: Instant) {
        let read = self.source.read().await;
        let parsed = read.and_then(|json| KeySet::parse(&json, &self.algorithms));
        let outcome = if parsed.is_ok() { "read" } else { "failed" };
        counter!(names::KEY_SET_READS, "outcome" => outcome).increment(1);
        let failed_before = self.schedule.read(at, parsed.is_ok());
        match parsed {
            Ok((keys, ignored)) => {
                if failed_before {
                    info!(source = %self.source, "the key set can be read again");
                }
                self.tell_ignored(ignored);
                self.publish(keys);
            }
            // Once for each outage; the metric counts the attempts.
            Err(error) if !failed_before => self.tell_outage(&error),
            Err(_) => {}
        }
    }

    fn tell_outage(&self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if self.publish.borrow().is_some() {
            warn!(source = %self.source, error, "the key set cannot be read; its keys stay");
        } else {
            warn!(source = %self.source, error, "the key set cannot be read; until it can, tokens are answered with 503");
        }
    }

    fn publish(&self, keys: KeySet) {
        let changed = self.publish.send_if_modified(|current| {
            if current.as_ref().is_some_and(|known| known.is_like(&keys)) {
                return false;
            }
            *current = Some(Arc::new(keys));
            true
        });
        if !changed {
            return;
        }
        let keys = self.publish.borrow().as_ref().map_or(0, |keys| keys.len());
        if keys == 0 {
            warn!(source = %self.source, "the key set holds no key of use: no token is believed");
        } else {
            info!(source = %self.source, keys, "the keys of tokens were read, and are new");
        }
    }

    fn tell_ignored(&mut self, ignored: Vec<Ignored>) {
        for key in ignored.iter().filter(|key| !self.ignored.contains(key)) {
            warn!(key_id = ?key.key_id, reason = key.reason, "a key of the set is ignored");
        }
        self.ignored = ignored;
    }
}

/// When the set is read. It looks at no clock.
#[derive(Debug)]
struct Schedule {
    refresh: Duration,
    cooldown: Duration,
    last: Instant,
    failing: bool,
}

impl Schedule {
    fn new(config: &JwksConfig) -> Self {
        Self {
            refresh: config.refresh,
            cooldown: config.cooldown,
            last: Instant::now(),
            failing: false,
        }
    }

    /// When it is to be read whatever happens.
    fn due(&self) -> Instant {
        let wait = if self.failing {
            self.refresh.min(self.cooldown)
        } else {
            self.refresh
        };
        self.last + wait
    }

    /// Whether a request that lacks its key may have it read.
    fn allows(&self, at: Instant) -> bool {
        at >= self.due().min(self.last + self.cooldown)
    }

    /// It was read, or could not be. Answers whether it could not the time before.
    fn read(&mut self, at: Instant, well: bool) -> bool {
        self.last = at;
        replace(&mut self.failing, !well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_set_is_read_when_due_and_in_between_at_most_once_a_cooldown() {
        let start = Instant::now();
        let mut schedule = Schedule {
            refresh: 300 * SECOND,
            cooldown: 10 * SECOND,
            last: start,
            failing: false,
        };
        assert!(!schedule.read(start, true));
        assert_eq!(schedule.due(), start + 300 * SECOND);
        assert!(!schedule.allows(start + 9 * SECOND));
        assert!(schedule.allows(start + 10 * SECOND));
        // An outage is over sooner than the next refresh, and asked no more often for it.
        assert!(!schedule.read(start + 10 * SECOND, false));
        assert_eq!(schedule.due(), start + 20 * SECOND);
        assert!(!schedule.allows(start + 19 * SECOND));
        assert!(schedule.read(start + 20 * SECOND, true));
        assert_eq!(schedule.due(), start + 320 * SECOND);
    }

    #[test]
    fn a_cooldown_longer_than_the_refresh_does_not_hold_it_up() {
        let start = Instant::now();
        let schedule = Schedule {
            refresh: 5 * SECOND,
            cooldown: 60 * SECOND,
            last: start,
            failing: true,
        };
        assert_eq!(schedule.due(), start + 5 * SECOND);
        assert!(schedule.allows(start + 5 * SECOND));
    }
}
