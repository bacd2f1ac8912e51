import { useEffect, useId, useRef, useState } from "preact/hooks";

import { address, type Client, Refused } from "../api/client";
import { bytes } from "../model/format";
import type { Range } from "../model/ranges";
import { Deed } from "../parts/deed";

const KINDS = [
  { value: "commands", label: "Commands" },
  { value: "agents", label: "Agent interactions" },
  { value: "productivity", label: "Productivity metrics" },
  { value: "sessions", label: "Sessions" },
] as const;
const FORMATS = [
  { value: "csv", label: "CSV" },
  { value: "ndjson", label: "NDJSON" },
  { value: "parquet", label: "Parquet" },
] as const;

interface Props {
  client: Client;
  range: Range;
  team: string | null;
  /** Where the range starts, in seconds since 1970. */
  from: number;
}

/** A button that opens a dialog, which downloads the events of the range that is shown. */
export function Export({ client, range, team, from }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const running = useRef<AbortController | null>(null);
  const [kind, setKind] = useState<string>(KINDS[0].value);
  const [format, setFormat] = useState<string>(FORMATS[0].value);
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState<{ text: string; fault: boolean } | null>(null);
  const title = useId();
  useEffect(() => () => running.current?.abort(), []);

  const download = async (event: Event) => {
    event.preventDefault();
    const abort = new AbortController();
    running.current = abort;
    setBusy(true);
    setSaid({ text: "The file is being made…", fault: false });
    const start_date = new Date(from * 1000).toISOString();
    try {
      const url = address(`/export/${format}`, { kind, start_date, team_id: team });
      const { name, content } = await client.file(url, abort.signal);
      save(name, content);
      setSaid({ text: `${name}, ${bytes(content.size)}`, fault: false });
    } catch (error) {
      const text = error instanceof Refused ? error.message : "The file broke off. Try again, or a shorter range.";
      if (!abort.signal.aborted) setSaid({ text, fault: true });
    }
    if (running.current === abort) setBusy(false);
  };
  const close = () => {
    running.current?.abort();
    running.current = null;
    setBusy(false);
    setSaid(null);
  };

  return (
    <>
      <button type="button" class="word" aria-haspopup="dialog" onClick={() => dialog.current?.showModal()}>
        Export
      </button>
      <dialog ref={dialog} class="export" aria-labelledby={title} onClose={close}>
        <form onSubmit={download}>
          <h2 id={title}>Export the {range.words}</h2>
          <p>One row for each event{team ? " of the team that is shown" : ""} which you may read.</p>
          <label>
            Events
            <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
              {KINDS.map(({ value, label }) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <label>
            Format
            <select value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
              {FORMATS.map(({ value, label }) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          <p class={said?.fault ? "said bad" : "said"} role="status">
            {said?.text}
          </p>
          <div class="deeds">
            <Deed type="submit" busy={busy}>
              Download
            </Deed>
            <button type="button" class="word" onClick={() => dialog.current?.close()}>
              Close
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}

/** As if a link had been followed, which could not carry the token. */
function save(name: string, content: Blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
