import { useEffect, useMemo, useState } from "preact/hooks";

import { Client } from "./api/client";
import { claims, forget, keep, kept } from "./api/token";
import { Board } from "./board";
import { SignIn } from "./signin";

/** The longest time a timer takes, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The dashboard, or before it the sign-in. What is looked at stays in the address meanwhile. */
export function App() {
  const [token, setToken] = useState(kept);
  const [expired, setExpired] = useState(false);

  const end = (isExpired: boolean) => {
    forget();
    setToken(null);
    setExpired(isExpired);
  };
  const known = useMemo(() => token && claims(token), [token]);
  const client = useMemo(() => token && new Client(token, () => end(true)), [token]);

  useEffect(() => {
    if (!known) return;
    const left = Math.max(0, known.expires - Date.now());
    const timer = setTimeout(() => end(true), Math.min(left, LONGEST_TIMER));
    return () => clearTimeout(timer);
  }, [known]);

  if (!known || !client) {
    const signIn = (fresh: string, remember: boolean) => {
      keep(fresh, remember);
      setExpired(false);
      setToken(fresh);
    };
    return <SignIn expired={expired} onToken={signIn} />;
  }
  return <Board client={client} claims={known} onLeave={() => end(false)} />;
}
