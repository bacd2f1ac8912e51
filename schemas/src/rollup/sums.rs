//! Adding events up by organization, minute and finest series.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use uuid::Uuid;

use super::{Rollup, Series, SeriesKind};
use crate::{Event, Timestamp, Window};

/// Organization, start of the minute, and series of the finest scope.
pub type SumKey = (Uuid, Timestamp, Series);

/// The sums of events by organization, minute of event time and finest series.
///
/// Adding to a sum that is there allocates nothing but new buckets of its histogram: this is
/// done for every event, by the aggregator and by the sink.
#[derive(Debug, Default)]
pub struct Sums {
    table: HashTable<(SumKey, Rollup)>,
    hasher: DefaultHashBuilder,
}

impl Sums {
    /// Adds one event.
    pub fn add(&mut self, event: &Event) {
        let common = event.common();
        let minute = Window::M1.start(common.timestamp);
        let series = SeriesRef::of(event);
        let hash = hash(&self.hasher, common.organization_id, minute, series);
        let entry = self.table.entry(
            hash,
            |((organization, start, other), _)| {
                *start == minute
                    && *organization == common.organization_id
                    && SeriesRef::from(other) == series
            },
            |(key, _)| hash_of_key(&self.hasher, key),
        );
        match entry {
            Entry::Occupied(mut sum) => sum.get_mut().1.add(event),
            Entry::Vacant(vacant) => {
                let key = (common.organization_id, minute, Series::of(event));
                vacant.insert((key, Rollup::of(event)));
            }
        }
    }

    /// How many sums there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Takes all sums out and keeps the memory for the next ones.
    pub fn drain(&mut self) -> impl Iterator<Item = (SumKey, Rollup)> {
        self.table.drain()
    }
}

impl IntoIterator for Sums {
    type Item = (SumKey, Rollup);
    type IntoIter = hashbrown::hash_table::IntoIter<(SumKey, Rollup)>;

    fn into_iter(self) -> Self::IntoIter {
        self.table.into_iter()
    }
}

/// A [`Series`] that is not copied out of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SeriesRef<'a> {
    kind: SeriesKind,
    name: &'a str,
    model: Option<&'a str>,
    team_id: Option<Uuid>,
    project_id: Option<Uuid>,
    user_id: Option<Uuid>,
}

impl<'a> SeriesRef<'a> {
    /// What [`Series::of`] would be of.
    fn of(event: &'a Event) -> Self {
        let (kind, name, model) = super::series::parts(event);
        let common = event.common();
        Self {
            kind,
            name,
            model,
            team_id: common.team_id,
            project_id: common.project_id,
            user_id: common.user_id,
        }
    }
}

impl<'a> From<&'a Series> for SeriesRef<'a> {
    fn from(series: &'a Series) -> Self {
        // Every field is named, so that a new one cannot be forgotten.
        let Series {
            kind,
            name,
            model,
            team_id,
            project_id,
            user_id,
        } = series;
        Self {
            kind: *kind,
            name,
            model: model.as_deref(),
            team_id: *team_id,
            project_id: *project_id,
            user_id: *user_id,
        }
    }
}

fn hash_of_key(hasher: &DefaultHashBuilder, (organization, minute, series): &SumKey) -> u64 {
    hash(hasher, *organization, *minute, series.into())
}

fn hash(
    hasher: &DefaultHashBuilder,
    organization: Uuid,
    minute: Timestamp,
    series: SeriesRef<'_>,
) -> u64 {
    let mut state = hasher.build_hasher();
    // Whole numbers: byte arrays would be hashed with their length.
    organization.as_u128().hash(&mut state);
    minute.hash(&mut state);
    for id in [series.user_id, series.team_id, series.project_id] {
        id.map_or(0, |id| id.as_u128()).hash(&mut state);
    }
    (series.kind, series.name, series.model).hash(&mut state);
    std::hash::Hasher::finish(&state)
}
