// The range in one sentence, for whoever looks once.

import { change } from "./change";
import { count, money, percent } from "./format";
import type { Range } from "./ranges";
import { errorRate, type Totals } from "./rows";

/** A piece of a sentence; what is strong is a number to look at. */
export interface Piece {
  text: string;
  strong?: boolean;
}

/** What differs by less than this share is about the same. */
const ALIKE = 0.02;

const strong = (text: string): Piece => ({ text, strong: true });
const plain = (text: string): Piece => ({ text });

export function sentence(now: Totals, before: Totals | null, range: Range): Piece[] {
  const all = now.commands + now.agents;
  if (all === 0) return [plain(`Nothing was executed in the ${range.words}.`)];
  const pieces = [
    strong(count(now.commands)),
    plain(now.commands === 1 ? " command and " : " commands and "),
    strong(count(now.agents)),
    plain(` agent ${now.agents === 1 ? "interaction" : "interactions"} in the ${range.words}`),
    ...comparison(all, before, range),
  ];
  const rate = errorRate(now);
  if (rate === 0) pieces.push(plain(". None failed"));
  else pieces.push(plain(". "), strong(percent(rate)), plain(" failed"));
  if (now.cost > 0) pieces.push(plain(", and agents cost "), strong(money(now.cost)));
  pieces.push(plain("."));
  return pieces;
}

function comparison(all: number, before: Totals | null, range: Range): Piece[] {
  if (!before) return [];
  const earlier = before.commands + before.agents;
  const changed = change(all, earlier, "neither");
  if (!changed) return [];
  if (Math.abs(all / earlier - 1) < ALIKE) return [plain(`, about as many as in the ${range.before}`)];
  const more = changed.direction === "up" ? "more" : "fewer";
  const size = changed.text.startsWith("×")
    ? `${changed.text.slice(1)} times as many`
    : `${changed.text.slice(1)} ${more}`;
  return [plain(", "), strong(size), plain(changed.text.startsWith("×") ? ` as in the ${range.before}` : ` than in the ${range.before}`)];
}
