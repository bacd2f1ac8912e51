//! What the API's role can read of relations.

use sqlx::{AssertSqlSafe, PgPool, Row};

use super::{Finding, Planted, in_setting};

/// Views of schema `tenant` that are of no organization: their migrations say why.
const OF_NO_ORGANIZATION: [&str; 4] = [
    "tenant.watermark",
    "tenant.job_plans",
    "tenant.job_runs",
    "tenant.storage",
];

/// Everything with rows that the role may read at least a column of, whoever made it.
const READABLE: &str = "
    select format('%I.%I', n.nspname, c.relname) as name,
        n.nspname in ('pg_catalog', 'information_schema') as is_system,
        (n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
            and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
                and d.objid = c.oid and d.deptype = 'e')) as is_ours,
        n.nspname = 'tenant' and c.relkind = 'v'
            and coalesce('security_barrier=true' = any (c.reloptions), false) as is_barrier,
        exists (select from pg_attribute a
            where a.attrelid = c.oid and a.attname = 'organization_id') as is_of_organizations,
        array(select quote_ident(a.attname) from pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and has_column_privilege($1, c.oid, a.attnum, 'select')
            order by a.attnum) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 't')
        and has_schema_privilege($1, n.oid, 'usage')
        and has_any_column_privilege($1, c.oid, 'select')
    order by 1";

/// Tables of ours that are no hypertables, hold rows of organizations, and let their owner
/// read them all.
const UNFORCED: &str = "
    select format('%I.%I', n.nspname, c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'flowmeter' and c.relkind in ('r', 'p')
        and exists (select from pg_attribute a
            where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped)
        and not exists (select from timescaledb_information.hypertables h
            where h.hypertable_schema = n.nspname and h.hypertable_name = c.relname)
        and not (c.relrowsecurity and c.relforcerowsecurity)
    order by 1";

struct Relation {
    name: String,
    is_system: bool,
    columns: Vec<String>,
}

/// What is wrong with relations by their definition, and what of the planted rows shows to
/// somebody else. Gives also how many relations there were.
pub(super) async fn walk(
    owner: &PgPool,
    api: &PgPool,
    role: &str,
    planted: &Planted,
    settings: &[Option<&str>],
) -> (usize, Vec<Finding>) {
    let mut findings: Vec<Finding> = Vec::new();
    let mut relations = Vec::new();
    for row in sqlx::query(READABLE)
        .bind(role)
        .fetch_all(owner)
        .await
        .unwrap()
    {
        let name: String = row.get("name");
        let is_of_organizations: bool = row.get("is_of_organizations");
        if row.get("is_ours") {
            if !row.get::<bool, _>("is_barrier") {
                findings.push(format!(
                    "{name} is readable and no barrier of schema tenant"
                ));
            } else if !is_of_organizations && !OF_NO_ORGANIZATION.contains(&name.as_str()) {
                findings.push(format!("{name} is readable and of no organization"));
            }
        }
        relations.push(Relation {
            name,
            is_system: row.get("is_system"),
            columns: row.get("columns"),
        });
    }
    let unforced: Vec<String> = sqlx::query_scalar(UNFORCED).fetch_all(owner).await.unwrap();
    findings.extend(
        unforced
            .into_iter()
            .map(|name| format!("{name} holds organizations' rows without forced row security")),
    );
    for setting in settings {
        for relation in &relations {
            if let Some(how) = seen(api, planted, *setting, relation).await {
                let name = &relation.name;
                findings.push(format!("{name} with organization {setting:?}: {how}"));
            }
        }
    }
    (relations.len(), findings)
}

/// How a planted value shows, if it does.
async fn seen(
    api: &PgPool,
    planted: &Planted,
    setting: Option<&str>,
    relation: &Relation,
) -> Option<&'static str> {
    let Relation { name, columns, .. } = relation;
    let all = format!("select row({})::text from {name}", columns.join(", "));
    match in_setting(api, setting, &all).await {
        Ok(rows) if rows.iter().any(|row| planted.shows_in(row)) => return Some("in a row"),
        Err(error) if planted.shows_in(&error.text) => return Some("in an error"),
        Err(error) if error.is_lost => return Some("nothing, and the connection is lost"),
        _ => {}
    }
    if relation.is_system {
        return None;
    }
    for column in columns {
        // A condition that is tried on rows before the view's own tells of them by failing.
        let tried = format!("select 'none' from {name} where ({column}::text)::date = now()");
        match in_setting(api, setting, &tried).await {
            Err(error) if planted.shows_in(&error.text) => {
                return Some("through a failing condition");
            }
            _ => {}
        }
    }
    None
}

/// The views that show the planted rows to their own organization.
pub(super) async fn seen_by_its_own(api: &PgPool, planted: &Planted, views: &[String]) -> usize {
    let setting = planted.organization.to_string();
    let mut seen = 0;
    for view in views {
        let all = format!("select row(t.*)::text from {view} t");
        let rows = in_setting(api, Some(&setting), &all).await;
        seen += usize::from(rows.is_ok_and(|rows| rows.iter().any(|row| planted.shows_in(row))));
    }
    seen
}

/// The views of schema `tenant` that are of an organization.
pub(super) async fn views_of_organizations(owner: &PgPool) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "select format('tenant.%I', table_name) from information_schema.views \
         where table_schema = 'tenant' and format('tenant.%I', table_name) <> all (array['{}']) \
         order by 1",
        OF_NO_ORGANIZATION.join("','")
    )))
    .fetch_all(owner)
    .await
    .unwrap()
}
