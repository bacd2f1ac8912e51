// What the query API answers, as far as the page reads it.

export interface ExecutionTime {
  min: number;
  max: number;
  mean: number;
  p50: number;
  p95: number;
  p99: number;
}

export interface Executions {
  count: number;
  success: number;
  error: number;
  timeout: number;
  cancelled: number;
  error_rate: number | null;
  execution_time_ms: ExecutionTime | null;
}

export interface AgentExecutions extends Executions {
  input_tokens: number;
  output_tokens: number;
  /** US dollars, exactly, hence as text. */
  cost_usd: string;
}

export interface Values {
  count: number;
  sum: number;
  mean: number;
}

export interface Sessions {
  started: number;
  ended: number;
  productivity_score: Values | null;
}

/** One bucket, or one group in it. */
export interface Row {
  bucket_start: string;
  complete: boolean;
  commands?: Executions;
  agents?: AgentExecutions;
  sessions?: Sessions;
  team_id?: string | null;
}

export interface Aggregated {
  watermark: string | null;
  data: Row[];
  next_cursor: string | null;
}

export interface Figures {
  commands: Executions;
  agents: AgentExecutions;
  sessions: Sessions;
  active_users: number;
  active_teams: number;
  productivity_score: Values | null;
}

export interface Trend {
  measure: string;
  slope_per_day: number | null;
  intercept: number | null;
  r_squared: number | null;
  points: number;
  direction: "up" | "down" | "flat" | "unknown";
}

export interface Anomaly {
  bucket_start: string;
  measure: string;
  value: number;
  median: number;
  mad: number;
  z: number;
  history: { bucket_start: string; value: number }[];
}

export interface Hour {
  /** 1 is Monday, in UTC. */
  weekday: number;
  hour: number;
  commands: number;
  agents: number;
  errors: number;
}

export type CommandFigures = Executions & { command_name: string };
export type AgentFigures = AgentExecutions & { agent_name: string };
export type ModelFigures = AgentExecutions & { model: string | null };

export interface Dashboard {
  start_date: string;
  end_date: string;
  watermark: string | null;
  overview: { current: Figures; previous: Figures };
  trends: Trend[];
  top_commands: CommandFigures[];
  top_agents: AgentFigures[];
  models: ModelFigures[];
  hours: Hour[];
  anomalies: Anomaly[];
}

/** A command or an agent interaction, as it was posted. */
export interface RawEvent {
  event_id: string;
  timestamp: string;
  user_id: string | null;
  command_name?: string;
  agent_name?: string;
  model?: string | null;
  execution_time_ms: number;
  error_message?: string | null;
}

export interface RawPage {
  data: RawEvent[];
}

export interface LetterGroup {
  reason: string;
  client: string | null;
  topic: string;
  count: number;
  first_at: string;
  last_at: string;
  replayed: number;
}

export interface DeadLetters {
  groups: LetterGroup[];
}

export interface Replay {
  dry_run: boolean;
  matched: number;
  replayed: number;
  /** Those that cannot be sent again, in groups. */
  not_replayable: { count: number }[];
  /** Those that Kafka did not take. */
  skipped: unknown[];
  /** Whether time was up before the end. */
  interrupted: boolean;
}

export interface PerformanceWindow {
  ingestion_rate: number | null;
  processing_latency_ms: { p95: number | null } | null;
  query_response_time_ms: { p95: number | null } | null;
  memory_usage_mb: number | null;
  active_connections: number | null;
  cache_hit_rate: number | null;
}

/** Of one instance, by the window's name: `1m`, `5m`, `1h`. */
export interface Performance {
  windows: Record<string, PerformanceWindow | undefined>;
}

export interface Health {
  status: "ok" | "degraded";
  version: string;
  uptime_seconds: number;
  checks: Record<string, { status: "ok" | "starting" | "down"; detail?: string; latency_ms?: number }>;
}
