//! The description of the service in OpenAPI.
//!
//! The types here describe only: parameters are read by hand so that all faults
//! can be said at once, and health reports are `platform`'s.
#![expect(
    dead_code,
    reason = "what only describes is never read, only derived from"
)]

use std::collections::BTreeMap;

use platform::http::problem::{FieldError, ProblemBody};
use serde::Serialize;
use utoipa::{
    IntoParams, IntoResponses, Modify, OpenApi, ToSchema,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use uuid::Uuid;

/// Describes the service's calls.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Flowmeter query API", license(name = "Apache-2.0")),
    paths(
        crate::aggregated::aggregated,
        crate::aggregated::query,
        crate::live::live,
        crate::live::real_time,
        crate::health::health,
        crate::health::live,
        crate::health::ready,
        crate::operations::dead_letters::list::dead_letters,
        crate::operations::dead_letters::replay::replay,
        crate::operations::jobs::jobs,
        crate::operations::performance::performance,
        crate::operations::stats::stats,
        crate::events::commands,
        crate::events::agents,
        crate::events::productivity,
        crate::events::sessions,
        crate::export::export,
        crate::dashboard::show,
        crate::anomalies::list,
    ),
    modifiers(&Bearer)
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT".to_owned());
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The parameters of `/aggregated`. Each may be given once; others are refused.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AggregatedParams {
    /// Start of the range, RFC 3339; by default 24 hours before its end. The
    /// first bucket is the one that holds it.
    #[param(format = DateTime, required = false)]
    start_date: String,
    /// End of the range, RFC 3339, after its start; by default now. Buckets that
    /// start before it count, as a whole.
    #[param(format = DateTime, required = false)]
    end_date: String,
    /// Only this user's events.
    #[param(required = false)]
    user_id: Uuid,
    /// Only this team's events.
    #[param(required = false)]
    team_id: Uuid,
    /// Only this project's events.
    #[param(required = false)]
    project_id: Uuid,
    /// Of command executions, only those of this name. Other events count all the
    /// same. Refused when grouped by `agent`, `model` or `metric_type`.
    #[param(required = false, min_length = 1, max_length = 255)]
    command_name: String,
    /// Of agent interactions, only those of this agent. Other events count all the
    /// same. Refused when grouped by `command` or `metric_type`.
    #[param(required = false, min_length = 1, max_length = 255)]
    agent_name: String,
    /// Of agent interactions, only those of this model. Other events count all the
    /// same. Refused when grouped by `command` or `metric_type`.
    #[param(required = false, min_length = 1, max_length = 255)]
    model: String,
    /// Of productivity metrics, only these types: at most 500, separated by
    /// commas. Other events count all the same. Refused when grouped by
    /// `command`, `agent` or `model`.
    #[param(required = false, example = "commands_per_hour,error_rate")]
    metric_types: String,
    /// The length of a bucket, in UTC. Without it, the finest window that is kept
    /// and of which the range has at most 200 buckets, or else the longest that is
    /// kept; the answer says which. Refused if it is not kept.
    #[param(inline, required = false)]
    aggregation_window: WindowName,
    /// By what the events of a bucket are told apart. By `command`, `agent`, `model`
    /// or `metric_type` only events of that kind count.
    #[param(inline, required = false)]
    group_by: GroupByName,
    /// Whether buckets without events have a row too, with counts of zero and
    /// rates that are null; also those of the range that are yet to come. Refused
    /// when grouped: which groups there are is only known by their events.
    #[param(required = false, default = false)]
    fill: bool,
    /// Each row also says what its group was in the period before: in the bucket
    /// that lies as many buckets earlier as the range has.
    #[param(inline, required = false)]
    compare: ComparisonName,
    /// A time zone of the IANA database: buckets are its days, of 23, 24 or 25 hours.
    /// The window is then `1d` and every other is refused, unless the zone is `UTC`.
    /// A range has at most 3660 such days. They are added up from shorter
    /// rollups: of an hour, or of 15 minutes where an offset from UTC needs it.
    #[param(required = false, example = "Europe/Berlin")]
    tz: String,
    /// The most rows of a page.
    #[param(minimum = 1, maximum = 10000, default = 1000, required = false)]
    limit: u32,
    /// `next_cursor` of the page before, with that page's other parameters; only
    /// `limit` may differ. A range given by default stays that of the first page.
    #[param(required = false)]
    cursor: String,
}

/// A query in JSON. Other members are refused; what is null counts as absent. The parameters
/// of `GET /api/metrics/aggregated` say what each means.
#[derive(ToSchema)]
pub(crate) struct QueryBody {
    #[schema(format = DateTime, required = false)]
    start_date: String,
    #[schema(format = DateTime, required = false)]
    end_date: String,
    /// There `aggregation_window`.
    #[schema(inline, required = false)]
    window: WindowName,
    #[schema(inline, required = false)]
    group_by: GroupByName,
    #[schema(inline, required = false)]
    filters: QueryFilters,
    #[schema(required = false, default = false)]
    fill: bool,
    #[schema(inline, required = false)]
    compare: ComparisonName,
    #[schema(required = false, example = "Europe/Berlin")]
    tz: String,
    #[schema(minimum = 1, maximum = 10000, default = 1000, required = false)]
    limit: u32,
    #[schema(required = false)]
    cursor: String,
}

/// Only events that have one of the values of each list; an empty list is no condition.
/// Names, models and types are conditions on events of their kind alone.
#[derive(ToSchema)]
pub(crate) struct QueryFilters {
    #[schema(required = false, max_items = 500)]
    user_ids: Vec<Uuid>,
    #[schema(required = false, max_items = 500)]
    team_ids: Vec<Uuid>,
    #[schema(required = false, max_items = 500)]
    project_ids: Vec<Uuid>,
    #[schema(required = false, max_items = 500)]
    command_names: Vec<String>,
    #[schema(required = false, max_items = 500)]
    agent_names: Vec<String>,
    #[schema(required = false, max_items = 500)]
    models: Vec<String>,
    #[schema(required = false, max_items = 500)]
    metric_types: Vec<String>,
}

#[derive(ToSchema)]
pub(crate) enum WindowName {
    #[schema(rename = "1m")]
    M1,
    #[schema(rename = "5m")]
    M5,
    #[schema(rename = "15m")]
    M15,
    #[schema(rename = "1h")]
    H1,
    #[schema(rename = "1d")]
    D1,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case", default = "none")]
pub(crate) enum GroupByName {
    None,
    User,
    Team,
    Project,
    Command,
    Agent,
    Model,
    MetricType,
}

/// The parameters of `/dead-letters`. Each may be given once; others are refused.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadLettersParams {
    /// Start of the range, RFC 3339; by default 7 days before its end. Letters
    /// count by the time at which the log took their record.
    #[param(format = DateTime, required = false)]
    start_date: String,
    /// End of the range, RFC 3339, after its start; by default now.
    #[param(format = DateTime, required = false)]
    end_date: String,
    /// Only letters with this reason's code.
    #[param(required = false, example = "unknown_schema")]
    reason: String,
    /// Only letters of records of this topic.
    #[param(required = false, example = "metrics.command-executions")]
    topic: String,
    /// Only letters of records of this program; of all that begin so, with `*`
    /// at the end; of those that say none, `unknown`.
    #[param(required = false, example = "hook/*")]
    client: String,
    /// Only letters of which this is true.
    #[param(inline, required = false)]
    state: LetterState,
    /// The most letters of a page.
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: u32,
    /// `next_cursor` of the page before, with that page's other parameters; only
    /// `limit` may differ.
    #[param(required = false)]
    cursor: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase", default = "all")]
enum LetterState {
    Open,
    Replayed,
    All,
}

/// Which letters to send again. All filters must agree; letters that were sent
/// again before are never among them. Other members are refused.
#[derive(ToSchema)]
pub(crate) struct ReplayBody {
    /// Say what would be sent, and send nothing.
    #[schema(required = false, default = true)]
    dry_run: bool,
    /// Needed to send every open letter, without any filter.
    #[schema(required = false, default = false)]
    all: bool,
    /// Only letters with this reason's code.
    #[schema(required = false, example = "unknown_schema")]
    reason: String,
    /// Only letters of records of this topic.
    #[schema(required = false)]
    topic: String,
    /// Only letters of records of this program; of all that begin so, with `*`
    /// at the end; of those that say none, `unknown`.
    #[schema(required = false, example = "hook/*")]
    client: String,
    /// Only letters of records that the log took at this instant or later.
    #[schema(required = false, format = DateTime)]
    from: String,
    /// Only letters of records that the log took before this instant.
    #[schema(required = false, format = DateTime)]
    to: String,
    /// Only letters with these ids, as `GET /dead-letters` tells them; at most 1000.
    #[schema(required = false)]
    ids: Vec<String>,
    /// The most letters, the oldest records first.
    #[schema(required = false, minimum = 1, maximum = 10000, default = 1000)]
    limit: u32,
}

/// The parameters of `/jobs`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsParams {
    /// The most runs of each job.
    #[param(minimum = 1, maximum = 100, default = 10, required = false)]
    limit: u32,
}

/// An answer, and how it came about.
#[derive(ToSchema)]
pub(crate) struct Answer<T> {
    #[serde(flatten)]
    answer: T,
    /// How long the answer took, in milliseconds.
    query_time_ms: f64,
    /// Whether it was kept from an earlier request. It is as new either way.
    #[schema(inline)]
    cache: CacheOutcome,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum CacheOutcome {
    Hit,
    Miss,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ComparisonName {
    Previous,
}

/// The parameters have faults.
#[derive(Serialize, ToSchema)]
pub(crate) struct BadQuery {
    #[serde(flatten)]
    problem: ProblemBody,
    /// What is wrong with single parameters, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
}

/// How a read may be refused.
#[derive(IntoResponses)]
pub(crate) enum Refusals {
    /// `invalid_query`: every fault of the parameters, in `errors`.
    #[response(status = 400, content_type = "application/problem+json")]
    Query(BadQuery),
    /// `token_missing`, or `token_invalid` whatever is wrong with the token.
    #[response(status = 401, content_type = "application/problem+json")]
    Token(ProblemBody),
    /// `rate_limited`: the same request passes after `Retry-After`. `violated-policies` names
    /// the quotas.
    #[response(
        status = 429,
        content_type = "application/problem+json",
        headers(
            ("Retry-After" = u32, description = "Seconds"),
            ("RateLimit-Policy" = String, description = "The quotas of reads"),
            ("RateLimit" = String, description = "What is left of them"),
        )
    )]
    Limit(ProblemBody),
    /// `internal`: logged under the id in `instance`.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// `database_unavailable`, or `keys_unavailable` to verify tokens with: the same request may
    /// succeed after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
    /// `query_timeout`: ask for a shorter range.
    #[response(status = 504, content_type = "application/problem+json")]
    TooLong(ProblemBody),
}

/// The state of the service.
#[derive(ToSchema)]
pub(crate) struct HealthReport {
    /// Whether every part works.
    #[schema(inline)]
    status: HealthStatus,
    service: String,
    version: String,
    uptime_seconds: u64,
    /// The parts by name.
    checks: BTreeMap<String, CheckReport>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum HealthStatus {
    Ok,
    Degraded,
}

/// The state of a part.
#[derive(ToSchema)]
struct CheckReport {
    #[schema(inline)]
    status: CheckStatus,
    #[schema(value_type = String, required = false)]
    detail: Option<String>,
    /// How long the check took, when there was one.
    #[schema(value_type = f64, required = false)]
    latency_ms: Option<f64>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum CheckStatus {
    Ok,
    Starting,
    Down,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, to_value};

    use super::*;
    use crate::aggregated::{GroupBy, PARAMETERS};

    #[test]
    fn every_call_and_parameter_is_described() {
        let api = to_value(openapi()).unwrap();
        let call = &api["paths"][crate::aggregated::PATH]["get"];
        let mut names = Vec::new();
        for parameter in call["parameters"].as_array().unwrap() {
            assert_eq!(parameter["in"], "query", "{parameter}");
            assert_ne!(parameter["required"], true, "{parameter}");
            assert!(parameter["description"].is_string(), "{parameter}");
            names.push(parameter["name"].as_str().unwrap());
        }
        assert_eq!(names, PARAMETERS);
        for status in ["400", "401", "429", "500", "503", "504"] {
            let content = &call["responses"][status]["content"];
            let schema = &content["application/problem+json"]["schema"]["$ref"];
            let body = if status == "400" {
                "BadQuery"
            } else {
                "Problem"
            };
            assert_eq!(schema, &format!("#/components/schemas/{body}"), "{status}");
        }
        assert_eq!(call["security"][0]["bearer"], Value::Array(Vec::new()));
        let post = &api["paths"][crate::aggregated::QUERY_PATH]["post"];
        for status in [
            "400", "401", "408", "413", "415", "429", "500", "503", "504",
        ] {
            assert!(post["responses"][status].is_object(), "{status}");
        }
        assert_eq!(post["security"], call["security"]);
        let bearer = &api["components"]["securitySchemes"]["bearer"];
        assert_eq!(bearer["scheme"], "bearer");
        let health = &api["paths"][crate::health::PATH]["get"];
        assert!(health.is_object() && health["security"].is_null());
        // Null is not absent.
        for (schema, member) in [
            ("Aggregated", "next_cursor"),
            ("Aggregated", "watermark"),
            ("Executions", "error_rate"),
            ("Metrics", "value"),
            ("Metrics", "productivity_score"),
            ("SessionFigures", "duration_minutes"),
            ("SessionFigures", "productivity_score"),
        ] {
            let required = &api["components"]["schemas"][schema]["required"];
            let required = required.as_array().unwrap();
            assert!(required.contains(&member.into()), "{schema}");
        }
        // Every reference leads somewhere.
        let text = api.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(api.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn the_parameters_of_live_views_are_described() {
        let api = to_value(openapi()).unwrap();
        for (path, place, expected) in [
            (crate::live::PATH, "query", &crate::live::PARAMETERS[..]),
            (
                crate::live::REAL_TIME_PATH,
                "query",
                &crate::live::REAL_TIME_PARAMETERS,
            ),
            (crate::live::REAL_TIME_PATH, "path", &["window"]),
        ] {
            let call = &api["paths"][path]["get"];
            let parameters = call["parameters"].as_array().unwrap().iter();
            let names: Vec<&str> = parameters
                .filter(|parameter| parameter["in"] == place)
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(names, expected, "{path}");
        }
        let messages = &api["components"]["schemas"]["LiveMessage"];
        assert_eq!(
            messages["oneOf"].as_array().map(Vec::len),
            Some(5),
            "{messages}"
        );
    }

    #[test]
    fn what_operators_call_is_described_with_its_parameters() {
        use crate::operations::{dead_letters::list, jobs, performance, stats};
        let api = to_value(openapi()).unwrap();
        let calls: [(&str, &[&str]); 4] = [
            (list::PATH, &list::PARAMETERS),
            (jobs::PATH, &jobs::PARAMETERS),
            (stats::PATH, &[]),
            (performance::PATH, &[]),
        ];
        for (path, expected) in calls {
            let call = &api["paths"][path]["get"];
            let none = Vec::new();
            let parameters = call["parameters"].as_array().unwrap_or(&none);
            let names: Vec<_> = parameters.iter().map(|p| p["name"].as_str()).collect();
            let expected: Vec<_> = expected.iter().copied().map(Some).collect();
            assert_eq!(names, expected, "{path}");
            assert!(parameters.iter().all(|p| p["description"].is_string()));
            assert_eq!(call["security"][0]["bearer"], Value::Array(Vec::new()));
            assert!(call["responses"]["403"].is_object(), "{path}");
        }
        let described = &api["components"]["schemas"]["ReplayBody"]["properties"];
        let described = described.as_object().unwrap().keys();
        let mut members = crate::operations::dead_letters::REPLAY_MEMBERS.to_vec();
        members.sort_unstable();
        let mut described: Vec<_> = described.collect();
        described.sort_unstable();
        assert_eq!(described, members);
        for path in [crate::health::LIVE, crate::health::READY] {
            assert!(api["paths"][path]["get"]["responses"]["200"].is_object());
        }
    }

    #[test]
    fn every_described_member_of_a_query_is_read_and_every_one_read_is_described() {
        let api = to_value(openapi()).unwrap();
        let body = &api["components"]["schemas"]["QueryBody"]["properties"];
        let filters = &body["filters"]["properties"];
        let absent = |described: &Value| -> Value {
            let names = described.as_object().unwrap().keys();
            names.map(|name| (name.clone(), Value::Null)).collect()
        };
        let mut asked = absent(body);
        asked["filters"] = absent(filters);
        // Those that are read, in the order of their names.
        let read = |object: &Value| {
            object
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        let mut names = read(&asked);
        names.sort_unstable();
        let known = [
            "compare",
            "cursor",
            "end_date",
            "fill",
            "filters",
            "group_by",
            "limit",
            "start_date",
            "tz",
            "window",
        ];
        assert_eq!(names, known);
        assert_eq!(read(&asked["filters"]).len(), 7);
        let text = asked.to_string();
        let asked = serde_json::from_str(&text).unwrap();
        let now = schemas::Timestamp::MAX;
        assert!(crate::aggregated::Query::from_json(asked, &schemas::Window::ALL, now).is_ok());
    }

    #[test]
    fn the_choices_are_those_that_are_read() {
        let api = to_value(openapi()).unwrap();
        let parameters = &api["paths"][crate::aggregated::PATH]["get"]["parameters"];
        let choices = |name: &str| {
            let index = PARAMETERS.iter().position(|known| *known == name).unwrap();
            parameters[index]["schema"]["enum"].clone()
        };
        let windows = schemas::Window::ALL.map(schemas::Window::as_str);
        assert_eq!(choices("aggregation_window"), to_value(windows).unwrap());
        assert_eq!(
            choices("group_by"),
            to_value(GroupBy::ALL.map(GroupBy::as_str)).unwrap()
        );
    }
}
