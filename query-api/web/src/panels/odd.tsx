import type { Anomaly, Dashboard } from "../api/types";
import { instant } from "../model/format";
import { better, figure, label } from "../model/measure";
import { Answer, Empty, Panel } from "../parts/panel";
import type { Read } from "../parts/read";
import { Spark } from "../parts/spark";

const MOST = 4;

/** Hours that are unlike the same hour of earlier weeks. */
export function Odd({ dashboard }: { dashboard: Read<Dashboard> }) {
  return (
    <Panel title="Odd lately" aside="24 hours, against the same of earlier weeks" class="odd">
      <Answer read={dashboard}>
        {({ anomalies }) => {
          if (anomalies.length === 0) return <Empty>Nothing is out of the ordinary.</Empty>;
          const newest = anomalies.toSorted(
            (a, b) => b.bucket_start.localeCompare(a.bucket_start) || Math.abs(b.z) - Math.abs(a.z),
          );
          return (
            <ul>
              {newest.slice(0, MOST).map((anomaly) => (
                <Item key={anomaly.bucket_start + anomaly.measure} anomaly={anomaly} />
              ))}
              {newest.length > MOST && <li class="rest">and {newest.length - MOST} more</li>}
            </ul>
          );
        }}
      </Answer>
    </Panel>
  );
}

function Item({ anomaly }: { anomaly: Anomaly }) {
  const { measure, value, median, mad, z, history } = anomaly;
  const above = value > median;
  const wanted = better(measure);
  const verdict = wanted === "neither" ? "neutral" : above === (wanted === "more") ? "good" : "bad";
  const values = [...history.map((point) => point.value), value];
  return (
    <li>
      <details>
        <summary>
          <span class={`mark ${verdict}`} aria-hidden="true">
            {above ? "▲" : "▼"}
          </span>
          <span class="what">
            <b>
              {label(measure)} {figure(measure, value)}
            </b>
            <span class="usual">
              {above ? "above" : "below"} its usual {figure(measure, median)}
            </span>
            <time dateTime={anomaly.bucket_start}>{instant(anomaly.bucket_start)}</time>
          </span>
          <Spark values={values} color="ink-3" />
        </summary>
        <p class="numbers-of">
          Robust z {z.toFixed(1)}: median {figure(measure, median)}, median deviation {figure(measure, mad)}. The same
          hour of the weeks before: {history.map((point) => figure(measure, point.value)).join(", ")}.
        </p>
      </details>
    </li>
  );
}
