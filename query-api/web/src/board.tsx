import { useEffect, useMemo, useState } from "preact/hooks";

import { address, type Client } from "./api/client";
import { mayExport, type Claims } from "./api/token";
import type { Aggregated, Dashboard } from "./api/types";
import { Top } from "./top";
import { byTeam } from "./model/teams";
import { read, write, type View } from "./model/view";
import { useRead } from "./parts/read";
import { useSeries } from "./parts/series";
import { useTheme } from "./parts/theme";
import { Errors } from "./panels/errors";
import { Export } from "./panels/export";
import { Figures } from "./panels/figures";
import { Headline } from "./panels/headline";
import { Health } from "./panels/health";
import { Hours } from "./panels/hours";
import { Letters } from "./panels/letters";
import { Agents, Commands, Models, Teams } from "./panels/lists";
import { Odd } from "./panels/odd";
import { Strips } from "./panels/strips";
import { Trends } from "./panels/trends";

/** How often the server adds everything up anew. */
const EVERY = 15_000;
const TEAMS_EVERY = 60_000;
const MONTH_EVERY = 300_000;

interface Props {
  client: Client;
  claims: Claims;
  onLeave(): void;
}

/** The whole page of somebody who has signed in. */
export function Board({ client, claims, onLeave }: Props) {
  const [view, setView] = useView();
  const [live, setLive] = useState(true);
  const [theme, toggleTheme] = useTheme();
  const { range, team, kind } = view;

  const series = useSeries(client, range, team, live);
  const every = live ? EVERY : 0;
  const summary = address("/dashboard", { time_range: range.name, team_id: team });
  const dashboard = useRead<Dashboard>(client, summary, every);
  // What needs weeks to be seen: the hours of the week and the trends.
  const month = useRead<Dashboard>(
    client,
    address("/dashboard", { time_range: "30d", team_id: team }),
    live ? MONTH_EVERY : 0,
  );
  const teams = useRead<Aggregated>(client, useTeamsAddress(range.name, series.starts), live ? TEAMS_EVERY : 0);
  const names = useMemo(
    () => byTeam(teams.value?.data ?? []).flatMap((line) => line.team ?? []),
    [teams.value],
  );
  const admin = claims.role === "admin";

  return (
    <>
      <Top
        claims={claims}
        view={view}
        onView={setView}
        teams={names}
        mode={series.mode}
        live={live}
        onLive={() => setLive(!live)}
        theme={theme}
        onTheme={toggleTheme}
        onLeave={onLeave}
      >
        {mayExport(claims) && <Export client={client} range={range} team={team} from={series.starts[0] ?? 0} />}
      </Top>
      <main id="main" tabIndex={-1}>
        <h1 class="unseen">Flowmeter: the {range.words}</h1>
        <div class="row first">
          <Headline series={series} range={range} />
          <Odd dashboard={dashboard} />
        </div>
        <Figures series={series} dashboard={dashboard} range={range} />
        <div class="row wide">
          <Strips
            series={series}
            range={range}
            theme={theme}
            kind={kind}
            onKind={(chosen) => setView({ ...view, kind: chosen })}
          />
          <div class="stack">
            <Hours dashboard={month} />
            <Trends dashboard={month} />
            <Health client={client} admin={admin} />
          </div>
        </div>
        <div class="row four">
          <Commands dashboard={dashboard} />
          <Agents dashboard={dashboard} />
          <Models dashboard={dashboard} />
          <Teams teams={teams} chosen={team} onChoose={(chosen) => setView({ ...view, team: chosen })} />
        </div>
        <div class="row last">
          <Errors client={client} role={claims.role} team={team} live={live} />
          {admin && <Letters client={client} />}
        </div>
      </main>
    </>
  );
}

/** The view, and how to change it: both are the address's query. */
function useView(): [View, (view: View) => void] {
  const [view, setView] = useState(() => read(location.search));
  useEffect(() => {
    const back = () => setView(read(location.search));
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);
  const change = (next: View) => {
    history.pushState(null, "", location.pathname + write(next));
    setView(next);
  };
  return [view, change];
}

/** All teams of the days of the range, whichever team is chosen. */
function useTeamsAddress(range: string, starts: number[]): string {
  const day = new Date((starts[0] ?? 0) * 1000).toISOString().slice(0, 10);
  return useMemo(
    () =>
      address("/aggregated", {
        start_date: `${day}T00:00:00Z`,
        aggregation_window: "1d",
        group_by: "team",
        limit: 10_000,
      }),
    [range, day],
  );
}
