//! The cluster's roles, made by whoever migrates first.
//!
//! Roles belong to the cluster while sqlx's advisory lock belongs to a database,
//! so several migrations may be here at once: every step tolerates that another
//! was quicker.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::{DatabaseError, DatabaseUrl, MigrateOptions, Role, passwords};

const OWNER: &str = "flowmeter_owner";
/// Attempts at a catalog change that another session is making as well.
const ATTEMPTS: u32 = 20;

/// Makes the four roles and sees to it that the services can log in.
pub(super) async fn ensure(
    owner: &mut PgConnection,
    url: &DatabaseUrl,
    options: &MigrateOptions,
) -> Result<(), DatabaseError> {
    create(owner, OWNER, "nologin").await?;
    for (role, given) in [
        (Role::Sink, options.sink_password.as_ref()),
        (Role::Jobs, options.jobs_password.as_ref()),
        (Role::Api, options.api_password.as_ref()),
    ] {
        let Some(name) = role.name() else { continue };
        create(owner, name, "login noinherit").await?;
        // Asking by logging in keeps the usual case, nothing to change, free of writes.
        match PgConnection::connect_with(&url.options_for(role, given)?).await {
            Ok(connection) => connection.close().await?,
            Err(_) => {
                let password = url.role_password(name, given)?;
                let verifier = passwords::scram_verifier(&password, Uuid::new_v4().as_bytes());
                change(owner, &format!("alter role {name} password '{verifier}'")).await?;
            }
        }
    }
    join_owner_role(owner).await
}

/// Takes from everybody what a new database gives to everybody. The first migration does, too;
/// but a dump has no privileges of the database itself, so that a restored one needs it again.
pub(super) async fn shut_out_others(owner: &mut PgConnection) -> Result<(), DatabaseError> {
    let open: Option<String> = sqlx::query_scalar(
        "select quote_ident(current_database()) where exists ( \
            select from unnest(array['connect', 'temp', 'create']) privilege \
            where has_database_privilege('public', current_database(), privilege))",
    )
    .fetch_optional(&mut *owner)
    .await?;
    let Some(database) = open else { return Ok(()) };
    let ours: Vec<String> = sqlx::query_scalar(
        "select quote_ident(rolname) from pg_roles where rolname ~ '^flowmeter_' and rolcanlogin",
    )
    .fetch_all(&mut *owner)
    .await?;
    let ours = ours.join(", ");
    let statement = format!(
        "revoke all on database {database} from public; \
         grant connect on database {database} to {ours}; \
         grant create on database {database} to {OWNER}"
    );
    change(owner, &statement).await
}

/// Leaves the query API only those of TimescaleDB's functions that compute. A migrating user who
/// may not decide that, as of some hosted servers, changes nothing: PostgreSQL warns.
pub(super) async fn lock_down_extension(owner: &mut PgConnection) -> Result<(), DatabaseError> {
    change(owner, include_str!("lockdown.sql")).await
}

/// A migrating user that is no superuser must be able to `set role` to the owner role.
async fn join_owner_role(owner: &mut PgConnection) -> Result<(), DatabaseError> {
    let may: bool = sqlx::query_scalar("select pg_has_role(current_user, $1, 'SET')")
        .bind(OWNER)
        .fetch_one(&mut *owner)
        .await?;
    if !may {
        let grant = format!("grant {OWNER} to current_user with inherit true, set true");
        change(owner, &grant).await?;
    }
    Ok(())
}

async fn create(
    owner: &mut PgConnection,
    role: &str,
    attributes: &str,
) -> Result<(), DatabaseError> {
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
            .bind(role)
            .fetch_one(&mut *owner)
            .await?;
    if exists {
        return Ok(());
    }
    // `create role` knows no "if not exists"; a race shows as either of the two.
    let statement = format!(
        "do $$ begin \
           create role {role} {attributes} nosuperuser nocreatedb nocreaterole nobypassrls noreplication; \
         exception when duplicate_object or unique_violation then null; \
         end $$"
    );
    change(owner, &statement).await
}

/// Runs a change of a shared catalog, again when another session changed the same row.
async fn change(owner: &mut PgConnection, statement: &str) -> Result<(), DatabaseError> {
    let mut attempt = 1;
    loop {
        match sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *owner)
            .await
        {
            Ok(_) => return Ok(()),
            Err(error) if attempt < ATTEMPTS && concurrent(&error) => {
                attempt += 1;
                tokio::time::sleep(std::time::Duration::from_millis(10 * u64::from(attempt))).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// "tuple concurrently updated" (or deleted) has no code of its own, only XX000.
fn concurrent(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("XX000") && error.message().contains("tuple concurrently")
    })
}
