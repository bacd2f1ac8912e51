//! The SQL of one slice of events.

use platform::auth::Readable;
use sqlx::{Postgres, QueryBuilder};

use super::{
    columns::{Column, name_column},
    params::Filter,
    position::{Direction, Place, Position},
    search::Search,
    slices::Slice,
};
use crate::instant::instant;

/// Writes the `select` of the rows of a slice that the caller may read, that the filter lets
/// through, and that come after a position.
pub(super) fn push(
    sql: &mut QueryBuilder<Postgres>,
    columns: &[Column],
    (readable, filter, search): (&Readable, &Filter, Option<&Search>),
    direction: Direction,
    slice: Slice,
    after: Option<Position>,
) {
    let selected: Vec<String> = columns.iter().map(|column| column.selected()).collect();
    sql.push(format!(
        "select {} from tenant.{} where true",
        selected.join(", "),
        filter.kind.plural()
    ));
    // Bare comparisons of the time with values: only by them are chunks left out.
    sql.push(" and \"timestamp\" >= ")
        .push_bind(instant(slice.from));
    sql.push(" and \"timestamp\" < ")
        .push_bind(instant(slice.to));
    push_after(sql, direction, after);
    push_rights(sql, readable);
    push_filter(sql, filter);
    if let Some(search) = search {
        search.push(sql, filter.kind);
    }
    let order = match direction {
        Direction::NewestFirst => "desc",
        Direction::OldestFirst => "asc",
    };
    sql.push(format!(
        " order by \"timestamp\" {order}, event_id, source_partition, source_offset"
    ));
}

/// Of the instant at which reading stopped, the rows that were not read. Slices begin with
/// that instant.
fn push_after(sql: &mut QueryBuilder<Postgres>, direction: Direction, after: Option<Position>) {
    let Some(Position {
        at,
        place: Some(place),
    }) = after
    else {
        return;
    };
    let beyond = match direction {
        Direction::NewestFirst => "<",
        Direction::OldestFirst => ">",
    };
    let Place {
        event_id,
        partition,
        offset,
    } = place;
    sql.push(format!(" and (\"timestamp\" {beyond} "))
        .push_bind(instant(at))
        .push(" or (event_id, source_partition, source_offset) > (")
        .push_bind(event_id)
        .push(", ")
        .push_bind(partition)
        .push(", ")
        .push_bind(offset)
        .push("))");
}

fn push_rights(sql: &mut QueryBuilder<Postgres>, readable: &Readable) {
    match readable {
        Readable::All => {}
        Readable::Own(user_id) => {
            sql.push(" and user_id = ").push_bind(*user_id);
        }
        Readable::Teams { user_id, team_ids } => {
            sql.push(" and (user_id = ")
                .push_bind(*user_id)
                .push(" or team_id = any(")
                .push_bind(team_ids.clone())
                .push("))");
        }
    }
}

fn push_filter(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    for (column, id) in [
        ("user_id", filter.user_id),
        ("team_id", filter.team_id),
        ("project_id", filter.project_id),
    ] {
        if let Some(id) = id {
            sql.push(format!(" and {column} = ")).push_bind(id);
        }
    }
    let status = match filter.kind {
        schemas::event::EventKind::UserSession => "kind",
        _ => "status",
    };
    let texts = [
        (status, filter.status),
        (name_column(filter.kind), filter.name.as_deref()),
        ("model", filter.model.as_deref()),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            sql.push(format!(" and {column} = "))
                .push_bind(text.to_owned());
        }
    }
}
