//! Bringing a database to this release's schema.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use super::{DatabaseError, DatabaseUrl, Role, compression, roles};

/// Passwords of the services' roles; derived from the owner's where absent.
#[derive(Clone, Debug, Default)]
pub struct MigrateOptions {
    /// Of `flowmeter_api`.
    pub api_password: Option<SecretString>,
    /// Of `flowmeter_sink`.
    pub sink_password: Option<SecretString>,
    /// Of `flowmeter_jobs`.
    pub jobs_password: Option<SecretString>,
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Migrations applied by this call.
    pub applied: usize,
    /// Migrations of this release.
    pub total: usize,
    /// Tables that compression was switched on for by this call: where TimescaleDB's edition
    /// has it.
    pub compressed: usize,
    /// How long it took, roles included.
    pub elapsed: Duration,
}

/// Creates the roles and applies what is missing. May run any number of times,
/// and at once from several processes and for several databases of a cluster.
///
/// # Errors
/// [`DatabaseError::Sql`] when the server is away or the user may not,
/// [`DatabaseError::Migrate`] when a migration fails or an applied one changed.
pub async fn migrate(
    url: &DatabaseUrl,
    options: &MigrateOptions,
) -> Result<Applied, DatabaseError> {
    let started = Instant::now();
    let mut connection = PgConnection::connect_with(
        &url.options_for(Role::Owner, None)?
            .application_name("flowmeter-migrate")
            .options([("search_path", "public"), ("TimeZone", "UTC")]),
    )
    .await?;

    roles::ensure(&mut connection, url, options).await?;
    let migrator = migrator();
    let before = count_applied(&mut connection).await?;
    migrator.run(&mut connection).await?;
    let after = count_applied(&mut connection).await?;
    roles::shut_out_others(&mut connection).await?;
    roles::lock_down_extension(&mut connection).await?;
    let compressed = compression::ensure(&mut connection).await?;
    connection.close().await?;

    Ok(Applied {
        applied: after.saturating_sub(before),
        total: migrator.iter().count(),
        compressed,
        elapsed: started.elapsed(),
    })
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations");
    migrator.create_schema("flowmeter");
    migrator.dangerous_set_table_name("flowmeter.migrations");
    migrator
}

async fn count_applied(connection: &mut PgConnection) -> Result<usize, DatabaseError> {
    let exists: bool = sqlx::query_scalar("select to_regclass('flowmeter.migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(0);
    }
    let count: i64 = sqlx::query_scalar("select count(*) from flowmeter.migrations")
        .fetch_one(connection)
        .await?;
    Ok(usize::try_from(count).unwrap_or_default())
}
