import type { Client } from "../api/client";
import { address } from "../api/client";
import type { Performance as Report } from "../api/types";
import { performance, type Measured } from "../model/performance";
import { Answer, Empty } from "../parts/panel";
import { useRead } from "../parts/read";

const EVERY = 15_000;

/** How fast Flowmeter is, for administrators. */
export function Performance({ client }: { client: Client }) {
  const read = useRead<Report>(client, address("/performance"), EVERY);
  return <Answer read={read}>{(answer) => <Figures measured={performance(answer)} />}</Answer>;
}

function Figures({ measured }: { measured: Measured[] }) {
  if (measured.length === 0) return <Empty>This instance measures nothing yet.</Empty>;
  return (
    <dl class="measured">
      {measured.map(({ label, value, span }) => (
        <div key={label} title={`over the last ${span}`}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
