//! The queries, as requests and as the SQL that the query API makes of them.

use platform::database::rollup_row::MEASURES;
use uuid::Uuid;

/// Whose year it is.
pub(super) const ORGANIZATION: Uuid = Uuid::from_u128(0xa11ce);
/// The year's last day.
pub(super) const UNTIL: &str = "2026-03-31";
/// No page of the mix has more rows.
const LIMIT: u32 = 10_000;

/// One of the mix.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) path: String,
    /// The `select`, with names of [`INSTANTS`] for its range.
    select: String,
    /// A list of events rather than sums.
    pub(super) is_list: bool,
    /// How many commands and interactions its answer tells, of the same rows.
    told: String,
}

/// What the query API reads before the rows.
const SHOWN: &str = "select v.version, v.watermark_version, w.until from (values (1)) one \
     left join tenant.organization_version v on true left join tenant.watermark w on true";

/// The instants of the mix by the names that scripts have for them.
pub(super) const INSTANTS: [(&str, &str); 5] = [
    ("until", "2026-03-31Z"),
    ("week", "2026-03-24Z"),
    ("month", "2026-03-01Z"),
    ("list_from", "2026-03-30 10:00Z"),
    ("list_until", "2026-03-30 10:15Z"),
];

/// Aggregates of four shapes, and a list.
pub(super) fn mix() -> Vec<Query> {
    vec![
        aggregate("hours of a week", "1h", "none", ("week", "2026-03-24")),
        aggregate("teams of a week", "1d", "team", ("week", "2026-03-24")),
        aggregate(
            "commands of 30 days",
            "1d",
            "command",
            ("month", "2026-03-01"),
        ),
        aggregate("models of 30 days", "1d", "model", ("month", "2026-03-01")),
        list(),
    ]
}

/// One of seven rows.
pub(super) fn small() -> Query {
    aggregate("days of a week", "1d", "none", ("week", "2026-03-24"))
}

fn aggregate(name: &'static str, window: &str, group_by: &str, from: (&str, &str)) -> Query {
    let (scope, kind) = match group_by {
        "team" => ("team", ""),
        "command" => ("organization", " and kind = 'command'"),
        "model" => ("organization", " and kind = 'agent'"),
        _ => ("organization", ""),
    };
    let (key, order) = match group_by {
        "team" => ("team_id", "bucket, key nulls last"),
        "command" => ("name collate \"C\"", "bucket, key nulls last"),
        "model" => ("model collate \"C\"", "bucket, key nulls last"),
        _ => ("null::text", "bucket"),
    };
    let (from, date) = from;
    let rows = format!(
        "from tenant.rollups_{window} where scope = '{scope}' \
         and bucket_start >= :{from} and bucket_start < :until{kind}"
    );
    Query {
        name,
        path: format!(
            "/api/metrics/aggregated?aggregation_window={window}&group_by={group_by}\
             &start_date={date}T00:00:00Z&end_date={UNTIL}T00:00:00Z&limit={LIMIT}"
        ),
        select: format!(
            "select bucket_start as bucket, {key} as key, kind, name, {MEASURES} {rows} \
             order by {order} limit {}",
            2 * LIMIT
        ),
        is_list: false,
        told: format!(
            "select sum(event_count) filter (where kind in ('command', 'agent'))::bigint {rows}"
        ),
    }
}

/// A quarter of an hour, which the query API reads by one statement.
fn list() -> Query {
    let rows = "from tenant.command_executions where \"timestamp\" >= :list_from \
         and \"timestamp\" < :list_until";
    Query {
        name: "a list of commands",
        path: "/api/metrics/commands?start_date=2026-03-30T10:00:00Z\
             &end_date=2026-03-30T10:15:00Z&limit=100"
            .to_owned(),
        select: format!(
            "select event_id, \"timestamp\", received_at, organization_id, user_id, team_id, \
             project_id, command_name, execution_time_ms, status, command_args::text, \
             error_message, context::text, source_partition, source_offset {rows} \
             order by \"timestamp\" desc, event_id, source_partition, source_offset limit 101"
        ),
        is_list: true,
        told: format!("select least(count(*), 100) {rows}"),
    }
}

impl Query {
    /// The transaction as `pgbench` is to run it: what the query API sends. Statements that it
    /// sends at once are parted by `at_once`.
    pub(super) fn script(&self, at_once: &str) -> String {
        let mut begin = vec![
            "begin isolation level repeatable read read only".to_owned(),
            tenant(),
        ];
        let mut statements = Vec::new();
        if self.is_list {
            begin.push("set local statement_timeout = 3000".to_owned());
        } else {
            // A list is not kept, and says nothing of completeness.
            statements.push(SHOWN);
        }
        statements.extend([&self.select, "rollback"]);
        format!("{};\n{};\n", begin.join(at_once), statements.join(";\n"))
    }

    /// How many rows are read.
    pub(super) fn count(&self) -> String {
        with_instants(&format!("select count(*) from ({}) rows", self.select))
    }

    /// What is told, in SQL.
    pub(super) fn told(&self) -> String {
        with_instants(&self.told)
    }
}

/// The instants in place of their names.
fn with_instants(sql: &str) -> String {
    INSTANTS
        .iter()
        .fold(sql.to_owned(), |sql, (name, instant)| {
            sql.replace(&format!(":{name}"), &format!("'{instant}'"))
        })
}

/// Makes the views show the organization.
pub(super) fn tenant() -> String {
    format!("set local app.current_org_id = '{ORGANIZATION}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instant_has_its_value() {
        for query in mix().into_iter().chain([small()]) {
            assert!(query.select.contains(" >= :") && query.select.contains(" < :"));
            for sql in [query.count(), query.told()] {
                assert!(!sql.contains(" :") && sql.contains("'2026-"), "{sql}");
            }
        }
    }
}
