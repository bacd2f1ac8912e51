//! Which raw rows are asked for, as parameters and as plain SQL.

use std::ops::Range;

use platform::auth::Role;
use rand::{Rng, RngExt, seq::IndexedRandom};
use schemas::Timestamp;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::{
    events::{range, seconds, some_organization},
    made::{AGENTS, COMMANDS, METRICS, MODELS, PROJECTS, SESSIONS, TABLES, TEAMS, USERS, id},
};
use crate::tests::raw::{Caller, KINDS, escaped};

/// Of what is searched for; the database's own search says what they find.
const WORDS: [&str; 18] = [
    "connection",
    "REFUSED",
    "disk",
    "full",
    "cmd",
    "quoted",
    "größe",
    "日本",
    "17",
    "1.5",
    "end",
    "deploy",
    "failed",
    "build",
    "coder",
    "chat",
    "100%_",
    "nowhere",
];

/// Somebody asks for rows of a kind.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) caller: Caller,
    pub(super) list: &'static str,
    table: &'static str,
    pub(super) from: Timestamp,
    to: Timestamp,
    /// Names and values.
    parameters: Vec<(&'static str, String)>,
    /// The same in SQL.
    condition: String,
}

impl Wanted {
    /// Of any kind, with any of its filters; of so many days.
    pub(super) fn random(random: &mut impl Rng, roles: &[Role], days: Range<i64>) -> Self {
        let kind = random.random_range(0..4);
        let (list, table) = KINDS[kind];
        assert_eq!(table, TABLES[kind]);
        let length = seconds(random, days.start * 86_400, days.end * 86_400);
        let (from, to) = range(random, length);
        let mut wanted = Self {
            caller: caller(random, roles, from),
            list,
            table,
            from,
            to,
            parameters: Vec::new(),
            condition: format!("\"timestamp\" >= '{from}' and \"timestamp\" < '{to}'"),
        };
        for (name, many) in [
            ("user_id", USERS),
            ("team_id", TEAMS),
            ("project_id", PROJECTS),
        ] {
            if random.random_bool(0.15) {
                wanted.is(name, name, &id(random.random_range(1..=many)).to_string());
            }
        }
        let known = |all: &[&str], random: &mut _| (*all.choose(random).unwrap()).to_owned();
        let status = ["success", "error", "timeout", "cancelled"];
        let session = format!("s-{}", random.random_range(0..=SESSIONS));
        let (status, name, names) = match kind {
            0 => (
                ("status", &status[..]),
                "command_name",
                known(&COMMANDS[..9], random),
            ),
            1 => (
                ("status", &status[..]),
                "agent_name",
                known(&AGENTS, random),
            ),
            2 => (("", &status[..]), "metric_type", known(&METRICS, random)),
            _ => (
                ("kind", &["started", "updated", "ended"][..]),
                "session_id",
                session,
            ),
        };
        if kind != 2 && random.random_bool(0.25) {
            wanted.is("status", status.0, status.1.choose(random).unwrap());
        }
        if random.random_bool(0.25) {
            wanted.is("name", name, &names);
        }
        if kind == 1 && random.random_bool(0.2) {
            wanted.is("model", "model", &known(&MODELS, random));
        }
        wanted
    }

    /// The same with a search; `None` of kinds without one.
    pub(super) fn searching(mut self, random: &mut impl Rng) -> Option<Self> {
        let vector = match self.list {
            "commands" => {
                "to_tsvector('simple', concat_ws(' ', command_name, error_message)) \
                 || coalesce(jsonb_to_tsvector('simple', command_args, '\"all\"'), '')"
            }
            "agents" => {
                "to_tsvector('simple', concat_ws(' ', agent_name, interaction_type, error_message))"
            }
            _ => return None,
        };
        let word = |random: &mut _| *WORDS.choose(random).unwrap();
        let (one, other) = (word(random), word(random));
        let words = match random.random_range(0..9) {
            0..4 => one.to_owned(),
            4 => format!("{one} {other}"),
            5 => format!("{one} or {other}"),
            6 => format!("{one} -{other}"),
            7 => format!("-{one}"),
            _ => [
                "\"connection refused\"",
                "\"refused connection\"",
                "\"disk full\" build",
            ]
            .choose(random)
            .map(|words| (*words).to_owned())
            .unwrap(),
        };
        let matches = format!("({vector}) @@ websearch_to_tsquery('simple', '{words}')");
        self.condition += &format!(" and {matches}");
        self.parameters.push(("q", words));
        Some(self)
    }

    fn is(&mut self, parameter: &'static str, column: &str, value: &str) {
        self.condition += &format!(" and {column} = '{value}'");
        self.parameters.push((parameter, value.to_owned()));
    }

    /// The parameters as a query string.
    pub(super) fn query(&self) -> String {
        let mut query = format!("start_date={}&end_date={}", self.from, self.to);
        for (name, value) in &self.parameters {
            query += &format!("&{name}={}", escaped(value));
        }
        query
    }

    /// The rows, in the order of time that is named, as far as the caller may read them.
    pub(super) async fn rows(&self, owner: &PgPool, order: &str) -> Vec<Value> {
        let cost = match self.list {
            "agents" => "|| jsonb_build_object('cost_usd', trim_scale(cost_usd)::text)",
            _ => "",
        };
        let sql = format!(
            "select (to_jsonb(t) {cost})::text from flowmeter.{} t where {} and {} \
             order by \"timestamp\" {order}, event_id, source_partition, source_offset",
            self.table,
            self.caller.condition(),
            self.condition
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(owner)
            .await
            .unwrap();
        let row = |text: String| alike(serde_json::from_str(&text).unwrap());
        rows.into_iter().map(row).collect()
    }
}

/// With equal numbers and instants written alike, whoever wrote them.
pub(super) fn alike(mut row: Value) -> Value {
    for name in ["timestamp", "received_at", "session_start", "session_end"] {
        if let Some(Value::String(text)) = row.get_mut(name) {
            *text = text.parse::<Timestamp>().unwrap().to_string();
        }
    }
    numbers_alike(&mut row);
    row
}

fn numbers_alike(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().into(),
        Value::Array(all) => all.iter_mut().for_each(numbers_alike),
        Value::Object(all) => all.values_mut().for_each(numbers_alike),
        _ => {}
    }
}

/// The first differing row says more than thousands of them.
pub(super) fn assert_same(found: &[Value], expected: &[Value]) {
    for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "row {n}");
    }
    assert_eq!(found.len(), expected.len(), "rows");
}

/// Administrators half of the time, since they see the most.
fn caller(random: &mut impl Rng, roles: &[Role], from: Timestamp) -> Caller {
    let role = match random.random_bool(0.5) {
        true => Role::Admin,
        false => *roles.choose(random).unwrap(),
    };
    // As [`id`] writes them.
    let number = |n: u128| 1000 + n;
    let teams: Vec<u128> = (1..=TEAMS).map(number).collect();
    let some = random.random_range(0..=teams.len());
    let some = teams.sample(random, some).copied().collect();
    Caller {
        organization: some_organization(random, from),
        user: number(random.random_range(1..=USERS)),
        role,
        teams: random.random_bool(0.7).then_some(some),
    }
}
