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
use sqlx::AssertSqlSafe;
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
            transaction.finish().await?;
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
            open.transaction.finish().await?;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<Step, QueryFailure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.open().await? {
                Some(open) => open,
                None => return Ok(Step::End),
            },
        };
        let at_once = self.wanted.rows_at_once;
        let fetch = format!("fetch forward {at_once} from events_read");
        let started = Instant::now();
        let batch = sqlx::query(AssertSqlSafe(fetch))
            .persistent(false)
            .fetch_all(open.transaction.connection())
            .await?;
        open.took += started.elapsed();
        open.rows += batch.len();
        let rows: Result<Vec<Row>, _> = batch
            .iter()
            .map(|row| Row::read(row, &self.columns))
            .collect();
        let rows = rows?;
        if rows.len() < at_once {
            open.transaction.finish().await?;
            let wanted = self.wanted.rows_of_slice;
            self.slices.advance(open.took, open.rows, wanted);
        } else {
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

    /// A transaction with a cursor over what is left of the slice: one snapshot of it.
    async fn open(&self) -> Result<Option<Open>, QueryFailure> {
        let Some(slice) = self.slices.current() else {
            return Ok(None);
        };
        let slice = slice.rest(self.wanted.direction, self.after);
        let mut transaction = self.database.begin(self.wanted.organization_id).await?;
        let connection = transaction.connection();
        // Compiling a plan would take longer than a slice does.
        let settings =
            "select set_config('statement_timeout', $1, true), set_config('jit', 'off', true)";
        sqlx::query(settings)
            .bind(STATEMENT_BOUND.as_millis().to_string())
            .execute(&mut *connection)
            .await?;
        let Wanted {
            readable,
            filter,
            direction,
            most,
            ..
        } = &self.wanted;
        let which = (readable, filter, self.search.as_ref());
        let mut sql = statement::declare(&self.columns, which, *direction, slice, self.after);
        if let Some(most) = most {
            sql.push(format!(" limit {most}"));
        }
        sql.build()
            // A plan for these very values, with no chunk in it that they leave out.
            .persistent(false)
            .execute(connection)
            .await?;
        Ok(Some(Open {
            transaction,
            took: Duration::ZERO,
            rows: 0,
        }))
    }
}
