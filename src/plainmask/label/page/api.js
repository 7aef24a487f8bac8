// The server: requests, events, and strokes that leave in the order in which they were drawn.

/** The server said no. Its message is for the person. */
export class Refused extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

/** The server does not answer. */
export class Gone extends Error {}

let token = null; // of the tab that may write, where it is this one

/** @returns {Promise<Response>} one that is fine. */
export async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token && { "X-Writer": token }) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Gone("the server does not answer");
  }
  if (answer.ok) return answer;
  // A server that was started anew knows no writer; this tab stays it unless another is.
  if (answer.status === 423 && token && !options.again && (await claim())) {
    return ask(path, { ...options, again: true });
  }
  const { error = answer.statusText } = await answer.json().catch(() => ({}));
  throw new Refused(error, answer.status);
}

export const read = async (path) => (await ask(path)).json();

/** @param key of its own, where it may be sent again: the server does it once. */
export async function send(path, content = {}, key = null) {
  const headers = { "Content-Type": "application/json", ...(key && { "Idempotency-Key": key }) };
  return (await ask(path, { method: "POST", body: JSON.stringify(content), headers })).json();
}

export const of = (picture, what = "") => `api/pictures/${encodeURIComponent(picture)}${what}`;

/**
 * Ask to be the tab that writes; with `take`, in place of another.
 *
 * @returns {Promise<boolean>} whether it is this one.
 */
export async function claim(take = false) {
  const known = token ?? (await ownToken());
  token = (await send("api/writer", { writer: known, take })).writer;
  if (token && token !== known) await hold(token);
  return token !== null;
}

/** The token from before this page was loaded again; a copy of the tab that has it gets none. */
async function ownToken() {
  const kept = sessionStorage.getItem("writer");
  return kept && (await hold(kept)) ? kept : null;
}

async function hold(value) {
  sessionStorage.setItem("writer", value);
  const signal = AbortSignal.timeout(500);
  return new Promise((go) => {
    const forever = () => { go(true); return new Promise(() => {}); };
    navigator.locks.request(`plainmask ${value}`, { signal }, forever).catch(() => go(false));
  });
}

/** Let another tab write. */
export function leave() {
  if (token) navigator.sendBeacon("api/writer", JSON.stringify({ writer: token, leave: true }));
}

/** Call `take` with each event, `online` with whether the server is there. */
export function listen(take, online) {
  const source = new EventSource(`api/events${token ? `?writer=${encodeURIComponent(token)}` : ""}`);
  source.onopen = () => online(true);
  source.onerror = () => {
    online(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(take, online), 2000);
  };
  source.onmessage = (event) => take(JSON.parse(event.data));
}

const PATIENCE = [300, 1000, 2000, 4000]; // milliseconds until the next try

/** What is to be sent, one after the other; what fails for want of a server is sent again. */
export class Outbox {
  /** @param counted takes how many wait; `online`, whether the server answers them. */
  constructor(counted, online) { Object.assign(this, { waiting: [], idle: [], counted, online }); }

  /** @param work sends, by the key that it is given; `failed` takes what a server refuses. */
  push(work, failed) {
    this.waiting.push({ work, failed, key: crypto.randomUUID() });
    this.counted(this.waiting.length);
    if (this.waiting.length === 1) this.run();
  }

  async run() {
    for (let tries = 0; this.waiting.length;) {
      const { work, failed, key } = this.waiting[0];
      try {
        await work(key);
      } catch (error) {
        if (error instanceof Gone) {
          this.online(false);
          await new Promise((go) => setTimeout(go, PATIENCE[Math.min(tries++, PATIENCE.length - 1)]));
          continue;
        }
        failed(error);
      }
      if (tries) this.online(true);
      tries = 0;
      this.waiting.shift();
      this.counted(this.waiting.length);
    }
    this.idle.splice(0).forEach((go) => go());
  }

  /** Wait until nothing waits. */
  async empty() {
    if (this.waiting.length) await new Promise((go) => this.idle.push(go));
  }
}
