// A titled part of the page, and what stands there while its data is not to be had.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

import type { Refused } from "../api/client";
import type { Read } from "./read";

interface PanelProps {
  title: string;
  /** Beside the title: what the numbers mean, or a switch. */
  aside?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}

export function Panel({ title, aside, class: name, children }: PanelProps) {
  const id = useId();
  return (
    <section class={`panel ${name ?? ""}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** The answer once it is there; before that, and without it, why not. */
export function Answer<T>({ read, children }: { read: Read<T>; children: (value: T) => ComponentChildren }) {
  const { value, problem } = read;
  if (value === null) return problem ? <Excuse problem={problem} /> : <Waiting />;
  return (
    <>
      {problem && <Excuse problem={problem} stale />}
      {children(value)}
    </>
  );
}

export function Excuse({ problem, stale }: { problem: Refused; stale?: boolean }) {
  return (
    <p class="excuse">
      {excuse(problem)}
      {stale && " What is shown is the last answer."}
    </p>
  );
}

/** What a person is told of a problem. */
export function excuse({ status, message }: Refused): string {
  switch (status) {
    case 403:
      return "Your role does not include this.";
    case 404:
    case 405:
      return "This server does not offer this yet.";
    case 429:
      return "Your organization reads more than it may in a minute; this goes on by itself.";
    default:
      return message;
  }
}

function Waiting() {
  return (
    <div class="waiting" role="status">
      <span class="unseen">Loading</span>
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
