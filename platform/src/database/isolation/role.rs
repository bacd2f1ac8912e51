//! What the API's role is, and what it cannot become.

use sqlx::{AssertSqlSafe, PgPool};

use super::Finding;

/// Each gives what is wrong, in words.
const CHECKS: [&str; 6] = [
    "select 'has the attribute ' || attribute from pg_roles,
        unnest(array['superuser', 'createrole', 'createdb', 'replication', 'bypassrls', 'inherit'],
            array[rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolinherit])
            as a(attribute, has)
     where rolname = $1 and has",
    "select 'is a member of ' || roleid::regrole from pg_auth_members
     where member = $1::text::regrole",
    "select 'owns ' || pg_describe_object(classid, objid, objsubid) from pg_shdepend
     where refclassid = 'pg_authid'::regclass and refobjid = $1::text::regrole and deptype = 'o'
        and dbid in (0, (select oid from pg_database where datname = current_database()))",
    "select 'may create in schema ' || nspname from pg_namespace
     where has_schema_privilege($1, oid, 'create')",
    "select 'may ' || privilege || ' in the database' from unnest(array['create', 'temp']) privilege
     where has_database_privilege($1, current_database(), privilege)",
    "select 'may ' || privilege || ' ' || c.oid::regclass from pg_class c,
        unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) privilege
     where relkind in ('r', 'p', 'v', 'm', 'f') and has_table_privilege($1, c.oid, privilege)
        -- PostgreSQL's own, whose rules and owners' checks let nobody but an owner through.
        and c.oid <> 'pg_settings'::regclass",
];

pub(super) async fn walk(owner: &PgPool, api: &PgPool, role: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in CHECKS {
        let found: Vec<String> = sqlx::query_scalar(check)
            .bind(role)
            .fetch_all(owner)
            .await
            .unwrap();
        findings.extend(found.into_iter().map(|what| format!("{role} {what}")));
    }
    let others: Vec<String> =
        sqlx::query_scalar("select quote_ident(rolname) from pg_roles where rolname <> $1")
            .bind(role)
            .fetch_all(owner)
            .await
            .unwrap();
    assert!(others.len() > 2, "{others:?}");
    for other in others {
        for how in ["set role", "set session authorization"] {
            let statement = format!("{how} {other}");
            let mut transaction = api.begin().await.unwrap();
            if sqlx::raw_sql(AssertSqlSafe(statement.clone()))
                .execute(&mut *transaction)
                .await
                .is_ok()
            {
                findings.push(format!("{role} may {statement}"));
            }
        }
    }
    findings
}
