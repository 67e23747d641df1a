// What the console asks of the venue: a login, requests, and the event stream.
//
// The token lives in this tab's session storage and goes only into the Authorization header. It is
// renewed before it ends for as long as the page is open.

const BASE = "/api/v1";
const KEPT = "trading-engine.login";
/** Renew when less than this is left of a token, milliseconds. */
const RENEW_BEFORE = 60_000;

/** An answer that is not what was asked for: its status and what the venue says about it. */
export class Problem extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `the venue answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export class Api {
  #login = null;
  #timer = 0;

  /** `ended(why)` is called when the login is over. */
  constructor(ended) {
    this.ended = ended;
    try {
      this.#login = JSON.parse(sessionStorage.getItem(KEPT));
    } catch {
      this.#login = null;
    }
    if (this.#login && !(this.#login.expires_at * 1000 > Date.now())) this.#login = null;
    if (this.#login) this.#plan();
  }

  /** Who is logged in: `{username, role}`, or null. */
  get who() {
    return this.#login && { username: this.#login.username, role: this.#login.role };
  }

  async login(username, password) {
    const answer = await this.#send("POST", "/login", { username, password });
    this.#keep({ ...answer, username });
  }

  logout(why = "") {
    clearTimeout(this.#timer);
    this.#login = null;
    sessionStorage.removeItem(KEPT);
    this.ended(why);
  }

  get(path) {
    return this.#send("GET", path);
  }

  send(method, path, body) {
    return this.#send(method, path, body ?? {});
  }

  /**
   * Reads server-sent events until the signal aborts or the stream ends. EventSource cannot send
   * headers, so this reads the body itself.
   */
  async stream(path, signal, onEvent) {
    const response = await fetch(BASE + path, { headers: this.#headers({ Accept: "text/event-stream" }), signal, cache: "no-store" });
    if (!response.ok) throw await this.#problem(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      let end;
      while ((end = rest.search(/\r?\n\r?\n/)) >= 0) {
        const block = rest.slice(0, end);
        rest = rest.slice(end).replace(/^\r?\n\r?\n/, "");
        let event = "message";
        const data = [];
        for (const line of block.split(/\r?\n/)) {
          if (line.startsWith("event:")) event = line.slice(6).trim();
          else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
        }
        if (data.length) onEvent(event, JSON.parse(data.join("\n")));
      }
    }
  }

  #headers(more) {
    return this.#login ? { ...more, Authorization: `Bearer ${this.#login.token}` } : more;
  }

  async #send(method, path, body) {
    const headers = this.#headers(body === undefined ? {} : { "Content-Type": "application/json" });
    const response = await fetch(BASE + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
    if (!response.ok) throw await this.#problem(response);
    return response.status === 204 ? null : response.json();
  }

  async #problem(response) {
    const problem = await response.json().catch(() => null);
    if (response.status === 401 && this.#login) this.logout("Your login has ended.");
    return new Problem(response.status, problem);
  }

  #keep(login) {
    this.#login = login;
    sessionStorage.setItem(KEPT, JSON.stringify(login));
    this.#plan();
  }

  #plan() {
    clearTimeout(this.#timer);
    const left = this.#login.expires_at * 1000 - Date.now() - RENEW_BEFORE;
    this.#timer = setTimeout(() => this.#renew(), Math.max(left, 1_000));
  }

  async #renew() {
    try {
      const answer = await this.#send("POST", "/token/refresh", {});
      if (this.#login) this.#keep({ ...this.#login, ...answer });
    } catch {
      // A 401 has logged out already; the venue may be restarting, so try again while it holds.
      if (this.#login) this.#timer = setTimeout(() => this.#renew(), 5_000);
    }
  }
}
