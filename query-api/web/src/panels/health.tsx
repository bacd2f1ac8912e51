import type { Client } from "../api/client";
import { address } from "../api/client";
import type { Health as Report } from "../api/types";
import { age, words } from "../model/format";
import { Answer, Panel } from "../parts/panel";
import { useRead } from "../parts/read";
import { Performance } from "./performance";

const EVERY = 15_000;
const WORDS = { ok: "works", starting: "starting", down: "down" };

/** Whether Flowmeter itself works. */
export function Health({ client, admin }: { client: Client; admin: boolean }) {
  const health = useRead<Report>(client, address("/health"), EVERY);
  const report = health.value;
  return (
    <Panel
      title="System"
      class="health"
      aside={report && `${report.version}, up ${age(report.uptime_seconds)}`}
    >
      <Answer read={health}>
        {({ checks }) => (
          <ul class="checks">
            {Object.entries(checks).map(([name, check]) => (
              <li key={name} class={check.status} title={check.detail ?? latency(check.latency_ms)}>
                <span class="dot" aria-hidden="true" />
                <span class="what">{words(name)}</span>
                <span class="word">{WORDS[check.status]}</span>
              </li>
            ))}
          </ul>
        )}
      </Answer>
      {admin && <Performance client={client} />}
    </Panel>
  );
}

function latency(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : `asked within ${ms.toFixed(1)} ms`;
}
