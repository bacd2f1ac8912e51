//! Events and their calls as OpenAPI shows them. A test holds the fields to the columns that
//! are answered.
#![expect(
    dead_code,
    reason = "what only describes is never read, only derived from"
)]

use platform::http::problem::ProblemBody;
use serde_json::Value;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use uuid::Uuid;

use crate::openapi::BadQuery;

/// What every kind may be filtered by.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Common {
    /// Start of the range, RFC 3339: events at it or later; by default 24 hours before its end.
    #[param(format = DateTime, required = false)]
    start_date: String,
    /// End of the range, RFC 3339, after its start: events before it; by default now.
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
}

/// Of command executions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfCommands {
    /// Only events that ended so.
    #[param(inline, required = false)]
    status: StatusName,
    /// Only this command.
    #[param(max_length = 500, required = false)]
    name: String,
    /// Full-text search in the command's name, arguments and error message: words that must all
    /// be there, `"a phrase"`, `or`, and `-without`, as in PostgreSQL's `websearch_to_tsquery`.
    /// Words are taken as they are, in small letters.
    #[param(
        max_length = 500,
        required = false,
        example = "connection refused -staging"
    )]
    q: String,
}

/// Of agent interactions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfAgents {
    /// Only events that ended so.
    #[param(inline, required = false)]
    status: StatusName,
    /// Only this agent.
    #[param(max_length = 500, required = false)]
    name: String,
    /// Only this model.
    #[param(max_length = 500, required = false)]
    model: String,
    /// Full-text search in the agent's name, the interaction's type and the error message, as
    /// for command executions.
    #[param(max_length = 500, required = false)]
    q: String,
}

/// Of productivity metrics.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfMetrics {
    /// Only this type of metric.
    #[param(max_length = 500, required = false)]
    name: String,
}

/// Of session events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfSessions {
    /// Only starts, updates or ends.
    #[param(inline, required = false)]
    status: SessionKindName,
    /// Only this session's, by its `session_id`.
    #[param(max_length = 500, required = false)]
    name: String,
}

/// The pages of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// The most events of a page. One of very large events holds fewer.
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: u32,
    /// `next_cursor` of the page before, with that page's other parameters; only `limit` may
    /// differ. A range given by default stays that of the first page.
    #[param(required = false)]
    cursor: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum StatusName {
    Success,
    Error,
    Timeout,
    Cancelled,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum SessionKindName {
    Started,
    Updated,
    Ended,
}

/// What a list may be answered with instead of a page.
#[derive(IntoResponses)]
pub(crate) enum Refusals {
    /// `invalid_query`: every fault of the parameters, in `errors`.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(BadQuery),
    /// `token_missing`, or `token_invalid` whatever is wrong with the token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(#[to_schema] ProblemBody),
    /// `rate_limited`: the same request passes after `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds")))]
    RateLimited(#[to_schema] ProblemBody),
    /// `internal`: logged under the id in `instance`.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(#[to_schema] ProblemBody),
    /// `database_unavailable`, or `keys_unavailable` to verify tokens with: the same request
    /// may succeed after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(#[to_schema] ProblemBody),
    /// `query_timeout`: ask for a shorter range.
    #[response(status = 504, content_type = "application/problem+json")]
    TooLong(#[to_schema] ProblemBody),
}

/// A page of a list. Lists have one page type each, since their events differ.
macro_rules! page {
    ($name:ident of $event:ty) => {
        /// A page of events, newest first.
        #[derive(ToSchema)]
        pub(crate) struct $name {
            /// The range's start, as given or by default.
            #[schema(format = DateTime)]
            start_date: String,
            /// The range's end, as given or by default.
            #[schema(format = DateTime)]
            end_date: String,
            /// The events.
            data: Vec<$event>,
            /// To be sent as `cursor` for the next page; null on the last.
            #[schema(required = true)]
            next_cursor: Option<String>,
            /// How long the query took, in milliseconds.
            query_time_ms: f64,
        }
    };
}

page!(Commands of CommandEvent);
page!(Agents of AgentEvent);
page!(Productivity of MetricEvent);
page!(Sessions of SessionEvent);

/// An event of one kind: what all have, what it has, and where in the log it was.
macro_rules! event {
    ($(#[$about:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(ToSchema)]
        pub(crate) struct $name {
            event_id: Uuid,
            /// Event time.
            #[schema(format = DateTime)]
            timestamp: String,
            /// When Kafka took it.
            #[schema(format = DateTime)]
            received_at: String,
            organization_id: Uuid,
            $($(#[$meta])* $field: $type,)*
            /// The partition of its kind's topic that its record is in.
            source_partition: i32,
            /// The record's place in the partition.
            source_offset: i64,
        }
    };
}

event! {
    /// A command that was run.
    CommandEvent {
        user_id: Uuid,
        #[schema(required = true)]
        team_id: Option<Uuid>,
        #[schema(required = true)]
        project_id: Option<Uuid>,
        command_name: String,
        execution_time_ms: i32,
        #[schema(inline)]
        status: StatusName,
        #[schema(value_type = Option<Object>, required = true)]
        command_args: Option<Value>,
        #[schema(required = true)]
        error_message: Option<String>,
        #[schema(value_type = Option<Object>, required = true)]
        context: Option<Value>,
    }
}

event! {
    /// An exchange with an AI agent.
    AgentEvent {
        user_id: Uuid,
        #[schema(required = true)]
        team_id: Option<Uuid>,
        #[schema(required = true)]
        project_id: Option<Uuid>,
        agent_name: String,
        interaction_type: String,
        execution_time_ms: i32,
        #[schema(inline)]
        status: StatusName,
        #[schema(required = true)]
        input_tokens: Option<i64>,
        #[schema(required = true)]
        output_tokens: Option<i64>,
        /// A decimal, as text: nothing is lost.
        #[schema(required = true, example = "0.0125")]
        cost_usd: Option<String>,
        #[schema(required = true)]
        model: Option<String>,
        #[schema(required = true)]
        command_execution_id: Option<Uuid>,
        #[schema(required = true)]
        error_message: Option<String>,
        #[schema(value_type = Option<Object>, required = true)]
        metadata: Option<Value>,
    }
}

event! {
    /// A measured value.
    MetricEvent {
        #[schema(required = true)]
        user_id: Option<Uuid>,
        #[schema(required = true)]
        team_id: Option<Uuid>,
        #[schema(required = true)]
        project_id: Option<Uuid>,
        metric_type: String,
        metric_value: f64,
        #[schema(required = true)]
        metric_unit: Option<String>,
        #[schema(value_type = Option<Object>, required = true)]
        dimensions: Option<Value>,
    }
}

event! {
    /// The start, progress or end of a session.
    SessionEvent {
        user_id: Uuid,
        #[schema(required = true)]
        team_id: Option<Uuid>,
        #[schema(required = true)]
        project_id: Option<Uuid>,
        session_id: String,
        #[schema(inline)]
        kind: SessionKindName,
        #[schema(format = DateTime, required = true)]
        session_start: Option<String>,
        #[schema(format = DateTime, required = true)]
        session_end: Option<String>,
        #[schema(required = true)]
        duration_minutes: Option<f64>,
        #[schema(required = true)]
        commands_executed: Option<i64>,
        #[schema(required = true)]
        agents_used: Option<Vec<String>>,
        #[schema(required = true)]
        productivity_score: Option<f64>,
        #[schema(value_type = Option<Object>, required = true)]
        context: Option<Value>,
    }
}

#[cfg(test)]
mod tests {
    use schemas::event::EventKind;
    use serde_json::{Value, to_value};

    use crate::{
        events::{self, columns::columns},
        openapi::openapi,
    };

    const CALLS: [(EventKind, &str, &str); 4] = [
        (
            EventKind::CommandExecution,
            events::COMMANDS,
            "CommandEvent",
        ),
        (EventKind::AgentInteraction, events::AGENTS, "AgentEvent"),
        (
            EventKind::ProductivityMetric,
            events::PRODUCTIVITY,
            "MetricEvent",
        ),
        (EventKind::UserSession, events::SESSIONS, "SessionEvent"),
    ];

    #[test]
    fn an_event_has_the_fields_that_are_answered_and_null_where_it_may_be() {
        let api = to_value(openapi()).unwrap();
        for (kind, _, name) in CALLS {
            let schema = &api["components"]["schemas"][name];
            let mut described: Vec<&String> =
                schema["properties"].as_object().unwrap().keys().collect();
            let columns = columns(kind);
            let mut answered: Vec<&str> = columns.iter().map(|column| column.name).collect();
            described.sort();
            answered.sort_unstable();
            assert_eq!(described, answered, "{name}");
            for column in columns {
                let required = schema["required"].as_array().unwrap();
                assert!(
                    required.contains(&column.name.into()),
                    "{name} {}",
                    column.name
                );
                let property = schema["properties"][column.name].to_string();
                let nullable = property.contains("\"null\"");
                assert_eq!(nullable, !column.required, "{name} {}", column.name);
            }
        }
    }

    #[test]
    fn a_list_has_the_parameters_that_are_read() {
        let api = to_value(openapi()).unwrap();
        for (kind, path, _) in CALLS {
            let call = &api["paths"][path]["get"];
            let mut described = Vec::new();
            for parameter in call["parameters"].as_array().unwrap() {
                assert_ne!(parameter["required"], true, "{parameter}");
                assert!(parameter["description"].is_string(), "{parameter}");
                described.push(parameter["name"].as_str().unwrap());
            }
            assert_eq!(described, events::parameters(kind), "{path}");
            assert_eq!(call["security"][0]["bearer"], Value::Array(Vec::new()));
            for status in ["200", "400", "401", "429", "500", "503", "504"] {
                assert!(call["responses"][status].is_object(), "{path} {status}");
            }
        }
    }
}
