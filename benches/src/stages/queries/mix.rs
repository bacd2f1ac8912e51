//! The queries, as requests and as the SQL that the query API makes of them.

use platform::database::rollup_columns::SELECTED;
use uuid::Uuid;

/// Whose year it is.
pub(super) const ORGANIZATION: Uuid = Uuid::from_u128(0xa11ce);
/// The year's last day.
pub(super) const UNTIL: &str = "2026-03-31";
/// The query API reads its cursors by so many rows.
const FETCH: i64 = 2000;

/// One of the mix.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) path: String,
    /// The `select` of its cursor.
    select: String,
    /// A list of events rather than sums.
    pub(super) is_list: bool,
    /// How many commands and interactions its answer tells, of the same rows.
    pub(super) told: String,
}

/// Aggregates of four shapes, and a list.
pub(super) fn mix() -> Vec<Query> {
    vec![
        aggregate(
            "hours of a week",
            "1h",
            "none",
            "organization",
            "null::uuid",
            "null::text",
            "2026-03-24",
        ),
        aggregate(
            "teams of a week",
            "1d",
            "team",
            "team",
            "team_id",
            "null::text",
            "2026-03-24",
        ),
        aggregate(
            "commands of 30 days",
            "1d",
            "command",
            "organization",
            "null::uuid",
            "name collate \"C\"",
            "2026-03-01",
        ),
        aggregate(
            "models of 30 days",
            "1d",
            "model",
            "organization",
            "null::uuid",
            "model collate \"C\"",
            "2026-03-01",
        ),
        list(),
    ]
}

fn aggregate(
    name: &'static str,
    window: &str,
    group_by: &str,
    scope: &str,
    key_id: &str,
    key_name: &str,
    from: &str,
) -> Query {
    let kind = match group_by {
        "command" => " and kind = 'command'",
        "model" => " and kind = 'agent'",
        _ => "",
    };
    let order = match group_by {
        "none" => "bucket",
        "team" => "bucket, key_id nulls last",
        _ => "bucket, key_name nulls last",
    };
    let rows = format!(
        "from tenant.rollups_{window} where scope = '{scope}' \
         and bucket_start >= '{from}Z' and bucket_start < '{UNTIL}Z'{kind}"
    );
    Query {
        name,
        path: format!(
            "/api/metrics/aggregated?aggregation_window={window}&group_by={group_by}\
             &start_date={from}T00:00:00Z&end_date={UNTIL}T00:00:00Z&limit=10000"
        ),
        select: format!(
            "select bucket_start as bucket, {key_id} as key_id, {key_name} as key_name, kind, \
             name, {SELECTED} {rows} order by {order}"
        ),
        is_list: false,
        told: format!(
            "select sum(event_count) filter (where kind in ('command', 'agent'))::bigint {rows}"
        ),
    }
}

/// A quarter of an hour, which the query API reads by one statement.
fn list() -> Query {
    let rows = "from tenant.command_executions where \"timestamp\" >= '2026-03-30 10:00Z' \
         and \"timestamp\" < '2026-03-30 10:15Z'";
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
    /// The transaction as `pgbench` is to run it. `rows` is how many its cursor has.
    pub(super) fn script(&self, rows: i64) -> String {
        let fetches = "fetch forward 2000 from c;\n".repeat(self.fetches(rows));
        format!(
            "begin isolation level repeatable read read only;\n{}\
             select version, watermark_version from tenant.organization_version;\n\
             select until from tenant.watermark;\n\
             declare c no scroll cursor for {};\n{fetches}rollback;\n",
            tenant(),
            self.select
        )
    }

    /// As many as the query API needs to see the end.
    fn fetches(&self, rows: i64) -> usize {
        usize::try_from(rows / FETCH + 1).unwrap_or(1)
    }

    /// How many rows the cursor has.
    pub(super) fn count(&self) -> String {
        format!("select count(*) from ({}) rows", self.select)
    }
}

/// Makes the views show the organization.
pub(super) fn tenant() -> String {
    format!("select set_config('app.current_org_id', '{ORGANIZATION}', true);\n")
}
