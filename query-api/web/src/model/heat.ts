// Hours of the week.

import type { Hour } from "../api/types";

export interface Cell {
  executions: number;
  errors: number;
}

export const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/**
 * A week of 7 rows with 24 cells each, moved from UTC by whole hours. A time zone of half
 * hours is shown to the hour below.
 */
export function week(hours: readonly Hour[], offsetMinutes: number): Cell[][] {
  const cells = WEEKDAYS.map(() => Array.from({ length: 24 }, (): Cell => ({ executions: 0, errors: 0 })));
  const shift = Math.floor(offsetMinutes / 60);
  for (const { weekday, hour, commands, agents, errors } of hours) {
    const place = ((weekday - 1) * 24 + hour + shift + 168) % 168;
    const cell = cells[Math.floor(place / 24)]?.[place % 24];
    if (!cell) continue;
    cell.executions += commands + agents;
    cell.errors += errors;
  }
  return cells;
}

/** How dark a cell is, 0 to 1: by the root, so that quiet hours can be told from empty ones. */
export function shade(value: number, most: number): number {
  return most > 0 && value > 0 ? 0.08 + 0.92 * Math.sqrt(value / most) : 0;
}

/** The hour with most executions; null of an empty week. */
export function busiest(cells: readonly Cell[][]): { day: number; hour: number } | null {
  let best: { day: number; hour: number } | null = null;
  let most = 0;
  cells.forEach((row, day) =>
    row.forEach(({ executions }, hour) => {
      if (executions > most) {
        most = executions;
        best = { day, hour };
      }
    }),
  );
  return best;
}
