//! Exports as OpenAPI shows them.
#![expect(
    dead_code,
    reason = "what only describes is never read, only derived from"
)]

use platform::http::problem::ProblemBody;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// Part of the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct Form {
    /// The form of the export.
    #[param(inline)]
    format: FormName,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum FormName {
    Json,
    Csv,
    Ndjson,
    Parquet,
}

/// The filters of all kinds.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filters {
    /// Of commands and agents: only events that ended so (`success`, `error`, `timeout`,
    /// `cancelled`). Of sessions: `started`, `updated` or `ended`.
    #[param(required = false)]
    status: String,
    /// Only this command, agent, metric type, or session by its `session_id`.
    #[param(max_length = 500, required = false)]
    name: String,
    /// Of agents: only this model.
    #[param(max_length = 500, required = false)]
    model: String,
    /// Of commands and agents: full-text search, as in the lists.
    #[param(max_length = 500, required = false)]
    q: String,
    /// Which events.
    #[param(inline)]
    kind: KindName,
    /// Only what comes after a row:
    /// `timestamp,event_id,source_partition,source_offset` as that row has them. With
    /// `timestamp,event_id` alone, after all rows of that time and id.
    #[param(
        required = false,
        example = "2026-03-01T10:20:00Z,0195517a-0f00-7000-8000-000000000001,3,1187"
    )]
    cursor: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum KindName {
    Commands,
    Agents,
    Productivity,
    Sessions,
}

/// What an export may be answered with besides what a list may.
#[derive(IntoResponses)]
pub(crate) enum Refusals {
    /// `role_not_allowed`: viewers do not export.
    #[response(status = 403, content_type = "application/problem+json")]
    Denied(#[to_schema] ProblemBody),
    /// `not_found`: there is no such form.
    #[response(status = 404, content_type = "application/problem+json")]
    Unknown(#[to_schema] ProblemBody),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, to_value};

    use crate::{
        export::{ExportFormat, KINDS, PATH, parameters},
        openapi::openapi,
    };

    #[test]
    fn what_is_described_is_what_is_read() {
        let api = to_value(openapi()).unwrap();
        let call = &api["paths"][PATH]["get"];
        let all = call["parameters"].as_array().unwrap();
        let named = |name: &str| all.iter().find(|p| p["name"] == name).unwrap();
        let described: BTreeSet<&str> = all
            .iter()
            .filter(|p| p["in"] == "query")
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        let read = KINDS.iter().flat_map(|(_, kind)| parameters(*kind));
        assert_eq!(described, read.collect::<BTreeSet<_>>());
        let formats = ExportFormat::ALL.map(ExportFormat::as_str);
        assert_eq!(
            named("format")["schema"]["enum"],
            to_value(formats).unwrap()
        );
        let kinds = KINDS.map(|(name, _)| name);
        assert_eq!(named("kind")["schema"]["enum"], to_value(kinds).unwrap());
        assert_eq!(call["security"][0]["bearer"], Value::Array(Vec::new()));
        for status in [
            "200", "400", "401", "403", "404", "429", "500", "503", "504",
        ] {
            assert!(call["responses"][status].is_object(), "{status}");
        }
    }
}
