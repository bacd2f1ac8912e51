// What a batch may hold, by the rules of the gateway that JSON Schema can say: required fields,
// types, ranges, lengths, enumerations, patterns, formats, and no unknown field. Objects of the
// users' own making may be anything.

const uuid = { type: 'string', format: 'uuid' };
const time = { type: 'string', format: 'date-time' };
const text = (minLength, maxLength) => ({ type: 'string', minLength, maxLength });
const whole = (maximum) => ({ type: 'integer', minimum: 0, maximum });
const number = (minimum, maximum) => ({ type: 'number', minimum, maximum });
const free = { type: 'object' };
const status = { enum: ['success', 'error', 'timeout', 'cancelled'] };

const event = (required, fields) => ({
  type: 'object',
  required,
  additionalProperties: false,
  properties: {
    event_id: uuid,
    timestamp: time,
    user_id: uuid,
    team_id: uuid,
    project_id: uuid,
    ...fields,
  },
});

const command = event(['user_id', 'command_name', 'execution_time_ms', 'status'], {
  command_name: text(1, 255),
  execution_time_ms: whole(3_600_000),
  status,
  command_args: free,
  error_message: text(0, 10_000),
  context: free,
});

const agent = event(
  ['user_id', 'agent_name', 'interaction_type', 'execution_time_ms', 'status'],
  {
    agent_name: text(1, 255),
    interaction_type: text(1, 100),
    execution_time_ms: whole(3_600_000),
    status,
    input_tokens: whole(1_000_000_000),
    output_tokens: whole(1_000_000_000),
    cost_usd: number(0, 1_000_000_000),
    model: text(1, 255),
    command_execution_id: uuid,
    error_message: text(0, 10_000),
    metadata: free,
  },
);

const metric = event(['metric_type', 'metric_value'], {
  metric_type: { type: 'string', pattern: '^[a-z][a-z0-9_.]{0,99}$' },
  metric_value: number(-1e18, 1e18),
  metric_unit: text(0, 50),
  dimensions: free,
});

const session = event(['user_id', 'session_id', 'kind'], {
  session_id: text(1, 255),
  kind: { enum: ['started', 'updated', 'ended'] },
  session_start: time,
  session_end: time,
  duration_minutes: number(0, 1440),
  commands_executed: { type: 'integer', minimum: 0 },
  agents_used: { type: 'array', maxItems: 1000, items: { type: 'string' } },
  productivity_score: number(0, 100),
  context: free,
});

const list = (items) => ({ type: 'array', maxItems: 1000, items });

export const batch = {
  type: 'object',
  additionalProperties: false,
  properties: {
    command_executions: list(command),
    agent_interactions: list(agent),
    productivity_metrics: list(metric),
    user_sessions: list(session),
    timestamp: time,
    batch_id: text(1, 255),
  },
};
