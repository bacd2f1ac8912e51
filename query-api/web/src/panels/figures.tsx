import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";

import type { Dashboard, Figures as Overview } from "../api/types";
import { change } from "../model/change";
import { count, duration, exact, money, NOTHING, percent } from "../model/format";
import type { Range } from "../model/ranges";
import { columns, errorRate, quantiles, ratio } from "../model/rows";
import type { Read } from "../parts/read";
import type { Series } from "../parts/series";
import { Spark } from "../parts/spark";

interface FigureProps {
  label: string;
  value: string;
  title?: string;
  /** With `before`, how it changed. */
  now?: number | null | undefined;
  before?: number | null | undefined;
  better: "more" | "less" | "neither";
  range: Range;
  note?: ComponentChildren;
  spark?: readonly (number | null)[];
  color?: string;
}

function Figure({ label, value, title, now, before, better, range, note, spark, color }: FigureProps) {
  const changed = change(now ?? null, before ?? null, better);
  return (
    <div class="figure">
      <dt>{label}</dt>
      <dd class="value" title={title}>
        {value}
      </dd>
      <dd class="note">
        {changed && (
          <span class={`change ${changed.verdict}`} title={`against the ${range.before}`}>
            {changed.text}
            <span class="unseen"> against the {range.before}</span>
          </span>
        )}
        {note && <span>{note}</span>}
      </dd>
      <dd class="curve">{spark && <Spark values={spark} color={color ?? "ink-2"} />}</dd>
    </div>
  );
}

/** The numbers of the range, live where they add up, else as the server last said. */
export function Figures({ series, dashboard, range }: { series: Series; dashboard: Read<Dashboard>; range: Range }) {
  const { now, before, rows, starts } = series;
  const lines = useMemo(() => columns(rows, starts), [rows, starts]);
  const times = useMemo(() => quantiles(rows, starts, "agents").p95, [rows, starts]);
  const overview = dashboard.value?.overview;
  const sums = [now, before].map((sum) => sum && sum.inputTokens + sum.outputTokens);
  const p95 = (figures: Overview | undefined, kind: "commands" | "agents") =>
    figures?.[kind].execution_time_ms?.p95;
  return (
    <dl class="figures" aria-label={`Figures of the ${range.words}`}>
      <Figure
        label="Commands"
        value={count(now.commands)}
        title={exact(now.commands)}
        now={now.commands}
        before={before?.commands}
        better="more"
        range={range}
        spark={lines.commands}
        color="commands"
      />
      <Figure
        label="Agent interactions"
        value={count(now.agents)}
        title={exact(now.agents)}
        now={now.agents}
        before={before?.agents}
        better="more"
        range={range}
        spark={lines.agents}
        color="agents"
      />
      <Figure
        label="Error rate"
        value={percent(errorRate(now))}
        now={errorRate(now)}
        before={before && errorRate(before)}
        better="less"
        range={range}
        note={now.agents > 0 && `agents ${percent(ratio(now.agentErrors, now.agents))}`}
        spark={lines.errorRate}
        color="error"
      />
      <Figure
        label="Agents, p95 time"
        value={duration(p95(overview?.current, "agents"))}
        now={p95(overview?.current, "agents")}
        before={p95(overview?.previous, "agents")}
        better="less"
        range={range}
        note={overview && `commands ${duration(p95(overview.current, "commands"))}`}
        spark={times}
        color="ink-2"
      />
      <Figure
        label="Cost of agents"
        value={money(now.cost)}
        title={`$${now.cost.toFixed(4)}`}
        now={now.cost}
        before={before?.cost}
        better="neither"
        range={range}
        note={now.agents > 0 ? `${money(now.cost / now.agents)} each` : null}
        spark={lines.cost}
        color="cost"
      />
      <Figure
        label="Tokens"
        value={count(sums[0] ?? 0)}
        title={`${exact(now.inputTokens)} in, ${exact(now.outputTokens)} out`}
        now={sums[0]}
        before={sums[1]}
        better="neither"
        range={range}
        note={sums[0] ? `${percent(ratio(now.outputTokens, sums[0]))} out` : null}
        spark={lines.tokens}
        color="cost"
      />
      <Figure
        label="People active"
        value={overview ? count(overview.current.active_users) : NOTHING}
        now={overview?.current.active_users}
        before={overview?.previous.active_users}
        better="more"
        range={range}
        note={overview && `in ${overview.current.active_teams} teams`}
      />
      <Figure
        label="Productivity score"
        value={score(overview?.current)?.toFixed(1) ?? NOTHING}
        now={score(overview?.current)}
        before={score(overview?.previous)}
        better="more"
        range={range}
        note={`${count(now.started)} sessions`}
        spark={lines.score}
        color="ink-2"
      />
    </dl>
  );
}

function score(figures: Overview | undefined): number | null {
  return figures?.productivity_score?.mean ?? null;
}
