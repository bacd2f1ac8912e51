import type { ComponentChildren } from "preact";

import type { Claims } from "./api/token";
import { shortId } from "./model/format";
import { RANGES, rangeNamed } from "./model/ranges";
import type { View } from "./model/view";
import { Choice } from "./parts/choice";
import { Logo } from "./parts/logo";
import type { Mode } from "./parts/series";
import type { Theme } from "./parts/theme";

interface Props {
  claims: Claims;
  view: View;
  onView(view: View): void;
  teams: readonly string[];
  mode: Mode;
  live: boolean;
  onLive(): void;
  theme: Theme;
  onTheme(): void;
  onLeave(): void;
  /** More that can be done. */
  children?: ComponentChildren;
}

const MODES: Record<Mode, { label: string; title: string }> = {
  live: { label: "Live", title: "Every change comes as it happens" },
  polling: { label: "Every 5 s", title: "There is no live stream now; the newest numbers are asked for" },
  connecting: { label: "Connecting", title: "The live stream is being opened" },
  paused: { label: "Paused", title: "The numbers stand still" },
};

export function Top(props: Props) {
  const { claims, view, onView, teams, mode, live, theme } = props;
  // One that is in the address is offered, also when it did nothing lately.
  const offered = view.team && !teams.includes(view.team) ? [view.team, ...teams] : teams;
  return (
    <header class="top">
      <a class="skip" href="#main">
        To the content
      </a>
      <span class="brand">
        <Logo /> Flowmeter
      </span>
      <Choice
        legend="Time range"
        options={RANGES.map(({ name, label }) => ({ value: name, label }))}
        value={view.range.name}
        onChange={(name) => onView({ ...view, range: rangeNamed(name) })}
      />
      <label class="team">
        <span class="unseen">Team</span>
        <select
          value={view.team ?? ""}
          onChange={(event) => onView({ ...view, team: event.currentTarget.value || null })}
        >
          <option value="">All teams</option>
          {offered.map((id) => (
            <option key={id} value={id}>
              Team {shortId(id)}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        class={`mode ${mode}`}
        aria-pressed={live}
        aria-label={`Live updates: ${MODES[mode].label}`}
        title={`${MODES[mode].title}. ${live ? "Press to pause." : "Press to go on."}`}
        onClick={props.onLive}
      >
        <span class="dot" aria-hidden="true" />
        {MODES[mode].label}
      </button>
      <span class="who" title={`User ${claims.user}\nOrganization ${claims.organization}`}>
        <b>{claims.role}</b> <span class="where">of organization {shortId(claims.organization)}</span>
      </span>
      {props.children}
      <button type="button" class="word" onClick={props.onTheme} aria-label={`Use ${theme === "dark" ? "light" : "dark"} colours`}>
        {theme === "dark" ? "Light" : "Dark"}
      </button>
      <a class="word" href="/api/docs">
        API
      </a>
      <button type="button" class="word" onClick={props.onLeave}>
        Sign out
      </button>
    </header>
  );
}
