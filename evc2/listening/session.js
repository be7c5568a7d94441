/* What a listener has answered: kept in the browser, sent to the server where there is one. */
"use strict";

const TEST = JSON.parse(document.getElementById("test").textContent);
const SERVED = document.documentElement.dataset.server === "true";
const RETRY_MS = 4000;

/* The same as order_key in rotation.py: FNV-1a with MurmurHash3's final mixing, 32 bits. */
function orderKey(text) {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/* Items of a listener, test by test: [{id, test, practice}]. */
function itemsOf(listener, number) {
  const items = [];
  for (const test of TEST.tests) {
    const key = new Map();
    const own = test.shares[number % test.shares.length].slice();
    for (const id of own) key.set(id, orderKey(`${TEST.id} ${listener} ${id}`));
    own.sort((a, b) => key.get(a) - key.get(b) || (a < b ? -1 : 1));
    for (const id of test.practice) items.push({ id, test, practice: true });
    for (const id of own) items.push({ id, test, practice: false });
  }
  return items;
}

/* localStorage, or memory where the browser forbids it. */
const storage = (() => {
  const prefix = `evc2-listening:${TEST.id}:`;
  const memory = new Map();
  let kept = true;
  try {
    localStorage.setItem(prefix + "try", "1");
    localStorage.removeItem(prefix + "try");
  } catch {
    kept = false;
  }
  return {
    kept,
    get(name) {
      const text = kept ? localStorage.getItem(prefix + name) : memory.get(name);
      try { return text ? JSON.parse(text) : null; } catch { return null; }
    },
    set(name, value) {
      const text = JSON.stringify(value);
      memory.set(name, text);
      if (!kept) return;
      try { localStorage.setItem(prefix + name, text); } catch { kept = false; }
    },
    remove(name) {
      memory.delete(name);
      if (kept) localStorage.removeItem(prefix + name);
    },
  };
})();

class Refused extends Error {}

async function post(path, body) {
  const reply = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const found = await reply.json();
  if (reply.ok) return found;
  // A server in trouble (5xx) may recover; what it refuses (4xx) it will refuse again.
  throw reply.status < 500 ? new Refused(found.error) : new Error(found.error);
}

class Session {
  /* onchange(): called when what is saved, or not yet, has changed. */
  constructor(state, onchange) {
    this.state = state;
    this.onchange = onchange;
    this.refused = "";
    this.sending = false;
    this.failing = false;
    this.timer = 0;
  }

  static stored() {
    const name = storage.get("current");
    return name ? storage.get(`listener:${name}`) : null;
  }

  /* Begin, or go on, as a listener. Throws Refused, or the network's error where nothing is stored yet. */
  static async open(listener, onchange) {
    const state = storage.get(`listener:${listener}`) ||
      { listener, number: orderKey(`${TEST.id} ${listener}`), token: null, answers: {}, pending: [] };
    const session = new Session(state, onchange);
    if (SERVED) await session.enter();
    session.keep();
    storage.set("current", listener);
    session.flush();
    return session;
  }

  async enter() {
    const { state } = this;
    try {
      const found = await post("api/session", { listener: state.listener, consent: true, token: state.token });
      state.number = found.number;
      state.token = found.token;
      const mine = new Set(itemsOf(state.listener, state.number).map((item) => item.id));
      for (const id of Object.keys(state.answers)) if (!mine.has(id)) delete state.answers[id];
      for (const [id, answer] of Object.entries(found.answers)) if (!state.answers[id]) state.answers[id] = answer;
      state.pending = Object.keys(state.answers).filter((id) => found.answers[id]?.value !== state.answers[id].value);
    } catch (error) {
      if (error instanceof Refused || !state.token) throw error;
      this.failing = true;
    }
  }

  answer(id, value, plays, seconds) {
    const before = this.state.answers[id];
    if (before && before.value === value) return;
    this.state.answers[id] = { value, plays, seconds, changes: before ? before.changes + 1 : 0 };
    if (SERVED && !this.state.pending.includes(id)) this.state.pending.push(id);
    this.keep();
    this.flush();
  }

  keep() {
    storage.set(`listener:${this.state.listener}`, this.state);
    this.onchange(this);
  }

  async flush() {
    if (!SERVED || this.sending || this.refused) return;
    this.sending = true;
    clearTimeout(this.timer);
    const { state } = this;
    try {
      while (state.pending.length) {
        const id = state.pending[0];
        const { value, plays, seconds } = state.answers[id];
        await post("api/answer", { listener: state.listener, token: state.token, item: id, value, plays, seconds });
        // The answer may have been changed while it was on its way; then it is sent again.
        if (state.answers[id].value === value) state.pending = state.pending.filter((other) => other !== id);
        this.failing = false;
        this.keep();
      }
      this.failing = false;
    } catch (error) {
      if (error instanceof Refused) this.refused = error.message;
      else this.timer = setTimeout(() => this.flush(), RETRY_MS);
      this.failing = true;
    }
    this.sending = false;
    this.onchange(this);
  }

  /* Forget this listener in the browser, so that the next one can begin. */
  leave() {
    storage.remove(`listener:${this.state.listener}`);
    storage.remove("current");
  }

  rows() {
    return Object.entries(this.state.answers).map(([item, answer]) => ({ item, ...answer }));
  }

  json() {
    const { listener, number } = this.state;
    const head = { format: "evc2-listening-answers", version: 1, test: TEST.id, listener, number };
    return JSON.stringify({ ...head, answers: this.rows() }, null, 1);
  }

  csv() {
    const { listener, number } = this.state;
    const rows = this.rows().map((r) =>
      [TEST.id, listener, number, r.item, r.value, r.plays, r.seconds, r.changes].join(","));
    return ["test,listener,number,item,value,plays,seconds,changes", ...rows, ""].join("\n");
  }
}
