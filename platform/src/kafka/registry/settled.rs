//! Whether a registry's "no such schema" may be believed.
//!
//! A registry that starts reads its schemas from its store, and some answer meanwhile, by
//! "no such schema" for all that they have not read yet. A record must not be refused for
//! that. So it is believed only of a registry that knows what was registered with it, and has
//! known it without a break for a while: long enough to have read the rest, too.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{LookupError, RegistryClient};

/// How long without a break. Registries read their store in a second or two.
const WHILE: Duration = Duration::from_secs(10);
/// Between two looks. No registry is gone and back within it.
const LOOKS: Duration = Duration::from_secs(1);

/// Keeps an eye on a registry. Cheap to clone; the last clone ends it.
#[derive(Clone, Debug)]
pub struct SettledRegistry {
    client: RegistryClient,
    since: watch::Receiver<Option<Instant>>,
    patience: Duration,
}

impl SettledRegistry {
    /// Watches the registry of `client` by the schema registered last with it or a clone of it.
    /// Within a runtime.
    pub fn watch(client: RegistryClient) -> Self {
        Self::watch_every(LOOKS, WHILE, client)
    }

    pub(super) fn watch_every(looks: Duration, patience: Duration, client: RegistryClient) -> Self {
        let (told, since) = watch::channel(None);
        tokio::spawn(look(client.clone(), looks, told));
        Self {
            client,
            since,
            patience,
        }
    }

    /// Whether the registry knows what it should, now and for long enough. To be asked after
    /// an answer of "no such schema", to know whether it is true.
    pub async fn is_settled(&self) -> bool {
        let knows = knows_its_schemas(&self.client).await;
        let since = *self.since.borrow();
        knows && since.is_some_and(|since| since.elapsed() >= self.patience)
    }
}

async fn look(client: RegistryClient, looks: Duration, told: watch::Sender<Option<Instant>>) {
    let mut ticks = interval(looks);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !told.is_closed() {
        ticks.tick().await;
        let asked = Instant::now();
        let knows = knows_its_schemas(&client).await;
        told.send_if_modified(|since| {
            let before = *since;
            *since = knows.then(|| before.unwrap_or(asked));
            *since != before
        });
    }
}

async fn knows_its_schemas(client: &RegistryClient) -> bool {
    let Some(id) = client.registered() else {
        return false;
    };
    // What it is does not matter, only that the registry has it.
    matches!(
        client.schema_by_id(id).await,
        Ok(_) | Err(LookupError::Invalid(_))
    )
}
