//! The schemas of the events, registered at start: a record carries its schema's id.

use std::time::Duration;

use anyhow::Context;
use platform::kafka::{
    provision::{ProvisionError, register},
    registry::{RegisterError, RegistryClient},
};
use schemas::{EventKind, Topics, codec};
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Registers the four schemas, or finds them registered, and gives their ids in the order of
/// [`EventKind::ALL`]. A registry that is away is asked again until `patience` is over.
pub(crate) async fn schema_ids(
    registry: &RegistryClient,
    topics: &Topics,
    patience: Duration,
) -> anyhow::Result<[i32; 4]> {
    let deadline = Instant::now() + patience;
    let mut ids = [0; 4];
    for kind in EventKind::ALL {
        ids[kind as usize] = patiently(registry, &topics.events(kind), kind, deadline)
            .await
            .context("a schema is not registered")?;
    }
    Ok(ids)
}

async fn patiently(
    registry: &RegistryClient,
    topic: &str,
    kind: EventKind,
    deadline: Instant,
) -> Result<i32, ProvisionError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match register(registry, topic, codec::event_schema(kind)).await {
            Err(ProvisionError::Schema {
                subject,
                error: RegisterError::Transient(error),
            }) if Instant::now() + pause < deadline => {
                tracing::warn!(subject, error, "the schema registry is away, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registry_that_stays_away_is_a_clear_failure() {
        let registry =
            RegistryClient::new("http://u:hush@127.0.0.1:1", Duration::from_secs(1)).unwrap();
        let patience = Duration::from_millis(250);
        let began = Instant::now();
        let error = schema_ids(&registry, &Topics::default(), patience)
            .await
            .unwrap_err();
        assert!(began.elapsed() >= FIRST_PAUSE, "it was asked once only");
        let text = format!("{error:#}");
        assert!(text.contains("metrics.command-executions-value"), "{text}");
        assert!(
            text.contains("the schema registry cannot be asked now"),
            "{text}"
        );
        assert!(!text.contains("hush"), "{text}");
    }
}
