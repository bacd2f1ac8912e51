// Teams, added up over buckets.

import type { Row } from "../api/types";
import { ratio } from "./rows";

export interface TeamFigures {
  team: string | null;
  executions: number;
  errorRate: number | null;
  cost: number;
}

/** Rows that are grouped by team, as one line for each; the costliest first. */
export function byTeam(rows: readonly Row[]): TeamFigures[] {
  const sums = new Map<string | null, { executions: number; errors: number; cost: number }>();
  for (const row of rows) {
    const team = row.team_id ?? null;
    const sum = sums.get(team) ?? { executions: 0, errors: 0, cost: 0 };
    sum.executions += (row.commands?.count ?? 0) + (row.agents?.count ?? 0);
    sum.errors += (row.commands?.error ?? 0) + (row.agents?.error ?? 0);
    sum.cost += Number(row.agents?.cost_usd ?? 0);
    sums.set(team, sum);
  }
  const lines = [...sums].map(([team, { executions, errors, cost }]) => ({
    team,
    executions,
    errorRate: ratio(errors, executions),
    cost,
  }));
  return lines.sort((a, b) => b.cost - a.cost || b.executions - a.executions);
}
