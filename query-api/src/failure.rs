//! What the client hears when the database does not answer as it should.

use std::time::Duration;

use axum::http::StatusCode;
use platform::{database::DatabaseError, http::problem::Problem};
use sqlx::error::Error as SqlError;
use tracing::warn;

/// How long a client should wait for a database that is away.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryFailure {
    /// The database is away, refused, or failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The query took longer than a query may.
    #[error("the query took too long")]
    TooLong,
    /// A row does not hold what the sink writes.
    #[error("a stored row cannot be read: {0}")]
    Malformed(&'static str),
}

impl QueryFailure {
    /// Whether less might be read in time.
    pub(crate) fn is_too_long(&self) -> bool {
        match self {
            Self::TooLong => true,
            Self::Database(DatabaseError::Sql(error)) => kind(error) == Kind::TooLong,
            _ => false,
        }
    }
}

/// By the name of a column.
impl From<&'static str> for QueryFailure {
    fn from(column: &'static str) -> Self {
        Self::Malformed(column)
    }
}

impl From<SqlError> for QueryFailure {
    fn from(error: SqlError) -> Self {
        Self::Database(DatabaseError::Sql(error))
    }
}

impl From<QueryFailure> for Problem {
    fn from(failure: QueryFailure) -> Self {
        match &failure {
            QueryFailure::TooLong => too_long(),
            QueryFailure::Database(DatabaseError::Sql(error)) => match kind(error) {
                Kind::TooLong => too_long(),
                Kind::Away => {
                    warn!(error = %failure, "the database is away");
                    Problem::unavailable(
                        "database_unavailable",
                        "The database is away or overloaded; try again later.",
                        RETRY_AFTER,
                    )
                }
                Kind::Other => Problem::internal(failure),
            },
            _ => Problem::internal(failure),
        }
    }
}

/// No `Retry-After`: the same query would take as long again.
fn too_long() -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "query_timeout",
        "The query took too long; ask for a shorter range, a longer window or fewer rows.",
    )
}

/// Whether the database is away, so that trying again later may help.
pub(crate) fn is_away(error: &DatabaseError) -> bool {
    matches!(error, DatabaseError::Sql(error) if kind(error) == Kind::Away)
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    TooLong,
    Away,
    Other,
}

fn kind(error: &SqlError) -> Kind {
    match error {
        SqlError::Io(_)
        | SqlError::Tls(_)
        | SqlError::PoolTimedOut
        | SqlError::PoolClosed
        | SqlError::WorkerCrashed => Kind::Away,
        SqlError::Database(error) => of_code(error.code().as_deref().unwrap_or_default()),
        _ => Kind::Other,
    }
}

/// By SQLSTATE (PostgreSQL, appendix A).
fn of_code(code: &str) -> Kind {
    match code {
        // query_canceled: the role's statement timeout.
        "57014" => Kind::TooLong,
        // Shutdown, crash, starting up; too many connections.
        "57P01" | "57P02" | "57P03" | "53300" => Kind::Away,
        // Connection exceptions.
        _ if code.starts_with("08") => Kind::Away,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_apart_from_what_is_broken() {
        assert_eq!(of_code("57014"), Kind::TooLong);
        for away in ["57P01", "57P03", "53300", "08006"] {
            assert_eq!(of_code(away), Kind::Away, "{away}");
        }
        assert_eq!(of_code("42501"), Kind::Other);
        assert_eq!(kind(&SqlError::PoolTimedOut), Kind::Away);
        assert_eq!(kind(&SqlError::RowNotFound), Kind::Other);
    }

    #[test]
    fn each_failure_has_its_status() {
        let status = |failure: QueryFailure| Problem::from(failure).status().as_u16();
        assert_eq!(status(QueryFailure::TooLong), 504);
        assert_eq!(status(SqlError::PoolTimedOut.into()), 503);
        assert_eq!(status(QueryFailure::Malformed("histogram")), 500);
    }
}
