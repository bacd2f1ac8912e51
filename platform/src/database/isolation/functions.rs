//! What the API's role can learn by calling functions.

use sqlx::{PgPool, Row};

use super::{Finding, Planted, in_setting};

/// Of the functions that run with their owner's rights, those that are no way round: the
/// owner of TimescaleDB's has a table of continuous aggregates, which we have none of.
const DEFINERS: [&str; 1] = ["_timescaledb_functions.cagg_migrate_update_watermark"];

/// Functions that do nothing but wait.
const WAITING: [&str; 2] = ["pg_catalog.pg_sleep", "pg_catalog.pg_advisory_"];

const CALLABLE: &str = "
    select format('%I.%I', n.nspname, p.proname) as name, p.prokind = 'p' as is_procedure,
        p.prosecdef as is_definer,
        n.nspname in ('pg_catalog', 'information_schema')
            or exists (select from pg_depend d where d.classid = 'pg_proc'::regclass
                and d.objid = p.oid and d.deptype = 'e') as is_known,
        p.prorettype = 'record'::regtype and p.proallargtypes is null as is_untyped,
        array(select t.typname::text from unnest(p.proargtypes) with ordinality as a(id, n)
            join pg_type t on t.oid = a.id order by a.n) as arguments
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where p.prokind in ('f', 'p')
        and has_schema_privilege($1, n.oid, 'usage')
        and has_function_privilege($1, p.oid, 'execute')
    order by 1, p.oid";

/// Oids of what holds planted values: tables, a chunk, an index.
const TARGETS: &str = "
    select c.oid::bigint from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'flowmeter' and c.relname = 'command_executions'
    union all (select c.oid::bigint from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'flowmeter.command_executions'::regclass limit 1)
    union all select 'flowmeter.command_executions_event'::regclass::oid::bigint";

/// Texts for every parameter that takes one: names of what is hidden, and SQL.
const TEXTS: [&str; 6] = [
    "select * from flowmeter.command_executions",
    "flowmeter.command_executions",
    "tenant",
    "flowmeter",
    "x'' or organization_id is not null --",
    "x''); select * from flowmeter.command_executions; --",
];

/// What came of the walk over functions.
pub(super) struct Walked {
    /// Called at least once.
    pub(super) called: usize,
    /// Not callable by a statement, or only with values of types that only compute.
    pub(super) left_out: usize,
    pub(super) findings: Vec<Finding>,
}

/// Calls every function that the role may call, with names of what is hidden and with SQL for
/// text, on behalf of somebody else.
pub(super) async fn walk(
    owner: &PgPool,
    api: &PgPool,
    role: &str,
    planted: &Planted,
    setting: Option<&str>,
) -> Walked {
    let mut targets: Vec<i64> = sqlx::query_scalar(TARGETS).fetch_all(owner).await.unwrap();
    targets.push(planted.large_object);
    let mut walked = Walked {
        called: 0,
        left_out: 0,
        findings: Vec::new(),
    };
    for row in sqlx::query(CALLABLE)
        .bind(role)
        .fetch_all(owner)
        .await
        .unwrap()
    {
        let name: String = row.get("name");
        let is_known: bool = row.get("is_known");
        if row.get("is_definer") && !DEFINERS.contains(&name.as_str()) {
            walked
                .findings
                .push(format!("{name} runs with its owner's rights"));
        }
        let arguments: Vec<String> = row.get("arguments");
        let calls = calls(&arguments, &targets);
        if calls.is_empty() || WAITING.iter().any(|waiting| name.starts_with(waiting)) {
            walked.left_out += 1;
            if !is_known {
                walked.findings.push(format!(
                    "{name} takes {arguments:?}, which the walk cannot give"
                ));
            }
            continue;
        }
        walked.called += 1;
        for call in calls {
            let statement = if row.get("is_procedure") {
                format!("call {name}({call})")
            } else if row.get("is_untyped") {
                format!("select x::text from {name}({call}) as x(a text)")
            } else {
                format!("select x::text from {name}({call}) as x")
            };
            let seen = match in_setting(api, setting, &statement).await {
                Ok(rows) => rows.iter().any(|row| planted.shows_in(row)),
                Err(error) if error.is_lost => {
                    walked
                        .findings
                        .push(format!("{statement} ends the connection"));
                    return walked;
                }
                Err(error) => planted.shows_in(&error.text),
            };
            if seen {
                walked.findings.push(format!("{statement} shows it"));
            }
        }
    }
    walked
}

/// The ways to call a function with these types of arguments; none, if one is of a type that
/// no value is known of.
fn calls(arguments: &[String], targets: &[i64]) -> Vec<String> {
    let varies = |types: &[&str]| arguments.iter().any(|a| types.contains(&a.as_str()));
    let ways = if varies(&[
        "oid",
        "regclass",
        "text",
        "name",
        "any",
        "anyelement",
        "_text",
    ]) {
        TEXTS.len().max(targets.len())
    } else {
        1
    };
    (0..ways)
        .map_while(|way| {
            let (text, target) = (TEXTS[way % TEXTS.len()], targets[way % targets.len()]);
            let values: Option<Vec<String>> =
                arguments.iter().map(|a| value(a, text, target)).collect();
            values.map(|values| values.join(", "))
        })
        .collect()
}

/// A value of a type, as SQL. Zero where a number may mean a time to wait or a process.
fn value(data_type: &str, text: &str, target: i64) -> Option<String> {
    Some(match data_type {
        "text"
        | "varchar"
        | "bpchar"
        | "any"
        | "anyelement"
        | "anynonarray"
        | "anycompatible"
        | "anycompatiblenonarray" => format!("'{text}'::text"),
        "name" => format!("'{text}'::name"),
        "cstring" => format!("'{text}'::cstring"),
        "_text" | "anyarray" | "anycompatiblearray" => format!("array['{text}']"),
        "oid" => format!("'{target}'::oid"),
        "regclass" => format!("'{target}'::regclass"),
        "regproc" | "regprocedure" | "regtype" | "regrole" | "regnamespace" | "regconfig"
        | "regdictionary" | "regoper" | "regoperator" | "regcollation" => {
            format!("'0'::{data_type}")
        }
        "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" => format!("0::{data_type}"),
        "bool" => "true".to_owned(),
        "char" => "'r'::\"char\"".to_owned(),
        "timestamptz" | "timestamp" | "date" | "time" | "timetz" => format!("now()::{data_type}"),
        "interval" => "interval '1 day'".to_owned(),
        "json" | "jsonb" => format!("'{{}}'::{data_type}"),
        "uuid" => "gen_random_uuid()".to_owned(),
        "bytea" => "''::bytea".to_owned(),
        "record" => "row(1)".to_owned(),
        "xml" => "'<a/>'::xml".to_owned(),
        "refcursor" => format!("'{text}'::refcursor"),
        "xid" | "xid8" | "cid" => format!("'0'::{data_type}"),
        "pg_lsn" => "'0/0'::pg_lsn".to_owned(),
        "tid" => "'(0,1)'::tid".to_owned(),
        _ => return None,
    })
}
