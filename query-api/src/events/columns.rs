//! What is stored of each kind of event, column by column. Every form in which events are
//! answered follows from it.

use schemas::event::EventKind;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// A UUID.
    Id,
    /// An instant in microseconds.
    Instant,
    /// A text.
    Text,
    /// A whole number of 32 bits.
    Whole32,
    /// A whole number of 64 bits.
    Whole64,
    /// A floating-point number.
    Number,
    /// A decimal of 38 digits, 12 of them after the point.
    Decimal,
    /// A JSON object.
    Object,
    /// A list of texts.
    Texts,
}

/// One column of a kind's table, by the name that the field has in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) holds: Type,
    /// Whether every row has a value.
    pub(crate) required: bool,
}

impl Column {
    /// The column as it is selected: what sqlx has no type for comes as text.
    pub(super) fn selected(self) -> String {
        let name = self.name;
        match self.holds {
            Type::Object => format!("\"{name}\"::text as \"{name}\""),
            Type::Decimal => format!("trim_scale(\"{name}\")::text as \"{name}\""),
            _ => format!("\"{name}\""),
        }
    }
}

const fn always(name: &'static str, holds: Type) -> Column {
    Column {
        name,
        holds,
        required: true,
    }
}

const fn maybe(name: &'static str, holds: Type) -> Column {
    Column {
        name,
        holds,
        required: false,
    }
}

/// The columns of a kind, in the order in which they are answered: what every event has, what
/// this kind has, and where in the log its record was.
pub(crate) fn columns(kind: EventKind) -> Vec<Column> {
    let user_id = Column {
        name: "user_id",
        holds: Type::Id,
        required: kind != EventKind::ProductivityMetric,
    };
    let common = [
        always("event_id", Type::Id),
        always("timestamp", Type::Instant),
        always("received_at", Type::Instant),
        always("organization_id", Type::Id),
        user_id,
        maybe("team_id", Type::Id),
        maybe("project_id", Type::Id),
    ];
    let source = [
        always("source_partition", Type::Whole32),
        always("source_offset", Type::Whole64),
    ];
    [&common, own(kind), &source].concat()
}

fn own(kind: EventKind) -> &'static [Column] {
    const COMMANDS: &[Column] = &[
        always("command_name", Type::Text),
        always("execution_time_ms", Type::Whole32),
        always("status", Type::Text),
        maybe("command_args", Type::Object),
        maybe("error_message", Type::Text),
        maybe("context", Type::Object),
    ];
    const AGENTS: &[Column] = &[
        always("agent_name", Type::Text),
        always("interaction_type", Type::Text),
        always("execution_time_ms", Type::Whole32),
        always("status", Type::Text),
        maybe("input_tokens", Type::Whole64),
        maybe("output_tokens", Type::Whole64),
        maybe("cost_usd", Type::Decimal),
        maybe("model", Type::Text),
        maybe("command_execution_id", Type::Id),
        maybe("error_message", Type::Text),
        maybe("metadata", Type::Object),
    ];
    const METRICS: &[Column] = &[
        always("metric_type", Type::Text),
        always("metric_value", Type::Number),
        maybe("metric_unit", Type::Text),
        maybe("dimensions", Type::Object),
    ];
    const SESSIONS: &[Column] = &[
        always("session_id", Type::Text),
        always("kind", Type::Text),
        maybe("session_start", Type::Instant),
        maybe("session_end", Type::Instant),
        maybe("duration_minutes", Type::Number),
        maybe("commands_executed", Type::Whole64),
        maybe("agents_used", Type::Texts),
        maybe("productivity_score", Type::Number),
        maybe("context", Type::Object),
    ];
    match kind {
        EventKind::CommandExecution => COMMANDS,
        EventKind::AgentInteraction => AGENTS,
        EventKind::ProductivityMetric => METRICS,
        EventKind::UserSession => SESSIONS,
    }
}

/// The column that says which command, agent, metric or session an event is of.
pub(super) fn name_column(kind: EventKind) -> &'static str {
    match kind {
        EventKind::CommandExecution => "command_name",
        EventKind::AgentInteraction => "agent_name",
        EventKind::ProductivityMetric => "metric_type",
        EventKind::UserSession => "session_id",
    }
}
