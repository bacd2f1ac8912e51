//! From sums of the finest series and minute to the rows of every scope and window.

use std::{borrow::Cow, sync::Arc};

use schemas::{
    Rollup, Timestamp, Window,
    rollup::{Scope, Series, SumKey},
};
use uuid::Uuid;

use self::catalog::{Catalog, Number, Order};

mod catalog;

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

/// A row whose series is told by its number.
#[derive(Debug)]
struct Line {
    series: Number,
    bucket_start: Timestamp,
    rollup: Rollup,
}

/// The rows of each window that sums of deltas, by organization, minute and finest series,
/// are to be added to. Windows must be sorted, shortest first. No two rows of a window
/// have the same key, and they are sorted by it.
///
/// A longer window is added up from the rows of the shorter, and a coarser scope from the
/// finer one's, so that each step has fewer rows to go through than the one before. Lines are
/// kept in the order of series and bucket, so that those of one longer bucket are neighbours.
pub(crate) fn expand(
    windows: &[Window],
    deltas: impl IntoIterator<Item = (SumKey, Rollup)>,
) -> Vec<(Window, Vec<RollupRow>)> {
    let Some(&shortest) = windows.first() else {
        return Vec::new();
    };
    let mut catalog = Catalog::default();
    let user = finest(&mut catalog, shortest, deltas);
    let team = coarser(&mut catalog, &user, Scope::Team);
    let organization = coarser(&mut catalog, &team, Scope::Organization);
    let mut scopes = [user, team, organization];
    let order = catalog.order();
    let mut tables = Vec::with_capacity(windows.len());
    for (place, &window) in windows.iter().enumerate() {
        let next = windows.get(place + 1);
        let longer = scopes
            .each_ref()
            .map(|lines| next.map_or_else(Vec::new, |next| longer(lines, *next)));
        let lines = std::mem::replace(&mut scopes, longer);
        tables.push((window, rows(&catalog, &order, lines)));
    }
    tables
}

/// The lines of all scopes as sorted rows. Lines are large, so their keys are sorted and then
/// each line is moved once.
fn rows(catalog: &Catalog, order: &Order, mut scopes: [Vec<Line>; 3]) -> Vec<RollupRow> {
    let mut places = Vec::with_capacity(scopes.iter().map(Vec::len).sum());
    for (scope, lines) in scopes.iter().enumerate() {
        let of = |(place, line): (usize, &Line)| {
            (order.key(line.series, line.bucket_start), scope, place)
        };
        places.extend(lines.iter().enumerate().map(of));
    }
    places.sort_unstable();
    let row = |(_, scope, place): (_, usize, usize)| {
        let line = &mut scopes[scope][place];
        let rollup = std::mem::take(&mut line.rollup);
        catalog.row(line.series, line.bucket_start, rollup)
    };
    places.into_iter().map(row).collect()
}

/// The deltas as lines of the shortest window.
fn finest(
    catalog: &mut Catalog,
    shortest: Window,
    deltas: impl IntoIterator<Item = (SumKey, Rollup)>,
) -> Vec<Line> {
    let deltas = deltas.into_iter();
    let mut rollups = Vec::with_capacity(deltas.size_hint().0);
    let mut keys = Vec::with_capacity(deltas.size_hint().0);
    for ((organization_id, minute, series), rollup) in deltas {
        let series = catalog.number(organization_id, Scope::User, series);
        keys.push((series, shortest.start(minute), rollups.len()));
        rollups.push(rollup);
    }
    keys.sort_unstable();
    add_up(keys.into_iter().map(|(series, bucket_start, place)| {
        let rollup = std::mem::take(&mut rollups[place]);
        (series, bucket_start, Cow::Owned(rollup))
    }))
}

/// The lines of a coarser scope.
fn coarser(catalog: &mut Catalog, lines: &[Line], scope: Scope) -> Vec<Line> {
    let mut parts = Vec::with_capacity(lines.len());
    for same in lines.chunk_by(|a, b| a.series == b.series) {
        let series = catalog.coarser(same[0].series, scope);
        parts.extend(same.iter().map(|line| (series, line.bucket_start, line)));
    }
    parts.sort_unstable_by_key(|&(series, bucket_start, _)| (series, bucket_start));
    let parts = parts.into_iter();
    add_up(parts.map(|(series, start, line)| (series, start, Cow::Borrowed(&line.rollup))))
}

/// The lines of a longer window.
fn longer(lines: &[Line], window: Window) -> Vec<Line> {
    add_up(lines.iter().map(|line| {
        let start = window.start(line.bucket_start);
        (line.series, start, Cow::Borrowed(&line.rollup))
    }))
}

/// Neighbours of the same series and bucket become one line.
fn add_up<'a>(parts: impl Iterator<Item = (Number, Timestamp, Cow<'a, Rollup>)>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::with_capacity(parts.size_hint().0);
    for (series, bucket_start, rollup) in parts {
        match lines.last_mut() {
            Some(sum) if (sum.series, sum.bucket_start) == (series, bucket_start) => {
                sum.rollup.merge(&rollup);
            }
            _ => lines.push(Line {
                series,
                bucket_start,
                rollup: rollup.into_owned(),
            }),
        }
    }
    lines
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
