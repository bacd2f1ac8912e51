import { useState } from "preact/hooks";

import type { Dashboard } from "../api/types";
import { count, percent } from "../model/format";
import { busiest, shade, week, WEEKDAYS, type Cell } from "../model/heat";
import { ratio } from "../model/rows";
import { Answer, Panel } from "../parts/panel";
import type { Read } from "../parts/read";

/** When in the week work is done. */
export function Hours({ dashboard }: { dashboard: Read<Dashboard> }) {
  return (
    <Panel title="Hours of the week" aside="last 30 days, your time" class="hours">
      <Answer read={dashboard}>
        {({ hours }) => <Map cells={week(hours, -new Date().getTimezoneOffset())} />}
      </Answer>
    </Panel>
  );
}

interface Place {
  day: number;
  hour: number;
}

function Map({ cells }: { cells: Cell[][] }) {
  const [at, setAt] = useState<Place | null>(null);
  const most = Math.max(...cells.flat().map((cell) => cell.executions));
  const top = busiest(cells);

  const onKeyDown = (event: KeyboardEvent) => {
    const { day, hour } = at ?? top ?? { day: 0, hour: 0 };
    const moved = {
      ArrowLeft: { day, hour: hour - 1 },
      ArrowRight: { day, hour: hour + 1 },
      ArrowUp: { day: day - 1, hour },
      ArrowDown: { day: day + 1, hour },
    }[event.key];
    if (!moved) return;
    event.preventDefault();
    setAt({ day: (moved.day + 7) % 7, hour: (moved.hour + 24) % 24 });
  };

  const told = at ?? top;
  return (
    <>
      <table
        class="heat"
        tabIndex={0}
        aria-label="Executions by weekday and hour. The arrow keys move through the hours."
        onKeyDown={onKeyDown}
        onBlur={() => setAt(null)}
        onMouseLeave={() => setAt(null)}
      >
        <thead>
          <tr>
            <td />
            {cells[0]?.map((_, hour) => (
              <th scope="col" key={hour}>
                {hour % 6 === 0 ? hour : <span class="unseen">{hour}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {cells.map((row, day) => (
            <tr key={WEEKDAYS[day]}>
              <th scope="row">
                {WEEKDAYS[day]?.slice(0, 2)}
                <span class="unseen">{WEEKDAYS[day]?.slice(2)}</span>
              </th>
              {row.map((cell, hour) => (
                <td
                  key={hour}
                  class={at?.day === day && at.hour === hour ? "here" : undefined}
                  style={{ "--shade": `${Math.round(shade(cell.executions, most) * 100)}%` }}
                  onMouseEnter={() => setAt({ day, hour })}
                >
                  <span class="unseen">{cell.executions}</span>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="reading" role="status">
        {told ? reading(told, cells, at === null) : "Nothing was executed."}
      </p>
    </>
  );
}

function reading({ day, hour }: Place, cells: Cell[][], isTop: boolean): string {
  const cell = cells[day]?.[hour] ?? { executions: 0, errors: 0 };
  const errors = cell.executions > 0 ? `, ${percent(ratio(cell.errors, cell.executions))} errors` : "";
  const when = `${WEEKDAYS[day]} ${hour}:00`;
  return `${isTop ? "Busiest: " : ""}${when}, ${count(cell.executions)} executions${errors}`;
}
