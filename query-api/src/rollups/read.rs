//! Rows of rollups out of the database.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use platform::database::{
    TenantTx,
    rollup_columns::{RollupColumns, SELECTED},
};
use schemas::{
    Rollup, Timestamp, Window,
    rollup::{Scope, SeriesKind},
};
use sqlx::{FromRow, Postgres, QueryBuilder, Row as _, postgres::PgRow};

use super::Piece;
use crate::{
    aggregated::{fold::Part, group::Filter},
    failure::QueryFailure,
    instant::instant,
};

/// Which rollups are meant: those of a scope, of whom the filter names, in pieces of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) scope: Scope,
    pub(crate) filter: &'a Filter,
    /// Not empty.
    pub(crate) pieces: &'a [Piece],
    /// Only these kinds; if empty, all.
    pub(crate) kinds: &'a [SeriesKind],
}

/// A rollup, and of what it is within its scope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) bucket_start: Timestamp,
    pub(crate) part: Part,
    pub(crate) name: String,
    pub(crate) model: Option<String>,
    pub(crate) rollup: Rollup,
}

impl Source<'_> {
    /// Hands over every rollup, in no order. One at a time: memory holds what becomes of them.
    pub(crate) async fn read(
        &self,
        transaction: &mut TenantTx,
        mut each: impl FnMut(Row),
    ) -> Result<(), QueryFailure> {
        let mut sql = QueryBuilder::new("");
        self.push(
            &mut sql,
            &format!("bucket_start, kind, name, model, {SELECTED}"),
        );
        let query = sql.build().persistent(false);
        let mut rows = query.fetch(transaction.connection());
        while let Some(row) = rows.try_next().await? {
            each(stored(&row)?);
        }
        Ok(())
    }

    /// Writes the `select` of some columns: one for each window, all together a union.
    ///
    /// Of a window's pieces the outermost ends are said as well, bare: by them chunks are left
    /// out, while the pieces are looked up in the index one by one.
    pub(crate) fn push(&self, sql: &mut QueryBuilder<Postgres>, columns: &str) {
        let mut union = "";
        for window in Window::ALL {
            let of_window = |piece: &&Piece| piece.window == window;
            let pieces: Vec<&Piece> = self.pieces.iter().filter(of_window).collect();
            let from = pieces.iter().map(|piece| piece.from).min();
            let to = pieces.iter().map(|piece| piece.to).max();
            let (Some(from), Some(to)) = (from, to) else {
                continue;
            };
            sql.push(union);
            sql.push(format!(
                "select {columns} from tenant.rollups_{window} where scope = '{}' and ",
                self.scope.as_str()
            ));
            push_range(sql, from, to);
            if pieces.len() > 1 {
                let mut or = " and (";
                for piece in pieces {
                    sql.push(or).push("(");
                    push_range(sql, piece.from, piece.to);
                    sql.push(")");
                    or = " or ";
                }
                sql.push(")");
            }
            self.push_conditions(sql);
            union = " union all ";
        }
    }

    fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        for (column, ids) in [
            ("user_id", &self.filter.user_ids),
            ("team_id", &self.filter.team_ids),
            ("project_id", &self.filter.project_ids),
        ] {
            if let Some(ids) = ids {
                sql.push(format!(" and {column} = any("))
                    .push_bind(ids.clone())
                    .push(")");
            }
        }
        if !self.kinds.is_empty() {
            let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
            sql.push(" and kind = any(").push_bind(kinds).push(")");
        }
    }
}

fn push_range(sql: &mut QueryBuilder<Postgres>, from: Timestamp, to: Timestamp) {
    sql.push("bucket_start >= ").push_bind(instant(from));
    sql.push(" and bucket_start < ").push_bind(instant(to));
}

fn stored(row: &PgRow) -> Result<Row, QueryFailure> {
    let bucket_start: DateTime<Utc> = row.try_get("bucket_start")?;
    let name: String = row.try_get("name")?;
    Ok(Row {
        bucket_start: Timestamp::try_from(bucket_start)
            .map_err(|_| QueryFailure::Malformed("bucket_start"))?,
        part: Part::of(row.try_get("kind")?, &name).ok_or(QueryFailure::Malformed("kind"))?,
        name,
        model: row.try_get("model")?,
        rollup: RollupColumns::from_row(row)?
            .rollup()
            .map_err(QueryFailure::Malformed)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_window_are_one_select() {
        let at = |hour: i64| Timestamp::from_millis(hour * 3_600_000).unwrap();
        let piece = |window, from, to| Piece {
            window,
            from: at(from),
            to: at(to),
        };
        let pieces = [
            piece(Window::H1, 22, 24),
            piece(Window::D1, 24, 72),
            piece(Window::H1, 72, 80),
        ];
        let source = Source {
            scope: Scope::Team,
            filter: &Filter::default(),
            pieces: &pieces,
            kinds: &[SeriesKind::Agent],
        };
        let mut sql = QueryBuilder::new("");
        source.push(&mut sql, "kind");
        assert_eq!(
            sql.sql().as_str(),
            "select kind from tenant.rollups_1h where scope = 'team' \
             and bucket_start >= $1 and bucket_start < $2 \
             and ((bucket_start >= $3 and bucket_start < $4) \
             or (bucket_start >= $5 and bucket_start < $6)) and kind = any($7) \
             union all select kind from tenant.rollups_1d where scope = 'team' \
             and bucket_start >= $8 and bucket_start < $9 and kind = any($10)"
        );
    }
}
