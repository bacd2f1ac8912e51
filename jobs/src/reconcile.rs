//! Rollups are compared with raw rows, and healed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::counter;
use platform::telemetry::names;
use schemas::{Timestamp, Window};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::history;
use crate::job::{Job, Run, Spec};

pub(crate) const RECENT: Spec = Spec {
    name: "reconcile",
    about: "compares rollups of yesterday and today with the raw rows, and heals them",
    schedule: "7 * * * *",
    timeout: Duration::from_secs(50 * 60),
};
pub(crate) const WIDE: Spec = Spec {
    name: "reconcile-wide",
    about: "the same for the last RECONCILE_DAYS days",
    schedule: "0 4 * * *",
    timeout: Duration::from_secs(12 * 3600),
};

/// Days that the history names; all are logged.
const NAMED: usize = 100;

/// Knows rollups and raw rows.
pub trait Reconciler: Send + Sync {
    /// Compares each organization's days that hold instants from `from` on and before `to`, and
    /// heals what differs, telling `record`.
    fn reconcile<'a>(
        &'a self,
        pool: &'a PgPool,
        from: Timestamp,
        to: Timestamp,
        record: &'a mut (dyn Record + 'a),
    ) -> BoxFuture<'a, anyhow::Result<()>>;
}

/// Keeps account of a reconciliation.
pub trait Record: Send {
    /// A day is about to be healed. What is written to the database here is part of the
    /// transaction that heals it, so that nothing is healed that no history tells of.
    fn healing<'a>(
        &'a mut self,
        transaction: &'a mut PgConnection,
        checked: &'a Checked,
    ) -> BoxFuture<'a, sqlx::Result<()>>;

    /// A day is done; `false` asks to end after it.
    fn checked(&mut self, checked: Checked) -> bool;
}

/// A day that was compared.
#[derive(Debug, Clone)]
pub struct Checked {
    /// How many of these are done, this one included.
    pub done: usize,
    /// Of how many.
    pub of: usize,
    /// Whose.
    pub organization_id: Uuid,
    /// Which, by its start.
    pub day: Timestamp,
    /// What was healed, by window; `None`: left as it is, since retention has removed rows.
    pub healed: Option<BTreeMap<Window, Healed>>,
}

impl Checked {
    /// What was healed, of the windows that had to be.
    fn differing(&self) -> impl Iterator<Item = (&Window, &Healed)> {
        let windows = self.healed.iter().flatten();
        windows.filter(|(_, healed)| healed.rows() > 0)
    }
}

/// Rollups that were not as the raw rows say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Healed {
    /// Missing.
    pub missing: u64,
    /// With other numbers.
    pub wrong: u64,
    /// Of no raw row.
    pub surplus: u64,
}

impl Healed {
    /// How many.
    pub fn rows(&self) -> u64 {
        self.missing + self.wrong + self.surplus
    }
}

/// Either of the two jobs.
pub(crate) struct Reconcile {
    spec: &'static Spec,
    days: u32,
    reconciler: Arc<dyn Reconciler>,
}

impl Reconcile {
    pub(crate) fn recent(reconciler: Arc<dyn Reconciler>) -> Self {
        Self {
            spec: &RECENT,
            days: 1,
            reconciler,
        }
    }

    pub(crate) fn wide(reconciler: Arc<dyn Reconciler>, days: u32) -> Self {
        Self {
            spec: &WIDE,
            days,
            reconciler,
        }
    }

    async fn reconcile(&self, run: &Run) -> anyhow::Result<Value> {
        let now = Utc::now();
        let from = Timestamp::try_from(now - Days::new(self.days.into()))?;
        // An event may be so far ahead.
        let to = Timestamp::try_from(now + TimeDelta::minutes(5))?;
        let mut account = Account {
            run,
            found: Found::default(),
        };
        self.reconciler
            .reconcile(&run.pool, from, to, &mut account)
            .await?;
        Ok(account.found.details())
    }
}

/// The account of one run: in its row of the history, in the log and as a metric.
struct Account<'a> {
    run: &'a Run,
    found: Found,
}

impl Record for Account<'_> {
    fn healing<'a>(
        &'a mut self,
        transaction: &'a mut PgConnection,
        checked: &'a Checked,
    ) -> BoxFuture<'a, sqlx::Result<()>> {
        async move {
            let mut found = self.found.clone();
            found.add(checked);
            history::note(transaction, self.run.id, &found.details()).await
        }
        .boxed()
    }

    fn checked(&mut self, checked: Checked) -> bool {
        self.found.add(&checked);
        self.run.progress(&format!(
            "{} of {} days of organizations, {} rollups healed",
            checked.done, checked.of, self.found.rows
        ));
        for (window, healed) in checked.differing() {
            counter!(names::ROLLUPS_HEALED, "window" => window.to_string())
                .increment(healed.rows());
        }
        if checked.differing().next().is_some() {
            let (organization, day, windows) =
                (checked.organization_id, checked.day, &checked.healed);
            tracing::error!(%organization, %day, ?windows, "rollups differed from the raw rows and were healed");
        }
        !self.run.stop.is_triggered()
    }
}

impl Job for Reconcile {
    fn spec(&self) -> &'static Spec {
        self.spec
    }

    fn run<'a>(&'a self, run: &'a Run) -> BoxFuture<'a, anyhow::Result<Value>> {
        self.reconcile(run).boxed()
    }
}

/// What a run found so far.
#[derive(Debug, Clone, Default)]
struct Found {
    days: u64,
    expired: u64,
    rows: u64,
    named: Vec<Value>,
}

impl Found {
    fn add(&mut self, checked: &Checked) {
        self.days += 1;
        self.expired += u64::from(checked.healed.is_none());
        let windows: serde_json::Map<String, Value> = checked
            .differing()
            .map(|(window, healed)| {
                let Healed {
                    missing,
                    wrong,
                    surplus,
                } = healed;
                let counts = json!({ "missing": missing, "wrong": wrong, "surplus": surplus });
                (window.to_string(), counts)
            })
            .collect();
        self.rows += checked.differing().map(|(_, h)| h.rows()).sum::<u64>();
        if !windows.is_empty() && self.named.len() < NAMED {
            let (organization, day) = (checked.organization_id, checked.day.to_string());
            self.named
                .push(json!({ "organization_id": organization, "day": day, "windows": windows }));
        }
    }

    fn details(&self) -> Value {
        json!({
            "days": self.days, "expired_days": self.expired, "rollups_healed": self.rows,
            "healed": self.named,
        })
    }
}
