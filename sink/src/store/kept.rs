//! Rollups as this instance wrote them last, so that they need not be read again.
//!
//! Whoever changes rollups raises the version of their organization in the same transaction
//! ([`platform::database::changes`]). So what was committed together with a version is what is
//! stored for as long as the version is the same. That is looked at twice: under the
//! organization's lock before anything is taken, and when the version is raised, since retention
//! removes rows without the lock.

use std::collections::HashMap;

use platform::database::changes::Raised;
use schemas::{Rollup, Timestamp, Window, rollup::Scope};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::expand::RollupRow;

/// Most rollups that are kept, of 0.3 to 3 kB each.
const MOST: usize = 15_000;

const VERSIONS: &str = "\
    select organization_id, version from flowmeter.organization_versions \
    where organization_id = any($1)";

/// What a rollup is known by, apart from its organization.
type Key = (Window, Scope, Timestamp, Uuid);

/// The sums of every window's rows of a batch, in their order.
pub(super) type Sums = Vec<Vec<Rollup>>;

/// An organization's rollups, and the version they were committed with.
#[derive(Debug, Default)]
struct Organization {
    version: i64,
    rollups: HashMap<Key, Rollup>,
}

/// Rollups by organization.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    organizations: HashMap<Uuid, Organization>,
}

impl Kept {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.organizations.clear();
    }

    /// Forgets what somebody has changed since. The organizations must be locked.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn forget_changed(
        &mut self,
        connection: &mut PgConnection,
        locked: impl Iterator<Item = Uuid>,
    ) -> sqlx::Result<()> {
        let mut known: Vec<Uuid> = locked
            .filter(|id| self.organizations.contains_key(id))
            .collect();
        known.dedup();
        if known.is_empty() {
            return Ok(());
        }
        let versions: Vec<(Uuid, i64)> = sqlx::query_as(VERSIONS)
            .bind(&known)
            .fetch_all(connection)
            .await?;
        let versions: HashMap<Uuid, i64> = versions.into_iter().collect();
        for id in known {
            self.keep_only_of(id, versions.get(&id).copied());
        }
        Ok(())
    }

    /// Forgets an organization's rollups unless they were committed with this version.
    fn keep_only_of(&mut self, id: Uuid, version: Option<i64>) {
        let of = self.organizations.get(&id);
        if of.is_some_and(|of| Some(of.version) != version) {
            self.organizations.remove(&id);
        }
    }

    /// What is stored of a row, if it is known. It is known no more then: whoever takes it
    /// changes it.
    pub(super) fn take(&mut self, window: Window, row: &RollupRow) -> Option<Rollup> {
        let of = self.organizations.get_mut(&row.organization_id)?;
        of.rollups.remove(&key(window, row))
    }

    /// Keeps what was committed when these versions were raised.
    pub(super) fn keep(
        &mut self,
        tables: &[(Window, Vec<RollupRow>)],
        sums: Sums,
        raised: &[Raised],
    ) {
        for raised in raised {
            self.keep_only_of(raised.organization_id, raised.before);
        }
        let kept = self.organizations.values().map(|of| of.rollups.len());
        if kept.sum::<usize>() + sums.iter().map(Vec::len).sum::<usize>() > MOST {
            // What is written next is mostly what was written last.
            self.clear();
        }
        for raised in raised {
            let of = self.organizations.entry(raised.organization_id);
            of.or_default().version = raised.after;
        }
        let mut room = MOST;
        // Rows of long windows are written again the longest.
        for ((window, rows), sums) in tables.iter().zip(sums).rev() {
            for (row, sum) in rows.iter().zip(sums).take(room) {
                if let Some(of) = self.organizations.get_mut(&row.organization_id) {
                    of.rollups.insert(key(*window, row), sum);
                }
            }
            room = room.saturating_sub(rows.len());
        }
    }
}

fn key(window: Window, row: &RollupRow) -> Key {
    (window, row.scope, row.bucket_start, row.series_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::Deltas, expand::expand, store::rollups::organizations, tests::support::commands,
    };

    type Tables = Vec<(Window, Vec<RollupRow>)>;

    fn tables() -> Tables {
        let mut deltas = Deltas::default();
        commands(0..10).iter().for_each(|event| deltas.add(event));
        expand(&[Window::M1, Window::D1], deltas)
    }

    fn sums(tables: &Tables) -> Sums {
        let of_rows = |rows: &[RollupRow]| rows.iter().map(|row| row.rollup.clone()).collect();
        tables.iter().map(|(_, rows)| of_rows(rows)).collect()
    }

    fn raised(tables: &Tables, before: Option<i64>, after: i64) -> Vec<Raised> {
        let raised = |organization_id| Raised {
            organization_id,
            before,
            after,
        };
        organizations(tables).into_iter().map(raised).collect()
    }

    /// How many rows are known, and how many there are.
    fn known(kept: &mut Kept, tables: &Tables) -> (usize, usize) {
        let rows = tables
            .iter()
            .flat_map(|(window, rows)| rows.iter().map(|row| (*window, row)));
        let all = rows.clone().count();
        let is_known = |(window, row): &(Window, &RollupRow)| {
            kept.take(*window, row).as_ref() == Some(&row.rollup)
        };
        (rows.filter(is_known).count(), all)
    }

    #[test]
    fn what_was_written_is_known_once() {
        let (tables, mut kept) = (tables(), Kept::default());
        kept.keep(&tables, sums(&tables), &raised(&tables, None, 7));
        let (found, all) = known(&mut kept, &tables);
        assert!(found == all && all > 0);
        assert_eq!(known(&mut kept, &tables).0, 0);
    }

    #[test]
    fn what_somebody_else_may_have_changed_is_forgotten() {
        let (tables, mut kept) = (tables(), Kept::default());
        for (version, is_known) in [(Some(7), true), (Some(8), false), (None, false)] {
            kept.keep(&tables, sums(&tables), &raised(&tables, None, 7));
            for organization in organizations(&tables) {
                kept.keep_only_of(organization, version);
            }
            assert_eq!(known(&mut kept, &tables).0 > 0, is_known, "{version:?}");
        }
        // Between the lock and the raising: what this batch did not write.
        for (before, is_known) in [(Some(7), true), (Some(8), false)] {
            kept.keep(&tables, sums(&tables), &raised(&tables, None, 7));
            kept.keep(&Vec::new(), Sums::new(), &raised(&tables, before, 9));
            assert_eq!(known(&mut kept, &tables).0 > 0, is_known, "{before:?}");
        }
    }

    #[test]
    fn of_an_organization_whose_version_is_not_raised_nothing_is_kept() {
        let (tables, mut kept) = (tables(), Kept::default());
        kept.keep(&tables, sums(&tables), &[]);
        assert_eq!(known(&mut kept, &tables).0, 0);
    }
}
