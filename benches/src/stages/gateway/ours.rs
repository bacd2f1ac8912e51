//! Our gateway, on real Kafka.

use schemas::{EventKind, Topics};
use uuid::Uuid;

use crate::harness::{
    Context, Run,
    event_load::Plan,
    installation::{Installation, Service},
};

/// Whose events they are, all of them: a token has one organization.
pub(super) const ORGANIZATION: Uuid = Uuid::from_u128(0xa11ce);

/// A running gateway with topics of its own.
pub(super) struct Ours {
    pub(super) installation: Installation,
    service: Service,
    topic: String,
}

impl Ours {
    /// Starts it on the servers' cores.
    pub(super) async fn start(context: &Context) -> anyhow::Result<Self> {
        let installation = Installation::new().await?;
        // The workload's events are of a fixed day, which must not become too long ago.
        let settings = [("DATA_RETENTION_DAYS", "36500".to_owned())];
        let cores = Some(context.cores.server.as_str());
        let mut service = installation.start(context, cores, "gateway", &settings)?;
        service.until_ready()?;
        Ok(Self {
            topic: Topics::new(installation.prefix()).events(EventKind::CommandExecution),
            installation,
            service,
        })
    }

    /// A load in a closed loop; `events` of a request decide which call it is.
    pub(super) fn plan(
        &self,
        context: &Context,
        events: usize,
        connections: usize,
        seconds: f64,
    ) -> anyhow::Result<Plan> {
        let call = if events == 1 { "commands" } else { "batch" };
        Ok(Plan {
            address: self.service.address().to_owned(),
            path: format!("/api/metrics/{call}"),
            token: self.installation.token(ORGANIZATION)?,
            seed: context.options.seed,
            series: context.options.series,
            events,
            connections,
            seconds,
            rate: None,
        })
    }

    /// A run of a load.
    pub(super) fn load(&self, context: &Context, plan: &Plan) -> anyhow::Result<Run> {
        let (service, topic) = (&self.service, &self.topic);
        super::load_checked(context, &self.installation, topic, service, "gateway", plan)
    }
}
