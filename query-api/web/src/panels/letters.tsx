import { useEffect, useRef, useState } from "preact/hooks";

import { address, Refused, type Client } from "../api/client";
import type { DeadLetters, LetterGroup, Replay } from "../api/types";
import { ago, exact, words } from "../model/format";
import { Deed } from "../parts/deed";
import { Answer, Empty, excuse, Panel } from "../parts/panel";
import { useNow, useRead } from "../parts/read";

const EVERY = 60_000;
/** The most letters of one replay, as the server has it. */
const AT_ONCE = 10_000;

/** Refused records by reason, and how to send them again. */
export function Letters({ client }: { client: Client }) {
  const letters = useRead<DeadLetters>(client, address("/dead-letters", { limit: 1 }), EVERY);
  const [chosen, setChosen] = useState<LetterGroup | null>(null);
  const now = useNow(30_000);
  return (
    <Panel title="Dead letters" aside="refused in the last 7 days, kept whole" class="letters">
      <Answer read={letters}>
        {({ groups }) =>
          groups.length === 0 ? (
            <Empty>Nothing was refused.</Empty>
          ) : (
            <table class="ranking">
              <caption class="unseen">Refused records by reason</caption>
              <thead>
                <tr>
                  <th scope="col">Reason</th>
                  <th scope="col">Letters</th>
                  <th scope="col">Last</th>
                  <th scope="col">
                    <span class="unseen">Replay</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {groups.map((group) => (
                  <tr key={[group.reason, group.client, group.topic].join()}>
                    <th scope="row" title={group.topic}>
                      <span class="name">{words(group.reason)}</span>
                      <span class="sub">{group.client ?? "unknown client"}</span>
                    </th>
                    <td>
                      {exact(group.count)}
                      {group.replayed > 0 && <span class="sub">{exact(group.replayed)} replayed</span>}
                    </td>
                    <td>{ago(group.last_at, now)}</td>
                    <td>
                      <button type="button" class="word" onClick={() => setChosen(group)}>
                        Try replay
                        <span class="unseen"> of {words(group.reason)}</span>
                      </button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Answer>
      {chosen && (
        <Dialog
          client={client}
          group={chosen}
          onClose={() => {
            setChosen(null);
            letters.again();
          }}
        />
      )}
    </Panel>
  );
}

interface DialogProps {
  client: Client;
  group: LetterGroup;
  onClose(): void;
}

/** First what would happen, then the deed. */
function Dialog({ client, group, onClose }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [tried, setTried] = useState<Replay | null>(null);
  const [done, setDone] = useState<Replay | null>(null);
  const [busy, setBusy] = useState(true);
  const [fault, setFault] = useState<string | null>(null);

  const replay = async (dryRun: boolean) => {
    setBusy(true);
    setFault(null);
    try {
      const { reason, topic, client: sender } = group;
      const body = { dry_run: dryRun, reason, topic, client: sender ?? "unknown", limit: AT_ONCE };
      const answer = await client.post<Replay>(address("/dead-letters/replay"), body);
      (dryRun ? setTried : setDone)(answer);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setFault(excuse(error));
    }
    setBusy(false);
  };

  useEffect(() => {
    dialog.current?.showModal();
    void replay(true);
  }, []);

  const stuck = tried ? tried.not_replayable.reduce((sum, { count }) => sum + count, 0) : 0;
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="replay-title">
      <h2 id="replay-title">Send refused records again</h2>
      <p>
        <b>{words(group.reason)}</b>, from {group.client ?? "an unknown client"}, on <code>{group.topic}</code>
      </p>
      <p role="status" class="outcome">
        {busy && (tried ? "Sending…" : "Trying what would happen…")}
        {!busy && fault}
        {!busy && !fault && done && outcome(done)}
        {!busy && !fault && tried && !done && (
          <>
            Dry run: <b>{exact(tried.matched)}</b> would be sent again
            {stuck > 0 && `, ${exact(stuck)} cannot be`}. Nothing was changed.
          </>
        )}
      </p>
      <form method="dialog" class="actions">
        <button type="submit">{done ? "Close" : "Leave them"}</button>
        {tried && !done && tried.matched > 0 && (
          <Deed busy={busy} onClick={() => void replay(false)}>
            Send {exact(tried.matched)} again
          </Deed>
        )}
      </form>
    </dialog>
  );
}

function outcome({ replayed, skipped, interrupted }: Replay): string {
  const sent = `${exact(replayed)} were sent again.`;
  const left = skipped.length > 0 ? ` Kafka did not take ${exact(skipped.length)}.` : "";
  return sent + left + (interrupted ? " Time was up before the end; the rest is still there." : "");
}
