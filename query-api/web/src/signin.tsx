import { useEffect, useRef, useState } from "preact/hooks";

import { address, Client, Refused } from "./api/client";
import { claims, tidy } from "./api/token";
import { Deed } from "./parts/deed";
import { Logo } from "./parts/logo";

interface Props {
  expired: boolean;
  onToken(token: string, remember: boolean): void;
}

export function SignIn({ expired, onToken }: Props) {
  const [text, setText] = useState("");
  const [remember, setRemember] = useState(false);
  const [fault, setFault] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);

  const submit = async (event: Event) => {
    event.preventDefault();
    const token = tidy(text);
    setBusy(true);
    const found = await check(token);
    setBusy(false);
    setFault(found);
    if (found) input.current?.focus();
    else onToken(token, remember);
  };

  return (
    <main class="signin">
      <form onSubmit={submit} noValidate>
        <h1>
          <Logo /> Flowmeter
        </h1>
        <p class="lead">What AI-assisted development does, whether it works, and what it costs.</p>
        {expired && <p class="expired" role="status">Your token has ended. Sign in again to go on where you were.</p>}
        <label for="token">Token</label>
        <input
          id="token"
          ref={input}
          type="password"
          autoComplete="off"
          spellcheck={false}
          value={text}
          aria-invalid={fault !== null}
          aria-describedby="token-fault token-help"
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <p id="token-fault" class="fault" role="alert">
          {fault}
        </p>
        <label class="check">
          <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.currentTarget.checked)} />
          Remember it on this device
        </label>
        <Deed type="submit" busy={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </Deed>
        <p id="token-help" class="help">
          A JWT of your organization. <code>make run</code> prints one, and <code>flowmeter token</code> makes one. It
          stays in this tab unless you have it remembered.
        </p>
      </form>
    </main>
  );
}

/** What is wrong with a token, asking the server last. */
async function check(token: string): Promise<string | null> {
  if (!token) return "Paste a token first.";
  const said = claims(token);
  if (!said) return "This is not a token of Flowmeter: it has three parts with dots between, and names an organization and a role.";
  if (said.expires <= Date.now()) return "This token has ended. Ask for a new one.";
  try {
    await new Client(token, () => {}).get(address("/aggregated", { limit: 1 }));
    return null;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return "Flowmeter does not believe this token.";
    return error.message;
  }
}
