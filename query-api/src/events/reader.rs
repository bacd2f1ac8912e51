//! Events out of the database, in order, in pieces that memory holds whatever there is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use platform::{
    auth::Readable,
    database::{TenantDb, TenantTx},
};
use schemas::Timestamp;
use sqlx::{
    AssertSqlSafe, Postgres, QueryBuilder,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use uuid::Uuid;

use super::{
    columns::{Column, columns},
    params::Filter,
    position::{Direction, Position},
    search::Search,
    slices::Slices,
    statement,
    value::Row,
};
use crate::failure::QueryFailure;

/// The longest that one statement may take: a slice that needs longer is cut.
const STATEMENT_BOUND: Duration = Duration::from_secs(3);

/// What begins a statement whose rows are read bit by bit.
const DECLARE: &str = "declare events_read no scroll cursor for ";

/// Which events, for whom, and in which order.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) organization_id: Uuid,
    pub(crate) readable: Readable,
    pub(crate) filter: Filter,
    /// From the first instant on and before the second.
    pub(crate) range: (Timestamp, Timestamp),
    pub(crate) direction: Direction,
    /// Only what comes after it.
    pub(crate) after: Option<Position>,
    /// About how many rows a slice should hold.
    pub(crate) rows_of_slice: usize,
    /// How many rows are read at once.
    pub(crate) rows_at_once: usize,
    /// More than these of one slice are of no use.
    pub(crate) most: Option<usize>,
}

/// What reading on gave.
#[derive(Debug)]
pub(crate) enum Step {
    /// Rows, at least one.
    Rows(Vec<Row>),
    /// None so far.
    Nothing,
    /// There are no more.
    End,
}

/// Reads on, step by step. Between two steps it may hold a transaction.
pub(crate) struct Reader {
    database: TenantDb,
    wanted: Wanted,
    columns: Arc<[Column]>,
    search: Option<Search>,
    slices: Slices,
    /// The last row that was read.
    after: Option<Position>,
    open: Option<Open>,
}

/// A slice that is being read.
struct Open {
    transaction: TenantTx,
    /// By the database, for all of the slice so far.
    took: Duration,
    rows: usize,
}

impl Reader {
    /// Begins. `None` when a search has not one word in it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn start(
        database: TenantDb,
        wanted: Wanted,
    ) -> Result<Option<Self>, QueryFailure> {
        let mut search = None;
        if let Some(text) = &wanted.filter.q {
            let mut transaction = database.begin(wanted.organization_id).await?;
            search = Search::read(&mut transaction, text).await?;
            transaction.finish();
            if search.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Self {
            columns: columns(wanted.filter.kind).into(),
            search,
            slices: Slices::new(wanted.direction, wanted.range, wanted.after),
            after: wanted.after,
            database,
            wanted,
            open: None,
        }))
    }

    /// The columns of the rows.
    pub(crate) fn columns(&self) -> Arc<[Column]> {
        Arc::clone(&self.columns)
    }

    /// Up to where everything was read, newest first.
    pub(crate) fn reached(&self) -> Position {
        let slices = self.slices.reached();
        // Within a slice, it is the last row.
        self.after
            .filter(|row| row.at < slices.at)
            .unwrap_or(slices)
    }

    /// Reads on.
    ///
    /// # Errors
    /// When the database does not answer, or not even for the shortest slice in time.
    pub(crate) async fn next(&mut self) -> Result<Step, QueryFailure> {
        match self.step().await {
            // What a statement could not read in time is tried in smaller pieces.
            Err(failure) if failure.is_too_long() && self.slices.shorten() => {
                self.open = None;
                Ok(Step::Nothing)
            }
            step => step,
        }
    }

    /// Gives the transaction back; the next step begins another, after the last row. For when
    /// whoever wants the rows takes its time.
    pub(crate) async fn release(&mut self) -> Result<(), QueryFailure> {
        if let Some(open) = self.open.take() {
            open.transaction.finish();
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<Step, QueryFailure> {
        let (open, batch) = match self.open.take() {
            Some(mut open) => {
                let batch = open.fetch(&self.wanted).await?;
                (open, batch)
            }
            None => match self.begin().await? {
                Some(begun) => begun,
                None => return Ok(Step::End),
            },
        };
        let rows: Result<Vec<Row>, _> = batch
            .iter()
            .map(|row| Row::read(row, &self.columns))
            .collect();
        let rows = rows?;
        if rows.len() < self.wanted.rows_at_once {
            open.transaction.finish();
            let wanted = self.wanted.rows_of_slice;
            self.slices.advance(open.took, open.rows, wanted);
        } else if self.wanted.by_cursor() {
            self.open = Some(open);
        }
        match rows.last() {
            Some(row) => {
                self.after = Some(row.position);
                Ok(Step::Rows(rows))
            }
            None => Ok(Step::Nothing),
        }
    }

    /// A transaction over what is left of the slice, one snapshot of it, and the first rows.
    async fn begin(&self) -> Result<Option<(Open, Vec<PgRow>)>, QueryFailure> {
        let Some(slice) = self.slices.current() else {
            return Ok(None);
        };
        let wanted = &self.wanted;
        let slice = slice.rest(wanted.direction, self.after);
        let begun = self
            .database
            .begin_bounded(wanted.organization_id, STATEMENT_BOUND);
        let mut open = Open {
            transaction: begun.await?,
            took: Duration::ZERO,
            rows: 0,
        };
        let by_cursor = wanted.by_cursor();
        let mut sql = QueryBuilder::new(if by_cursor { DECLARE } else { "" });
        let which = (&wanted.readable, &wanted.filter, self.search.as_ref());
        statement::push(
            &mut sql,
            &self.columns,
            which,
            wanted.direction,
            slice,
            self.after,
        );
        if let Some(most) = wanted.most {
            sql.push(" limit ")
                .push_bind(i64::try_from(most).unwrap_or(i64::MAX));
        }
        let batch = if by_cursor {
            sql.build().execute(open.transaction.connection()).await?;
            open.fetch(wanted).await?
        } else {
            open.read(sql.build()).await?
        };
        Ok(Some((open, batch)))
    }
}

impl Wanted {
    /// Whether there may be more rows than are read at once.
    fn by_cursor(&self) -> bool {
        self.most.is_none_or(|most| most > self.rows_at_once)
    }
}

impl Open {
    /// The next rows of the cursor.
    async fn fetch(&mut self, wanted: &Wanted) -> Result<Vec<PgRow>, QueryFailure> {
        let fetch = format!("fetch forward {} from events_read", wanted.rows_at_once);
        // Not kept prepared: the next cursor of this name may have other columns.
        self.read(sqlx::query(AssertSqlSafe(fetch)).persistent(false))
            .await
    }

    async fn read(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, QueryFailure> {
        let started = Instant::now();
        let rows = query.fetch_all(self.transaction.connection()).await?;
        self.took += started.elapsed();
        self.rows += rows.len();
        Ok(rows)
    }
}
