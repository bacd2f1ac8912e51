import type { Dashboard, Trend } from "../api/types";
import { better, figure, label } from "../model/measure";
import { Answer, Empty, Panel } from "../parts/panel";
import type { Read } from "../parts/read";

/** Where the measures go, by least squares. */
export function Trends({ dashboard }: { dashboard: Read<Dashboard> }) {
  return (
    <Panel title="Is it getting better?" aside="last 30 days, slope a day" class="trends">
      <Answer read={dashboard}>
        {({ trends }) =>
          trends.length === 0 ? (
            <Empty>Too little has happened to say.</Empty>
          ) : (
            <ul>
              {trends.map((trend) => (
                <Item key={trend.measure} trend={trend} />
              ))}
            </ul>
          )
        }
      </Answer>
    </Panel>
  );
}

const WORDS = { up: "rising", down: "falling", flat: "steady", unknown: "too few buckets" };
const MARKS = { up: "↗", down: "↘", flat: "→", unknown: "·" };

function Item({ trend }: { trend: Trend }) {
  const { measure, direction, slope_per_day: slope, r_squared: fit, points } = trend;
  const wanted = better(measure);
  const moves = direction === "up" || direction === "down";
  const good = (direction === "up") === (wanted === "more");
  const verdict = !moves || wanted === "neither" ? "neutral" : good ? "good" : "bad";
  const size = slope === null ? "" : `${slope < 0 ? "−" : "+"}${figure(measure, Math.abs(slope))}`;
  return (
    <li title={`${points} buckets${fit === null ? "" : `, R² = ${fit.toFixed(2)}`}`}>
      <span class={`mark ${verdict}`} aria-hidden="true">
        {MARKS[direction]}
      </span>
      <span class="what">{label(measure)}</span>
      <span class={`word ${verdict}`}>{WORDS[direction]}</span>
      <span class="slope">{moves && size}</span>
    </li>
  );
}
