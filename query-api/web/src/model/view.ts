// What is looked at, kept in the address so that it can be sent to others and outlives a
// new sign-in.

import { rangeNamed, type Range } from "./ranges";

export interface View {
  range: Range;
  /** A team's id, or null for all. */
  team: string | null;
  /** Whose execution times are shown. */
  kind: "commands" | "agents";
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function read(search: string): View {
  const query = new URLSearchParams(search);
  const team = query.get("team");
  return {
    range: rangeNamed(query.get("range")),
    team: team && UUID.test(team) ? team : null,
    kind: query.get("kind") === "agents" ? "agents" : "commands",
  };
}

/** As a query string; what is so by default is left out. */
export function write(view: View): string {
  const query = new URLSearchParams();
  if (view.range.name !== "1d") query.set("range", view.range.name);
  if (view.team) query.set("team", view.team);
  if (view.kind !== "commands") query.set("kind", view.kind);
  const text = query.toString();
  return text ? `?${text}` : "";
}
