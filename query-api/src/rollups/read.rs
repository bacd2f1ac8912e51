//! Rows of rollups out of the database.

use futures_util::TryStreamExt;
use platform::database::{
    TenantTx,
    cell::Cell,
    rollup_row::{self, MEASURES},
};
use schemas::{
    Rollup, Timestamp, Window,
    rollup::{Scope, SeriesKind},
};
use sqlx::{Postgres, QueryBuilder, postgres::PgRow};

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

/// A rollup, and of what it is within its scope. Each is read in place of the one before.
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
        mut each: impl FnMut(&Row),
    ) -> Result<(), QueryFailure> {
        let mut sql = QueryBuilder::new("");
        self.push(
            &mut sql,
            &format!("bucket_start, kind, name, model, {MEASURES}"),
        );
        let mut rows = sql.build().fetch(transaction.connection());
        let mut read = Row::nothing();
        while let Some(row) = rows.try_next().await? {
            read.refill(&row)?;
            each(&read);
        }
        Ok(())
    }

    /// Writes the `select` of some columns: one for each window, all together a union.
    ///
    /// Of a window's pieces the outermost ends are said as well, bare: by them chunks are left
    /// out, while the pieces are looked up in the index one by one.
    pub(crate) fn push(&self, sql: &mut QueryBuilder<Postgres>, columns: &str) {
        self.push_each(sql, |window| self.select(window, columns));
    }

    /// The same, with days from the table of what users did in each, which has fewer rows and
    /// columns of its own. It knows no projects, so where they are asked for it is not read.
    pub(crate) fn push_by_user(
        &self,
        sql: &mut QueryBuilder<Postgres>,
        of_days: &str,
        of_rollups: &str,
    ) {
        let is_known = self.filter.project_ids.is_none() && self.kinds.is_empty();
        self.push_each(sql, |window| match window {
            Window::D1 if is_known => {
                format!("select {of_days} from tenant.rollups_1d_by_user where ")
            }
            other => self.select(other, of_rollups),
        });
    }

    fn select(&self, window: Window, columns: &str) -> String {
        let scope = self.scope.as_str();
        format!("select {columns} from tenant.rollups_{window} where scope = '{scope}' and ")
    }

    /// Writes a `select` for each window, which ends where its conditions begin.
    fn push_each(&self, sql: &mut QueryBuilder<Postgres>, select: impl Fn(Window) -> String) {
        let mut union = "";
        for window in Window::ALL {
            let of_window = |piece: &&Piece| piece.window == window;
            let pieces: Vec<&Piece> = self.pieces.iter().filter(of_window).collect();
            let from = pieces.iter().map(|piece| piece.from).min();
            let to = pieces.iter().map(|piece| piece.to).max();
            let (Some(from), Some(to)) = (from, to) else {
                continue;
            };
            sql.push(union).push(select(window));
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

impl Row {
    fn nothing() -> Self {
        Self {
            bucket_start: Timestamp::MIN,
            part: Part::Commands,
            name: String::new(),
            model: None,
            rollup: Rollup::default(),
        }
    }

    fn refill(&mut self, row: &PgRow) -> Result<(), QueryFailure> {
        let cell = |place, name| Cell::of(row, place, name);
        self.bucket_start = cell(0, "bucket_start")?.instant()?;
        let kind = cell(1, "kind")?.text()?.unwrap_or_default();
        let name = cell(2, "name")?.text()?.unwrap_or_default();
        self.part = Part::of(kind, name).ok_or(QueryFailure::Malformed("kind"))?;
        name.clone_into(&mut self.name);
        self.model = cell(3, "model")?.text()?.map(str::to_owned);
        rollup_row::read(row, 4, &mut self.rollup)?;
        Ok(())
    }
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
    #[test]
    fn days_of_users_have_a_table_of_their_own_if_no_project_is_asked_for() {
        let at = |hour: i64| Timestamp::from_millis(hour * 3_600_000).unwrap();
        let pieces = [(Window::H1, 23, 24), (Window::D1, 24, 48)].map(|(window, from, to)| Piece {
            window,
            from: at(from),
            to: at(to),
        });
        let select = |filter: &Filter| {
            let source = Source {
                scope: Scope::User,
                filter,
                pieces: &pieces,
                kinds: &[],
            };
            let mut sql = QueryBuilder::new("");
            source.push_by_user(&mut sql, "a", "b");
            sql.sql().as_str().to_owned()
        };
        let hours = "select b from tenant.rollups_1h where scope = 'user' \
             and bucket_start >= $1 and bucket_start < $2";
        let of_team = Filter {
            team_ids: Some(vec![]),
            ..Filter::default()
        };
        assert_eq!(
            select(&of_team),
            format!(
                "{hours} and team_id = any($3) union all select a from tenant.rollups_1d_by_user \
                 where bucket_start >= $4 and bucket_start < $5 and team_id = any($6)"
            )
        );
        let of_project = Filter {
            project_ids: Some(vec![]),
            ..Filter::default()
        };
        assert_eq!(
            select(&of_project),
            format!(
                "{hours} and project_id = any($3) union all select b from tenant.rollups_1d \
                 where scope = 'user' and bucket_start >= $4 and bucket_start < $5 \
                 and project_id = any($6)"
            )
        );
    }
}
