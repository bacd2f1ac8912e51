//! The sink's knowledge of rollups, for the jobs.

use ::jobs::{Checked, Healed, Reconciler};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemas::{Timestamp, Window};
use sink::rebuild::{Difference, Rebuild, Step, compare};
use sqlx::PgPool;

/// Rollups of these windows, as the sink makes them.
pub(super) struct SinksRollups {
    pub(super) windows: Vec<Window>,
}

impl Reconciler for SinksRollups {
    fn reconcile<'a>(
        &'a self,
        pool: &'a PgPool,
        from: Timestamp,
        to: Timestamp,
        told: &'a mut (dyn FnMut(Checked) -> bool + Send),
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        let request = Rebuild {
            from,
            to,
            organization: None,
            dry_run: false,
            from_kafka: false,
        };
        async move {
            compare(pool, &self.windows, &request, |step| told(checked(step))).await?;
            Ok(())
        }
        .boxed()
    }
}

fn checked(step: Step) -> Checked {
    let healed = |difference: Difference| Healed {
        missing: difference.missing,
        wrong: difference.wrong,
        surplus: difference.surplus,
    };
    Checked {
        done: step.done,
        of: step.of,
        organization_id: step.organization_id,
        day: step.day,
        healed: step.compared.map(|compared| {
            let windows = compared.windows.into_iter();
            windows.map(|(window, d)| (window, healed(d))).collect()
        }),
    }
}
