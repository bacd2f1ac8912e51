//! Raw events of two organizations, and what each caller may see of them by plain SQL.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use platform::auth::{Identity, Role, issue};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use std::time::Duration;
use tower::ServiceExt;
use uuid::Uuid;

use super::world::{OURS, THEIRS, World};

/// What a text may hold: formulas, delimiters, quotes, line breaks, SQL, other scripts.
pub(super) const TEXTS: [&str; 12] = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2",
    "@SUM(A1:A2)",
    "\tdeploy",
    "\rdeploy\r\n",
    "a,\"b\",c",
    "'; drop table flowmeter.command_executions; --",
    "Größe 日本 \u{1f600}",
    "deploy FAILED: connection refused",
    "{\"a\":1}",
    "build",
];

/// The kinds: the name of the list, and the table.
pub(super) const KINDS: [(&str, &str); 4] = [
    ("commands", "command_executions"),
    ("agents", "agent_interactions"),
    ("productivity", "productivity_metrics"),
    ("sessions", "user_sessions"),
];

/// All rows are before it, and after the day before.
pub(super) const RANGE: &str = "start_date=2026-03-01T00:00:00Z&end_date=2026-03-02T00:00:00Z";

/// A fifth of the rows is the other organization's. Three rows share an instant; some share
/// their id, too, as an event that was sent again much later.
const COMMON: &str = "md5((n - case when n % 49 = 0 then 1 else 0 end)::text)::uuid, \
    case when n % 5 = 0 then $2 else $1 end, \
    lpad((1 + n % 6)::text, 32, '0')::uuid, \
    case when n % 4 > 0 then lpad((10 + n % 3)::text, 32, '0')::uuid end, \
    case when n % 7 = 0 then lpad('77', 32, '0')::uuid end, \
    '2026-03-01T00:00:00.25Z'::timestamptz + (n / 3) * interval '47.000001 seconds', \
    now(), n % 3, n";

const COLUMNS: &str = "event_id, organization_id, user_id, team_id, project_id, \"timestamp\", \
    received_at, source_partition, source_offset";

/// A text of [`TEXTS`].
fn text(shift: usize) -> String {
    format!("($3::text[])[1 + (n * 7 + {shift}) % 12]")
}

fn own(table: &str) -> (&'static str, String) {
    let status = "(array['success', 'error', 'timeout', 'cancelled'])[1 + n % 4]";
    let object = "case when n % 3 > 0 then jsonb_build_object('text', $3[1 + n % 12], 'n', n, 'deep', jsonb_build_array(n, null, 1.50)) end";
    let (a, b, c) = (text(0), text(5), text(9));
    match table {
        "command_executions" => (
            "command_name, execution_time_ms, status, command_args, error_message, context",
            format!("{a}, n, {status}, {object}, case when n % 2 = 0 then {b} end, {object}"),
        ),
        "agent_interactions" => (
            "agent_name, interaction_type, execution_time_ms, status, input_tokens, \
             output_tokens, cost_usd, model, command_execution_id, error_message, metadata",
            format!(
                "{a}, {b}, n, {status}, n * 1000000::bigint, case when n % 2 = 0 then n end, \
                 case when n % 3 > 0 then n / 1000.0 + 0.000000000001 end, \
                 case when n % 4 > 0 then 'model-' || n % 2 end, \
                 case when n % 5 > 0 then md5(n::text)::uuid end, {c}, {object}"
            ),
        ),
        "productivity_metrics" => (
            "metric_type, metric_value, metric_unit, dimensions",
            format!("'metric.' || n % 3, -1.5 * n, {a}, {object}"),
        ),
        _ => (
            "session_id, kind, session_start, session_end, duration_minutes, commands_executed, \
             agents_used, productivity_score, context",
            format!(
                "'session-' || n % 4, (array['started', 'updated', 'ended'])[1 + n % 3], now(), \
                 null, n / 2.0, n, case when n % 3 = 0 then array[{a}, {b}] \
                 when n % 3 = 1 then array[]::text[] end, 80.5, {object}"
            ),
        ),
    }
}

/// Stores events `from..=to` of all kinds.
pub(super) async fn store(owner: &PgPool, from: i32, to: i32) {
    let texts: Vec<String> = TEXTS.map(str::to_owned).to_vec();
    for (_, table) in KINDS {
        let (columns, values) = own(table);
        let sql = format!(
            "insert into flowmeter.{table} ({COLUMNS}, {columns}) \
             select {COMMON}, {values} from generate_series($4::int, $5::int) as s(n)"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(OURS)
            .bind(THEIRS)
            .bind(texts.clone())
            .bind(from)
            .bind(to)
            .execute(owner)
            .await
            .unwrap();
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) organization: Uuid,
    pub(super) user: u128,
    pub(super) role: Role,
    pub(super) teams: Option<Vec<u128>>,
}

impl Caller {
    pub(super) fn admin() -> Self {
        Self {
            organization: OURS,
            user: 1,
            role: Role::Admin,
            teams: None,
        }
    }

    /// Every kind of caller there is, one of another organization included.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for organization in [OURS, THEIRS] {
            for role in Role::ALL {
                for teams in [None, Some(vec![]), Some(vec![10]), Some(vec![11, 12, 99])] {
                    all.push(Self {
                        organization,
                        user: 2,
                        role,
                        teams,
                    });
                }
            }
        }
        all
    }

    pub(super) fn token(&self, world: &World) -> String {
        let ids = |teams: &Vec<u128>| teams.iter().map(|team| numbered(*team)).collect();
        let identity = Identity {
            user_id: numbered(self.user),
            organization_id: self.organization,
            role: self.role,
            team_ids: self.teams.as_ref().map(ids),
        };
        issue(&world.jwt, &identity, Duration::from_secs(600)).unwrap()
    }

    /// What the permission table says, in SQL.
    pub(super) fn condition(&self) -> String {
        let own = format!("user_id = '{}'", numbered(self.user));
        let rights = match self.role {
            Role::Admin => "true".to_owned(),
            Role::Viewer | Role::Developer => own,
            Role::Manager => {
                let mut rights = own;
                for team in self.teams.iter().flatten() {
                    rights += &format!(" or team_id = '{}'", numbered(*team));
                }
                rights
            }
        };
        format!("organization_id = '{}' and ({rights})", self.organization)
    }
}

/// A user or team, as [`COMMON`] writes its number.
fn numbered(number: u128) -> Uuid {
    format!("{number:032}").parse().unwrap()
}

/// Where each row's record was, which tells even rows of one id apart, in the order of a list
/// or, reversed in time, of an export.
pub(super) async fn expected(
    owner: &PgPool,
    table: &str,
    caller: &Caller,
    condition: &str,
    order: &str,
) -> Vec<i64> {
    let sql = format!(
        "select source_offset from flowmeter.{table} where {} and ({condition}) \
         order by \"timestamp\" {order}, event_id, source_partition, source_offset",
        caller.condition()
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(owner)
        .await
        .unwrap()
}

pub(super) fn offsets(rows: &[Value]) -> Vec<i64> {
    let offset = |row: &Value| row["source_offset"].as_i64().unwrap();
    rows.iter().map(offset).collect()
}

/// The answer to a GET, whole.
pub(super) async fn get(
    world: &World,
    token: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = world.app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 28).await.unwrap();
    (head.status.as_u16(), head.headers, bytes.to_vec())
}

/// A JSON answer and its status.
pub(super) async fn ask(world: &World, token: &str, path: &str) -> (u16, Value) {
    let (status, _, bytes) = get(world, token, path, &[]).await;
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// A parameter's value in a query string.
pub(super) fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// All pages of a list.
pub(super) async fn pages(world: &World, token: &str, path: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = ask(world, token, &format!("{path}&limit={limit}{cursor}")).await;
        assert_eq!(status, 200, "{path} {page}");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        rows.extend(data.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}
