//! The sink's knowledge of rollups, for the jobs.

use ::jobs::{Checked, Healed, Reconciler, Record};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemas::{Timestamp, Window};
use sink::rebuild::{Difference, Rebuild, Step, Watch, compare};
use sqlx::{PgConnection, PgPool};

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
        record: &'a mut (dyn Record + 'a),
    ) -> BoxFuture<'a, anyhow::Result<()>> {
        let request = Rebuild {
            from,
            to,
            organization: None,
            dry_run: false,
            from_kafka: false,
        };
        async move {
            compare(pool, &self.windows, &request, Told(record)).await?;
            Ok(())
        }
        .boxed()
    }
}

struct Told<'a>(&'a mut (dyn Record + 'a));

impl Watch for Told<'_> {
    fn healing<'a>(
        &'a mut self,
        transaction: &'a mut PgConnection,
        step: &'a Step,
    ) -> BoxFuture<'a, sqlx::Result<()>> {
        async move { self.0.healing(transaction, &checked(step.clone())).await }.boxed()
    }

    fn compared(&mut self, step: Step) -> bool {
        self.0.checked(checked(step))
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
