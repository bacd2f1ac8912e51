import type { AgentFigures, CommandFigures, Dashboard, Executions, ModelFigures, Row } from "../api/types";
import { count, duration, exact, money, percent, shortId } from "../model/format";
import { byTeam, type TeamFigures } from "../model/teams";
import { Answer, Panel } from "../parts/panel";
import { Ranking, type Column } from "../parts/ranking";
import type { Read } from "../parts/read";

const runs: Column<Executions> = {
  title: "Runs",
  value: (row) => row.count,
  show: (row) => <span title={exact(row.count)}>{count(row.count)}</span>,
};
const errors: Column<Executions> = {
  title: "Errors",
  value: (row) => row.error_rate,
  show: (row) => percent(row.error_rate),
};
const p50: Column<Executions> = {
  title: "p50",
  value: (row) => row.execution_time_ms?.p50 ?? null,
  show: (row) => duration(row.execution_time_ms?.p50),
};
const p95: Column<Executions> = {
  title: "p95",
  value: (row) => row.execution_time_ms?.p95 ?? null,
  show: (row) => duration(row.execution_time_ms?.p95),
};
const tokens: Column<ModelFigures> = {
  title: "Tokens",
  value: (row) => row.input_tokens + row.output_tokens,
  show: (row) => count(row.input_tokens + row.output_tokens),
};
const cost: Column<{ cost_usd: string }> = {
  title: "Cost",
  value: (row) => Number(row.cost_usd),
  show: (row) => money(Number(row.cost_usd)),
};

export function Commands({ dashboard }: { dashboard: Read<Dashboard> }) {
  return (
    <Panel title="Commands">
      <Answer read={dashboard}>
        {({ top_commands }) => (
          <Ranking<CommandFigures>
            caption="Commands by executions"
            rows={top_commands}
            columns={[runs, errors, p50, p95]}
            of="Command"
            name={(row) => <span class="name">{row.command_name}</span>}
            id={(row) => row.command_name}
            color="commands"
          />
        )}
      </Answer>
    </Panel>
  );
}

export function Agents({ dashboard }: { dashboard: Read<Dashboard> }) {
  return (
    <Panel title="Agents">
      <Answer read={dashboard}>
        {({ top_agents }) => (
          <Ranking<AgentFigures>
            caption="Agents by interactions"
            rows={top_agents}
            columns={[runs, errors, p95, cost]}
            of="Agent"
            name={(row) => <span class="name">{row.agent_name}</span>}
            id={(row) => row.agent_name}
            color="agents"
          />
        )}
      </Answer>
    </Panel>
  );
}

export function Models({ dashboard }: { dashboard: Read<Dashboard> }) {
  return (
    <Panel title="Cost by model">
      <Answer read={dashboard}>
        {({ models }) => (
          <Ranking<ModelFigures>
            caption="Models by cost"
            rows={models}
            columns={[cost, runs, tokens, p95]}
            of="Model"
            name={(row) => <span class="name">{row.model ?? "not said"}</span>}
            id={(row) => row.model ?? ""}
            color="cost"
          />
        )}
      </Answer>
    </Panel>
  );
}

interface TeamsProps {
  teams: Read<{ data: Row[] }>;
  chosen: string | null;
  onChoose(team: string | null): void;
}

export function Teams({ teams, chosen, onChoose }: TeamsProps) {
  const name = (row: TeamFigures) => {
    const { team } = row;
    if (team === null) return <span class="name">no team</span>;
    const isChosen = team === chosen;
    return (
      <button
        type="button"
        class="name"
        title={team}
        aria-pressed={isChosen}
        onClick={() => onChoose(isChosen ? null : team)}
      >
        team {shortId(team)}
      </button>
    );
  };
  return (
    <Panel title="Cost by team" aside="whole days, UTC">
      <Answer read={teams}>
        {({ data }) => (
          <Ranking<TeamFigures>
            caption="Teams by cost"
            rows={byTeam(data)}
            columns={[
              { title: "Cost", value: (row) => row.cost, show: (row) => money(row.cost) },
              { title: "Runs", value: (row) => row.executions, show: (row) => count(row.executions) },
              { title: "Errors", value: (row) => row.errorRate, show: (row) => percent(row.errorRate) },
            ]}
            of="Team"
            name={name}
            id={(row) => row.team ?? ""}
            color="cost"
          />
        )}
      </Answer>
    </Panel>
  );
}
