// The pasted token: where it is kept, and what it says of its bearer. The server alone judges
// it; what is read here only decides what is shown.

export type Role = "viewer" | "developer" | "manager" | "admin";

export interface Claims {
  user: string;
  organization: string;
  role: Role;
  /** When it ends, in milliseconds since 1970. */
  expires: number;
}

const KEY = "flowmeter.token";
const ROLES: readonly string[] = ["viewer", "developer", "manager", "admin"];

/** What a token claims, or null when it is none. */
export function claims(token: string): Claims | null {
  const payload = token.split(".")[1];
  if (!payload) return null;
  try {
    const bytes = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
    const { sub, organization_id, role, exp } = JSON.parse(bytes);
    const texts = [sub, organization_id].every((text) => typeof text === "string");
    if (!texts || !ROLES.includes(role) || typeof exp !== "number") return null;
    return { user: sub, organization: organization_id, role, expires: exp * 1000 };
  } catch {
    return null;
  }
}

/** Whether exports are offered: the server has none for viewers. */
export function mayExport({ role }: Claims): boolean {
  return role !== "viewer";
}

/** A pasted text without what copying adds: blanks, line ends, `Bearer`, `export …=`. */
export function tidy(text: string): string {
  const joined = text.replace(/^\s*(Bearer\s+|(export\s+)?\w+=)/, "");
  return joined.replace(/[\s"']/g, "");
}

export function kept(): string | null {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
}

/** Keeps a token for this tab, or for this browser. */
export function keep(token: string, remember: boolean): void {
  forget();
  (remember ? localStorage : sessionStorage).setItem(KEY, token);
}

export function forget(): void {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}
