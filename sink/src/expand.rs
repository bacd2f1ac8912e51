//! From sums of the finest series and minute to the rows of every scope and window.

use std::sync::Arc;

use hashbrown::HashMap;
use schemas::{
    Rollup, Timestamp, Window,
    rollup::{Scope, Series, SumKey},
};
use uuid::Uuid;

/// What is to be added to one row of a window's table.
#[derive(Debug, Clone)]
pub(crate) struct RollupRow {
    pub(crate) organization_id: Uuid,
    pub(crate) scope: Scope,
    pub(crate) bucket_start: Timestamp,
    pub(crate) series_id: Uuid,
    pub(crate) series: Arc<Series>,
    pub(crate) rollup: Rollup,
}

impl RollupRow {
    /// In the order of [`RollupRow::key`], as whole numbers, which compare faster than bytes.
    fn sort_key(&self) -> (u128, Scope, Timestamp, u128) {
        let (organization_id, scope, bucket_start, series_id) = self.key();
        let [organization_id, series_id] = [organization_id, series_id].map(|id| id.as_u128());
        (organization_id, scope, bucket_start, series_id)
    }

    /// The primary key.
    pub(crate) fn key(&self) -> (Uuid, Scope, Timestamp, Uuid) {
        (
            self.organization_id,
            self.scope,
            self.bucket_start,
            self.series_id,
        )
    }
}

/// The rows of each window that sums of deltas, by organization, minute and finest series,
/// are to be added to. Windows must be sorted, shortest first. No two rows of a window
/// have the same key, and they are sorted by it.
///
/// A longer window is added up from the rows of the shorter, and a coarser scope from the
/// finer one's, so that each step has fewer rows to go through than the one before.
pub(crate) fn expand(
    windows: &[Window],
    deltas: impl IntoIterator<Item = (SumKey, Rollup)>,
) -> Vec<(Window, Vec<RollupRow>)> {
    let Some(&shortest) = windows.first() else {
        return Vec::new();
    };
    let mut ids = SeriesIds::default();
    let finest = deltas
        .into_iter()
        .map(|((organization_id, minute, series), rollup)| {
            let (series, series_id) = ids.of(series);
            RollupRow {
                organization_id,
                scope: Scope::User,
                bucket_start: minute,
                series_id,
                series,
                rollup,
            }
        });
    let user = regroup(finest.collect(), shortest);
    let team = regroup(ids.coarser(&user, Scope::Team), shortest);
    let organization = regroup(ids.coarser(&team, Scope::Organization), shortest);
    // In the order of `Scope::ALL`.
    let mut rows = [organization, team, user];
    let mut tables = Vec::with_capacity(windows.len());
    for &window in windows {
        if window != shortest {
            for rows in &mut rows {
                *rows = regroup(std::mem::take(rows), window);
            }
        }
        let mut all: Vec<RollupRow> = if Some(&window) == windows.last() {
            rows.iter_mut().flat_map(std::mem::take).collect()
        } else {
            rows.iter().flatten().cloned().collect()
        };
        // Rows are large, so their keys are sorted and then each row is moved once.
        all.sort_by_cached_key(RollupRow::sort_key);
        tables.push((window, all));
    }
    tables
}

/// Adds up rows of a scope that are one in `window`.
fn regroup(rows: Vec<RollupRow>, window: Window) -> Vec<RollupRow> {
    let mut places = HashMap::with_capacity(rows.len());
    let mut sums: Vec<RollupRow> = Vec::with_capacity(rows.len());
    for mut row in rows {
        row.bucket_start = window.start(row.bucket_start);
        let place = *places.entry(row.key()).or_insert(sums.len());
        match sums.get_mut(place) {
            Some(sum) => sum.rollup.merge(&row.rollup),
            None => sums.push(row),
        }
    }
    sums
}

/// Series and their ids. An id is a hash of all parts of its series, so each is made once.
#[derive(Default)]
struct SeriesIds(HashMap<Arc<Series>, Uuid>);

impl SeriesIds {
    fn of(&mut self, series: Series) -> (Arc<Series>, Uuid) {
        if let Some((known, id)) = self.0.get_key_value(&series) {
            return (Arc::clone(known), *id);
        }
        let (id, series) = (series.id(), Arc::new(series));
        self.0.insert(Arc::clone(&series), id);
        (series, id)
    }

    /// The rows as those of `scope`, which is coarser than theirs; not added up.
    fn coarser(&mut self, rows: &[RollupRow], scope: Scope) -> Vec<RollupRow> {
        let mut known: HashMap<Uuid, (Arc<Series>, Uuid)> = HashMap::new();
        let rows = rows.iter().map(|row| {
            let coarser = known.entry(row.series_id);
            let (series, series_id) = coarser.or_insert_with(|| self.of(row.series.within(scope)));
            RollupRow {
                scope,
                series_id: *series_id,
                series: Arc::clone(series),
                ..row.clone()
            }
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use schemas::rollup::SeriesKind;

    use super::*;

    type Deltas = HashMap<(Uuid, Timestamp, Series), Rollup>;

    /// Organization, second, user, team, name and count.
    type Told = (u8, i64, u8, Option<u8>, u8, u64);

    fn deltas(events: &[Told]) -> Deltas {
        let id = |n: u8| Uuid::from_u128(u128::from(n) + 1);
        let mut deltas = Deltas::new();
        for &(org, second, user, team, name, count) in events {
            let series = Series {
                kind: SeriesKind::Command,
                name: format!("n{name}"),
                model: None,
                team_id: team.map(id),
                project_id: None,
                user_id: Some(id(user)),
            };
            let at = Timestamp::from_micros(second * 1_000_000).unwrap();
            let rollup = Rollup {
                count,
                ..Rollup::default()
            };
            let key = (id(org), Window::M1.start(at), series);
            deltas.entry(key).or_default().merge(&rollup);
        }
        deltas
    }

    #[test]
    fn two_users_of_one_team_are_one_row_of_team_and_organization() {
        let deltas = deltas(&[
            (0, 0, 0, Some(0), 0, 1),
            (0, 61, 1, Some(0), 0, 2),
            (0, 86_399, 0, None, 0, 4),
        ]);
        let tables = expand(&Window::ALL, deltas);
        let shape = |window: Window| {
            let (_, rows) = tables.iter().find(|(w, _)| *w == window).unwrap();
            Scope::ALL.map(|scope| {
                let mut counts: Vec<u64> = rows
                    .iter()
                    .filter(|r| r.scope == scope)
                    .map(|r| r.rollup.count)
                    .collect();
                counts.sort_unstable();
                counts
            })
        };
        assert_eq!(shape(Window::M1), [[1, 2, 4], [1, 2, 4], [1, 2, 4]]);
        assert_eq!(shape(Window::M5), [vec![3, 4], vec![3, 4], vec![1, 2, 4]]);
        assert_eq!(shape(Window::D1), [vec![7], vec![3, 4], vec![1, 2, 4]]);
    }

    proptest! {
        #[test]
        fn every_scope_of_every_window_holds_each_event_once(
            events in prop::collection::vec(
                (0_u8..2, 0_i64..200_000, 0_u8..3, prop::option::of(0_u8..2), 0_u8..2, 1_u64..9), 0..60
            ),
            windows in prop::sample::subsequence(Window::ALL.to_vec(), 1..=5)
        ) {
            let deltas = deltas(&events);
            let tables = expand(&windows, deltas.clone());
            prop_assert_eq!(tables.iter().map(|(w, _)| *w).collect::<Vec<_>>(), windows);
            for (window, rows) in &tables {
                prop_assert!(rows.is_sorted_by(|a, b| a.key() < b.key()));
                // The plain way, delta by delta.
                let mut plain: HashMap<_, Rollup> = HashMap::new();
                for ((organization, minute, series), rollup) in &deltas {
                    for scope in Scope::ALL {
                        let id = series.within(scope).id();
                        let key = (*organization, scope, window.start(*minute), id);
                        plain.entry(key).or_default().merge(rollup);
                    }
                }
                prop_assert_eq!(rows.len(), plain.len());
                for row in rows {
                    prop_assert_eq!(Some(&row.rollup), plain.get(&row.key()));
                    prop_assert_eq!(row.series.id(), row.series_id);
                    prop_assert_eq!(row.series.within(row.scope), (*row.series).clone());
                }
            }
        }
    }
}
