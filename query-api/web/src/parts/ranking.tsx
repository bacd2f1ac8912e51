// A table of names with figures, sorted by any of them.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { Empty } from "./panel";

export interface Column<T> {
  title: string;
  value(row: T): number | null;
  show(row: T): ComponentChildren;
}

interface Props<T> {
  caption: string;
  rows: readonly T[];
  /** The first is what rows are sorted by at first, and what their bars show. */
  columns: readonly [Column<T>, ...Column<T>[]];
  /** What the names are. */
  of: string;
  name(row: T): ComponentChildren;
  id(row: T): string;
  color: string;
}

const SHORT = 8;

export function Ranking<T>({ caption, rows, columns, of, name, id, color }: Props<T>) {
  const [by, setBy] = useState(0);
  const [all, setAll] = useState(false);
  if (rows.length === 0) return <Empty>None in this time.</Empty>;
  const key = (columns[by] ?? columns[0]).value;
  const sorted = rows.toSorted((a, b) => (key(b) ?? -1) - (key(a) ?? -1));
  const most = Math.max(...rows.map((row) => columns[0].value(row) ?? 0));
  const shown = all ? sorted : sorted.slice(0, SHORT);
  return (
    <>
      <table class="ranking">
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{of}</th>
            {columns.map((column, i) => (
              <th scope="col" key={column.title} aria-sort={i === by ? "descending" : "none"}>
                <button type="button" onClick={() => setBy(i)}>
                  {column.title}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={id(row)}>
              <th scope="row">
                {name(row)}
                <Bar share={most > 0 ? (columns[0].value(row) ?? 0) / most : 0} color={color} />
              </th>
              {columns.map((column) => (
                <td key={column.title}>{column.show(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > SHORT && (
        <button type="button" class="more" onClick={() => setAll(!all)}>
          {all ? "Fewer" : `All ${rows.length}`}
        </button>
      )}
    </>
  );
}

export function Bar({ share, color }: { share: number; color: string }) {
  return (
    <span class="bar" aria-hidden="true">
      <span style={{ width: `${share * 100}%`, background: `var(--${color})` }} />
    </span>
  );
}
