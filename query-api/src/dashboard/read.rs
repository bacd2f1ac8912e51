//! A dashboard out of the database.

use platform::database::TenantTx;
use schemas::{Timestamp, rollup::SeriesKind};

use super::{
    activity::{Activity, active},
    answer::{Dashboard, ModelFigures, Overview, Period, TopAgent, TopCommand},
    fold::{Current, all_of, top},
    hours,
    params::Query,
    series::Series,
};
use crate::{
    aggregated::group::{GroupBy, scope_for},
    anomalies,
    failure::QueryFailure,
    rollups::{Piece, Source},
};

/// The most commands, agents and models of a dashboard.
const MOST_NAMES: usize = 20;
/// The most users, and the most teams.
const MOST_ACTIVE: usize = 500;
/// The most anomalies.
const MOST_ANOMALIES: usize = 50;

/// The dashboard of a transaction's organization and watermark, all of it from one snapshot.
///
/// # Errors
/// The database's, or a row that does not hold what the sink writes.
pub(crate) async fn dashboard(
    mut transaction: TenantTx,
    query: &Query,
    watermark: Option<Timestamp>,
) -> Result<Dashboard, QueryFailure> {
    let tx = &mut transaction;
    let series = query.series();
    let mut current = Current::new();
    let rows = source(query, GroupBy::None, &series);
    rows.read(tx, |row| current.add(row)).await?;
    let range = query.current();
    let activity = Activity::read(tx, source(query, GroupBy::User, &range)).await?;
    let hours = query.hours();
    let hours = Source {
        kinds: &[SeriesKind::Command, SeriesKind::Agent],
        ..source(query, GroupBy::None, &hours)
    };
    let hours = hours::hours(tx, hours).await?;
    let previous = previous(tx, query).await?;
    let last_day = anomalies::Query::last_day(query.now, query.filter.clone(), MOST_ANOMALIES);
    let anomalies = anomalies::find(tx, watermark, &last_day).await?;
    transaction.finish();

    let series = Series::of(current.buckets, query, watermark);
    let current_period = Period {
        events: current.total,
        active: activity.active(),
    };
    Ok(Dashboard {
        time_range: query.time_range.as_str(),
        start_date: query.start().to_string(),
        end_date: query.end().to_string(),
        window: query.time_range.window().as_str(),
        watermark: watermark.map(|until| until.to_string()),
        overview: Overview::of(&current_period, &previous),
        trends: series.trends(),
        series: series.buckets(),
        top_commands: told(top(current.commands, MOST_NAMES), TopCommand::of),
        top_agents: told(top(current.agents, MOST_NAMES), TopAgent::of),
        models: told(top(current.models, MOST_NAMES), ModelFigures::of),
        teams: activity.teams(MOST_ACTIVE),
        users: activity.users(MOST_ACTIVE),
        hours,
        anomalies: anomalies.found,
    })
}

fn told<T, U>(all: Vec<T>, of: impl FnMut(T) -> U) -> Vec<U> {
    all.into_iter().map(of).collect()
}

/// The rollups of whom the query means, in the coarsest scope that tells these groups apart.
fn source<'a>(query: &'a Query, group_by: GroupBy, pieces: &'a [Piece]) -> Source<'a> {
    Source {
        scope: scope_for(&query.filter, group_by),
        filter: &query.filter,
        pieces,
        kinds: &[],
    }
}

/// The range before.
async fn previous(tx: &mut TenantTx, query: &Query) -> Result<Period, QueryFailure> {
    let range = query.previous();
    let mut events = all_of(query.start());
    let rows = source(query, GroupBy::None, &range);
    rows.read(tx, |row| events.add(row.part, &row.rollup))
        .await?;
    let users = source(query, GroupBy::User, &range);
    Ok(Period {
        events,
        active: active(tx, users).await?,
    })
}
