//! What users did in a day: the rollups of a day without their names and histograms.

use std::collections::{BTreeMap, btree_map::Entry};

use schemas::{
    Rollup, Timestamp, Usd, Window,
    event::Status,
    rollup::{Scope, SeriesKind},
};
use uuid::Uuid;

use crate::expand::RollupRow;

/// The key of a row of `rollups_1d_by_user`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UserDay {
    pub(crate) organization_id: Uuid,
    pub(crate) bucket_start: Timestamp,
    /// `None`: of the events without a user.
    pub(crate) user_id: Option<Uuid>,
    pub(crate) team_id: Option<Uuid>,
}

/// Its numbers, all zero for who was active otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) command_count: u64,
    pub(crate) command_error_count: u64,
    pub(crate) agent_count: u64,
    pub(crate) agent_error_count: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cost: Usd,
}

/// Rows, in the order of their keys.
pub(crate) type ByUser = BTreeMap<UserDay, Tally>;

/// What rows of rollups add up to; those of a day and of scope user count, and no others.
pub(crate) fn by_user(tables: &[(Window, Vec<RollupRow>)]) -> ByUser {
    let of_days = tables.iter().filter(|(window, _)| *window == Window::D1);
    let rows = of_days.flat_map(|(_, rows)| rows);
    let mut all = ByUser::new();
    for row in rows.filter(|row| row.scope == Scope::User) {
        let key = UserDay {
            organization_id: row.organization_id,
            bucket_start: row.bucket_start,
            user_id: row.series.user_id,
            team_id: row.series.team_id,
        };
        let tally = match all.entry(key) {
            Entry::Vacant(entry) => entry.insert(Tally::default()),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        tally.add(row.series.kind, &row.rollup);
    }
    all
}

impl Tally {
    fn add(&mut self, kind: SeriesKind, rollup: &Rollup) {
        let errors = rollup.by_status[Status::Error as usize];
        let add = |sum: &mut u64, n: u64| *sum = sum.saturating_add(n);
        match kind {
            SeriesKind::Command => {
                add(&mut self.command_count, rollup.count);
                add(&mut self.command_error_count, errors);
            }
            SeriesKind::Agent => {
                add(&mut self.agent_count, rollup.count);
                add(&mut self.agent_error_count, errors);
                add(&mut self.input_tokens, rollup.input_tokens);
                add(&mut self.output_tokens, rollup.output_tokens);
                self.cost = self.cost.saturating_add(rollup.cost);
            }
            SeriesKind::Metric | SeriesKind::Session => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use schemas::rollup::Series;

    use super::*;
    use crate::expand::expand;

    #[test]
    fn a_day_of_a_user_is_one_row_whatever_was_done() {
        let (user, team) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let at = Timestamp::from_millis(1_800_000_000_000).unwrap();
        let series = |kind, name: &str| Series {
            kind,
            name: name.into(),
            model: None,
            team_id: Some(team),
            project_id: None,
            user_id: Some(user),
        };
        let rollup = |count, errors| Rollup {
            count,
            by_status: [count - errors, errors, 0, 0],
            input_tokens: 10,
            output_tokens: 20,
            cost: "0.5".parse().unwrap(),
            ..Rollup::default()
        };
        let sums = HashMap::from([
            (
                (Uuid::nil(), at, series(SeriesKind::Command, "a")),
                rollup(3, 1),
            ),
            (
                (Uuid::nil(), at, series(SeriesKind::Command, "b")),
                rollup(4, 2),
            ),
            (
                (Uuid::nil(), at, series(SeriesKind::Agent, "a")),
                rollup(5, 0),
            ),
            (
                (Uuid::nil(), at, series(SeriesKind::Metric, "a")),
                rollup(6, 0),
            ),
        ]);
        let mut tables = expand(&Window::ALL, sums);
        let found = by_user(&tables);
        let key = UserDay {
            organization_id: Uuid::nil(),
            bucket_start: Window::D1.start(at),
            user_id: Some(user),
            team_id: Some(team),
        };
        let tally = Tally {
            command_count: 7,
            command_error_count: 3,
            agent_count: 5,
            agent_error_count: 0,
            input_tokens: 10,
            output_tokens: 20,
            cost: "0.5".parse().unwrap(),
        };
        assert_eq!(found, ByUser::from([(key, tally)]));

        // Who only had a metric was active, too.
        for (_, rows) in &mut tables {
            rows.retain(|row| row.series.kind == SeriesKind::Metric);
            rows.iter_mut().for_each(|row| {
                row.series = Arc::new(Series {
                    team_id: None,
                    ..(*row.series).clone()
                });
            });
        }
        let key = UserDay {
            team_id: None,
            ..key
        };
        assert_eq!(by_user(&tables), ByUser::from([(key, Tally::default())]));
    }
}
