//! Replays that administrators ask the query API for.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use indicatif::ProgressBar;
use platform::config::{Env, KafkaConfig};
use platform::kafka::transactions::TransactionError;
use platform::lifecycle::Shutdown;
use query_api::{Replay, ReplayFailure, ReplayGroup, Replayed, Replayer};

use super::scan::Interrupted;
use super::{FilterArgs, Group, ReplayArgs, ReplayReport, replay};

/// Records per second at most.
const RATE: u32 = 1000;

/// Replays over Kafka.
#[derive(Debug, Clone)]
pub struct KafkaReplayer(KafkaConfig);

impl KafkaReplayer {
    /// One over this Kafka.
    #[must_use]
    pub fn new(kafka: KafkaConfig) -> Self {
        Self(kafka)
    }

    /// One over the Kafka that the settings name, if they do.
    pub fn from_env(env: &mut Env) -> Option<Self> {
        env.optional("KAFKA_BROKERS")?;
        Some(Self(KafkaConfig::from_env(env)))
    }
}

impl Replayer for KafkaReplayer {
    fn replay(
        &self,
        request: Replay,
        stop: Shutdown,
    ) -> BoxFuture<'static, Result<Replayed, ReplayFailure>> {
        let kafka = self.0.clone();
        async move {
            let report = replay(&kafka, &args(request), &ProgressBar::hidden(), &stop).await;
            report.map(replayed).map_err(failure)
        }
        .boxed()
    }
}

fn args(request: Replay) -> ReplayArgs {
    ReplayArgs {
        filter: FilterArgs {
            organization: Some(request.organization),
            reason: request.reason.into_iter().collect(),
            topic: request.topic.into_iter().collect(),
            client: request.client.into_iter().collect(),
            source: request.ids,
            event_id: None,
            from: request.from,
            to: request.to,
        },
        all: false,
        limit: Some(request.limit),
        dry_run: request.dry_run,
        rate: RATE,
        json: false,
    }
}

fn replayed(report: ReplayReport) -> Replayed {
    Replayed {
        matched: report.letters,
        groups: groups(report.groups),
        not_replayable: groups(report.not_replayable),
        replayed: report.replayed,
        refused: report.refused,
        gone: report.gone,
        interrupted: report.interrupted,
    }
}

/// By reason, client and topic, as a replay groups them.
fn groups(groups: Vec<Group>) -> Vec<ReplayGroup> {
    let group = |group: Group| {
        let mut key = group.key.iter().map(|part| part.to_string());
        let mut next = || key.next().unwrap_or_default();
        ReplayGroup {
            reason: next(),
            client: next(),
            topic: next(),
            count: group.count,
        }
    };
    groups.into_iter().map(group).collect()
}

fn failure(error: anyhow::Error) -> ReplayFailure {
    if error.downcast_ref::<Interrupted>().is_some() {
        return ReplayFailure::Stopped;
    }
    match error.downcast_ref() {
        Some(TransactionError::Fenced(_)) => ReplayFailure::TakenOver,
        _ => ReplayFailure::Log(error),
    }
}
