//! The query side's only way to the data: a transaction that carries its organization.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use uuid::Uuid;

use super::DatabaseError;

/// A pool that hands out nothing but transactions of one organization.
#[derive(Clone, Debug)]
pub struct TenantDb {
    pool: PgPool,
}

/// A read-only transaction in which the views of schema `tenant` hold one
/// organization's rows. Dropping it ends it.
#[derive(Debug)]
pub struct TenantTx {
    transaction: Transaction<'static, Postgres>,
}

impl TenantDb {
    /// Takes the API's pool for itself.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Begins a read-only transaction on behalf of an organization. All its
    /// statements see one snapshot, so that the parts of an answer agree.
    ///
    /// # Errors
    /// [`DatabaseError::Sql`]: no connection in time, or the server refused.
    pub async fn begin(&self, organization_id: Uuid) -> Result<TenantTx, DatabaseError> {
        self.begin_and(organization_id, "").await
    }

    /// The same, with statements that the server cancels after `bound`.
    ///
    /// # Errors
    /// As [`TenantDb::begin`].
    pub async fn begin_bounded(
        &self,
        organization_id: Uuid,
        bound: Duration,
    ) -> Result<TenantTx, DatabaseError> {
        let bound = format!("; set local statement_timeout = {}", bound.as_millis());
        self.begin_and(organization_id, &bound).await
    }

    /// All in one round trip. `settings` are ours; and an id has nothing to be quoted.
    async fn begin_and(
        &self,
        organization_id: Uuid,
        settings: &str,
    ) -> Result<TenantTx, DatabaseError> {
        // Local to the transaction: a pooled connection remembers no tenant.
        let begin = format!(
            "begin isolation level repeatable read read only; \
             set local app.current_org_id = '{organization_id}'{settings}"
        );
        let mut broken = 0;
        loop {
            match self.pool.begin_with(AssertSqlSafe(begin.clone())).await {
                // Nobody asks a connection that was of use a moment ago whether it still lives,
                // and the pool throws away one that does not.
                Err(error) if is_broken(&error) && broken <= self.pool.size() => broken += 1,
                begun => {
                    let transaction = begun?;
                    return Ok(TenantTx { transaction });
                }
            }
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`DatabaseError::Sql`] when it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Refuses a role that could read past the tenant views. To be called
    /// before serving.
    ///
    /// # Errors
    /// [`DatabaseError::Role`] with every fault found; [`DatabaseError::Sql`].
    pub async fn verify_role(&self) -> Result<(), DatabaseError> {
        let (superuser, bypasses, creates_roles): (bool, bool, bool) = sqlx::query_as(
            "select rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = session_user",
        )
        .fetch_one(&self.pool)
        .await?;
        // A member of a role may act as it, now or after `set role`; everyone is a member of itself.
        let owned: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', n.nspname, c.relname) \
             from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where n.nspname in ('flowmeter', 'tenant') and c.relkind in ('r', 'p', 'v', 'm') \
               and (pg_has_role(session_user, c.relowner, 'MEMBER') \
                    or pg_has_role(session_user, n.nspowner, 'MEMBER')) \
             order by 1",
        )
        .fetch_all(&self.pool)
        .await?;
        let readable: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', n.nspname, c.relname) \
             from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where n.nspname not in ('tenant', 'pg_catalog', 'information_schema', 'pg_toast') \
               and c.relkind in ('r', 'p', 'v', 'm', 'f') \
               and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass \
                   and d.objid = c.oid and d.deptype = 'e') \
               and has_any_column_privilege(session_user, c.oid, 'SELECT') \
             order by 1",
        )
        .fetch_all(&self.pool)
        .await?;
        let leaky: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', n.nspname, c.relname) \
             from pg_class c join pg_namespace n on n.oid = c.relnamespace \
             where n.nspname = 'tenant' and c.relkind in ('r', 'p', 'v', 'm', 'f') \
               and not coalesce('security_barrier=true' = any (c.reloptions), false) \
             order by 1",
        )
        .fetch_all(&self.pool)
        .await?;
        let definers: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', n.nspname, p.proname) \
             from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
             where p.prosecdef and n.nspname <> 'pg_catalog' \
               and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass \
                   and d.objid = p.oid and d.deptype = 'e') \
               and has_schema_privilege(session_user, n.oid, 'USAGE') \
               and has_function_privilege(session_user, p.oid, 'EXECUTE') \
             order by 1",
        )
        .fetch_all(&self.pool)
        .await?;

        let attributes = [
            (superuser, RoleFault::Superuser),
            (bypasses, RoleFault::BypassesRowSecurity),
            (creates_roles, RoleFault::CreatesRoles),
        ];
        let things: [(Vec<String>, Named); 4] = [
            (owned, RoleFault::Owns),
            (readable, RoleFault::ReadsTables),
            (leaky, RoleFault::LeakyViews),
            (definers, RoleFault::Definers),
        ];
        let faults = role_faults(attributes, things);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(DatabaseError::Role(faults))
        }
    }
}

impl TenantTx {
    /// Where to run statements; they must name the views of schema `tenant`.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Ends the transaction and gives its connection back, as dropping it does. Nobody waits
    /// for it: everything was read by then.
    pub fn finish(self) {}
}

/// Whether the server has ended the connection, or the way to it is cut.
fn is_broken(error: &sqlx::Error) -> bool {
    const ADMIN_SHUTDOWN: &str = "57P01";
    const CRASH_SHUTDOWN: &str = "57P02";
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code();
            matches!(code.as_deref(), Some(ADMIN_SHUTDOWN | CRASH_SHUTDOWN))
        }
        _ => false,
    }
}

/// A way in which a role could get around the tenant views.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleFault {
    /// A superuser sees everything.
    #[error("it is a superuser")]
    Superuser,
    /// `BYPASSRLS`.
    #[error("it bypasses row security")]
    BypassesRowSecurity,
    /// `CREATEROLE`: it could make itself a member of others.
    #[error("it may create roles")]
    CreatesRoles,
    /// It owns objects, or is a member of the role that does.
    #[error("it owns, or can become the owner of, {0} objects, such as {1}")]
    Owns(usize, String),
    /// It may read tables themselves, or a view that is in no schema of ours.
    #[error("it may read {0} tables directly, such as {1}")]
    ReadsTables(usize, String),
    /// A view, or anything else with rows, of schema `tenant` is not a security barrier.
    #[error("{0} views of schema tenant are not security barriers, such as {1}")]
    LeakyViews(usize, String),
    /// It may call functions that run with their owner's rights.
    #[error("it may call {0} functions with their owner's rights, such as {1}")]
    Definers(usize, String),
}

/// A fault of so many things, one of which it names.
type Named = fn(usize, String) -> RoleFault;

fn role_faults(
    attributes: impl IntoIterator<Item = (bool, RoleFault)>,
    things: impl IntoIterator<Item = (Vec<String>, Named)>,
) -> Vec<RoleFault> {
    let attributes = attributes
        .into_iter()
        .filter_map(|(has, fault)| has.then_some(fault));
    let things = things.into_iter().filter_map(|(names, fault)| {
        let count = names.len();
        names.into_iter().next().map(|name| fault(count, name))
    });
    attributes.chain(things).collect()
}
