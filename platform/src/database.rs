//! TimescaleDB: connections by role, migrations, and the tenant's view of the data.
//!
//! Four roles share one address. The *owner* (the user of `DATABASE_URL`)
//! migrates and is used by no service; the *sink* writes the tables; the *jobs* heal rollups
//! and remove what has expired; the *API* reads the views of schema `tenant`, through [`TenantDb`] only.

pub mod cell;
pub mod changes;
mod compression;
mod migrate;
mod numeric;
mod passwords;
mod roles;
pub mod rollup_columns;
pub mod rollup_row;
mod tenant;
mod url;

use std::time::Duration;

use sqlx::{
    Connection,
    postgres::{PgPool, PgPoolOptions},
};

pub use self::migrate::{Applied, MigrateOptions, migrate};
pub use self::tenant::{RoleFault, TenantDb, TenantTx};
pub use self::url::DatabaseUrl;

/// How long a caller waits for a free connection of the pool.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is asked whether it still lives before it is used
/// again. One that was of use a moment ago is not: asking takes as long as a short query.
const UNASKED_FOR: Duration = Duration::from_secs(1);

/// Statements that a connection of the API's keeps prepared. Each takes some tens of kilobytes
/// of the server, and a pool has many connections.
const API_STATEMENTS: usize = 32;
const STATEMENTS: usize = 100;

/// Whom to connect as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user of `DATABASE_URL`: migrations and administration.
    Owner,
    /// `flowmeter_sink`: reads and writes the tables.
    Sink,
    /// `flowmeter_jobs`: reads the tables, heals rollups, removes what has expired.
    Jobs,
    /// `flowmeter_api`: reads the views of schema `tenant`.
    Api,
}

impl Role {
    /// The role's name in the database; the owner's is whatever the URL says.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Role::Owner => None,
            Role::Sink => Some("flowmeter_sink"),
            Role::Jobs => Some("flowmeter_jobs"),
            Role::Api => Some("flowmeter_api"),
        }
    }

    /// Longest a statement of this role may run; the server cancels it then.
    fn statement_timeout(self) -> Duration {
        match self {
            // Migrations may rewrite tables.
            Role::Owner => Duration::ZERO,
            Role::Sink => Duration::from_secs(60),
            Role::Jobs => Duration::from_secs(300),
            Role::Api => Duration::from_secs(10),
        }
    }

    /// How prepared statements with parameters are planned. Those of the API name ranges of
    /// time: planned for these very values, there is no chunk in the plan that they leave out.
    fn plan_cache_mode(self) -> &'static str {
        match self {
            Role::Owner | Role::Sink | Role::Jobs => "auto",
            Role::Api => "force_custom_plan",
        }
    }

    fn statements(self) -> usize {
        match self {
            Role::Owner | Role::Sink | Role::Jobs => STATEMENTS,
            Role::Api => API_STATEMENTS,
        }
    }

    /// For how long a client may say nothing within a transaction. A sink holds cursors and
    /// rollups meanwhile, and the group gives one that hangs up after ten seconds.
    fn idle_in_transaction(self) -> Duration {
        match self {
            Role::Owner | Role::Jobs | Role::Api => Duration::from_secs(60),
            Role::Sink => Duration::from_secs(10),
        }
    }
}

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// `DATABASE_URL` cannot be read. The text never holds the URL itself.
    #[error("DATABASE_URL: {0}")]
    Url(String),
    /// A role's password was neither given nor derivable.
    #[error(
        "no password for the role {0}: DATABASE_URL holds none to derive one from, so configure one"
    )]
    NoPassword(&'static str),
    /// The server could not be reached, or refused.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// A migration failed, or an applied one was changed afterwards.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The API's role could get around the tenants' isolation.
    #[error("the role of the query API breaks the isolation of tenants: {}", join(.0))]
    Role(Vec<RoleFault>),
}

fn join(faults: &[RoleFault]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

/// Opens a pool of at most `pool_size` connections as `role`, and proves it by
/// one connection. Without a `password`, the role's is derived from the URL's
/// (see [`DatabaseUrl::options_for`]). One attempt: the caller retries.
///
/// # Errors
/// [`DatabaseError::Url`], [`DatabaseError::NoPassword`], [`DatabaseError::Sql`].
pub async fn connect(
    url: &DatabaseUrl,
    pool_size: u32,
    application_name: &str,
    role: Role,
    password: Option<&secrecy::SecretString>,
) -> Result<PgPool, DatabaseError> {
    let timeout = role.statement_timeout().as_millis();
    let options = url
        .options_for(role, password)?
        .application_name(application_name)
        .statement_cache_capacity(role.statements())
        .options([
            ("statement_timeout", timeout.to_string()),
            // A client that hangs inside a transaction must not hold locks on cursors for ever.
            (
                "idle_in_transaction_session_timeout",
                role.idle_in_transaction().as_millis().to_string(),
            ),
            // TimescaleDB's functions; our own objects are always qualified.
            ("search_path", "public".to_owned()),
            ("TimeZone", "UTC".to_owned()),
            // The sums of a dashboard are short and yet look dear enough to be compiled, which
            // takes several times as long as they do.
            ("jit", "off".to_owned()),
            ("plan_cache_mode", role.plan_cache_mode().to_owned()),
        ]);
    let pool = PgPoolOptions::new()
        .max_connections(pool_size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > UNASKED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

#[cfg(test)]
mod isolation;
#[cfg(test)]
mod migrate_tests;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod tests;
