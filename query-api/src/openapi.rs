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
        crate::dashboard::show,
        crate::anomalies::list,
        crate::health::health
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
    /// The length of a bucket, in UTC.
    #[param(inline, required = false)]
    aggregation_window: WindowName,
    /// By what the events of a bucket are told apart. By `command`, `agent` or
    /// `metric_type` only events of that kind count.
    #[param(inline, required = false)]
    group_by: GroupByName,
    /// Of productivity metrics, only these types: at most 64, separated by
    /// commas. Other events count all the same. Refused when grouped by
    /// `command` or `agent`.
    #[param(required = false, example = "commands_per_hour,error_rate")]
    metric_types: String,
    /// The most rows of a page.
    #[param(minimum = 1, maximum = 10000, default = 1000, required = false)]
    limit: u32,
    /// `next_cursor` of the page before, with that page's other parameters; only
    /// `limit` may differ. A range given by default stays that of the first page.
    #[param(required = false)]
    cursor: String,
}

#[derive(ToSchema)]
#[schema(default = "1h")]
enum WindowName {
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
enum GroupByName {
    None,
    User,
    Team,
    Command,
    Agent,
    MetricType,
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
    fn the_choices_are_those_that_are_read() {
        let api = to_value(openapi()).unwrap();
        let parameters = &api["paths"][crate::aggregated::PATH]["get"]["parameters"];
        let choices = |index: usize| parameters[index]["schema"]["enum"].clone();
        let windows = schemas::Window::ALL.map(schemas::Window::as_str);
        assert_eq!(choices(5), to_value(windows).unwrap());
        assert_eq!(
            choices(6),
            to_value(GroupBy::ALL.map(GroupBy::as_str)).unwrap()
        );
    }
}
