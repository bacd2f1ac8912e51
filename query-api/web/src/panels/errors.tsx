import type { Client } from "../api/client";
import { address } from "../api/client";
import type { Claims } from "../api/token";
import type { RawEvent, RawPage } from "../api/types";
import { ago, duration, instant } from "../model/format";
import { Answer, Empty, Panel } from "../parts/panel";
import { useNow, useRead, type Read } from "../parts/read";

const EVERY = 30_000;
const MOST = 8;

const WHOSE: Record<Claims["role"], string> = {
  admin: "of everybody",
  manager: "of your teams",
  developer: "your own",
  viewer: "your own",
};

interface Props {
  client: Client;
  role: Claims["role"];
  team: string | null;
  live: boolean;
}

/** What failed last, of what the role may read. */
export function Errors({ client, role, team, live }: Props) {
  const query = { status: "error", limit: MOST, team_id: team };
  const every = live ? EVERY : 0;
  const commands = useRead<RawPage>(client, address("/commands", query), every);
  const agents = useRead<RawPage>(client, address("/agents", query), every);
  const both: Read<RawEvent[]> = {
    value: commands.value && agents.value && newest([...commands.value.data, ...agents.value.data]),
    problem: commands.problem ?? agents.problem,
    again: commands.again,
  };
  return (
    <Panel title="Latest errors" aside={WHOSE[role]} class="errors">
      <Answer read={both}>{(events) => <List events={events} />}</Answer>
    </Panel>
  );
}

function newest(events: RawEvent[]): RawEvent[] {
  return events.sort((a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp)).slice(0, MOST);
}

function List({ events }: { events: RawEvent[] }) {
  const now = useNow(10_000);
  if (events.length === 0) return <Empty>No errors.</Empty>;
  return (
    <ul>
      {events.map((event) => (
        <li key={event.event_id}>
          <time dateTime={event.timestamp} title={instant(event.timestamp)}>
            {ago(event.timestamp, now)}
          </time>
          <span class="what">
            <b class={event.agent_name ? "of-agents" : "of-commands"}>{event.command_name ?? event.agent_name}</b>
            {event.model && <span class="model"> {event.model}</span>}
            {event.error_message ? (
              <details>
                <summary>{event.error_message.split("\n", 1)[0]}</summary>
                <pre>{event.error_message}</pre>
              </details>
            ) : (
              <span class="silent">no message</span>
            )}
          </span>
          <span class="time">{duration(event.execution_time_ms)}</span>
        </li>
      ))}
    </ul>
  );
}
