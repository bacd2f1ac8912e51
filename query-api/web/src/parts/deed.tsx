import type { ComponentChildren } from "preact";

interface Props {
  type?: "button" | "submit";
  /** Whether it is being done. */
  busy: boolean;
  onClick?(): void;
  children: ComponentChildren;
}

/**
 * A button for what takes a while. While it is busy it does nothing, but whoever uses the keys
 * is still at it, which one that is `disabled` would not allow.
 */
export function Deed({ type = "button", busy, onClick, children }: Props) {
  // Enter within a form clicks its submit button, too.
  const click = (event: Event) => (busy ? event.preventDefault() : onClick?.());
  return (
    <button type={type} class="deed" aria-disabled={busy} onClick={click}>
      {children}
    </button>
  );
}
