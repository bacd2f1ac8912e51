// Calls of the query API.

const BASE = "/api/metrics";

export type Params = Record<string, string | number | null | undefined>;

/** An answer that is a problem (RFC 9457), or none at all. */
export class Refused extends Error {
  constructor(
    /** Of HTTP; 0 when there was no answer. */
    readonly status: number,
    readonly code: string,
    message: string,
    /** Milliseconds to wait before trying again, if the server said so. */
    readonly retryAfter: number | null,
  ) {
    super(message);
  }
}

export function address(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${BASE}${path}?${text}` : BASE + path;
}

export class Client {
  constructor(
    readonly token: string,
    /** Called when the server does not believe the token any more. */
    private readonly onExpired: () => void,
  ) {}

  get<T>(url: string, signal?: AbortSignal): Promise<T> {
    return this.send<T>(url, signal ? { signal } : {});
  }

  post<T>(url: string, body: unknown): Promise<T> {
    const headers = { "Content-Type": "application/json" };
    return this.send<T>(url, { method: "POST", body: JSON.stringify(body), headers });
  }

  /** A file, and the name that the server gives it. */
  async file(url: string, signal?: AbortSignal): Promise<{ name: string; content: Blob }> {
    const response = await this.ask(url, signal ? { signal } : {});
    const said = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
    return { name: said?.[1] ?? "flowmeter", content: await response.blob() };
  }

  private async send<T>(url: string, init: RequestInit): Promise<T> {
    return (await (await this.ask(url, init)).json()) as T;
  }

  private async ask(url: string, init: RequestInit): Promise<Response> {
    const headers = { ...init.headers, Authorization: `Bearer ${this.token}` };
    let response: Response;
    try {
      response = await fetch(url, { ...init, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Refused(0, "unreachable", "Flowmeter does not answer.", null);
    }
    // Health is told with 503 when something is down, and is an answer all the same.
    if (response.ok || url.endsWith("/health")) return response;
    const refused = await problem(response);
    if (refused.status === 401) this.onExpired();
    throw refused;
  }
}

async function problem(response: Response): Promise<Refused> {
  let body: { code?: string; title?: string; detail?: string } = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's page; the status says enough.
  }
  const message = body.detail ?? body.title ?? `The answer was ${response.status}.`;
  const after = Number(response.headers.get("Retry-After"));
  const retryAfter = after > 0 ? after * 1000 : null;
  return new Refused(response.status, body.code ?? "unknown", message, retryAfter);
}
