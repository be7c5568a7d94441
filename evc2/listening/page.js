/* The screens: welcome, what a test is about, one item a screen, the end. */
"use strict";

const main = document.getElementById("main");
const LISTENER = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
let session = null;
let items = [];
let place = 0;
let players = [];
let keys = () => false;
let shown = () => {};

function show(...nodes) {
  for (const player of players) player.stop();
  players = [];
  main.replaceChildren(...nodes);
  // Focus goes to the heading, so that keyboard and screen reader begin at the top of the new screen.
  const heading = main.querySelector("h1");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
  report();
}

function report() {
  const bar = document.getElementById("progress");
  bar.hidden = !session;
  let text = "";
  if (session) {
    const done = items.filter((item) => session.state.answers[item.id]).length;
    bar.max = items.length;
    bar.value = done;
    const waiting = session.state.pending.length;
    if (session.refused) text = `Not saved: ${session.refused}`;
    else if (session.failing) text = `Server out of reach; ${waiting} answers wait in this browser`;
    else if (waiting) text = "Saving ...";
    else if (done) text = SERVED ? "Saved" : "Saved in this browser";
  }
  const saved = document.getElementById("saved");
  if (saved.textContent !== text) saved.textContent = text;
  saved.classList.toggle("bad", Boolean(session && (session.failing || session.refused)));
  shown();
}

function welcome(message = "") {
  shown = () => {};
  session = null;
  const given = new URLSearchParams(location.search).get("listener") || "";
  const name = el("input", { id: "listener", name: "listener", maxlength: "64", autocomplete: "off", value: given,
    autocapitalize: "off", spellcheck: "false", "aria-describedby": "hint" });
  const agree = el("input", { id: "agree", type: "checkbox" });
  const problem = el("p", { class: "bad", role: "alert" }, message);
  const begin = el("button", { class: "main", type: "submit" }, "Begin");
  const form = el("form", {
    async onsubmit(event) {
      event.preventDefault();
      const id = name.value.trim() || `anonymous-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
      if (!LISTENER.test(id)) problem.textContent = "The id may have letters, digits, and _ . - after the first.";
      else if (!agree.checked) problem.textContent = "Please agree first, if you want to take part.";
      else {
        begin.disabled = true;
        await open(id, (text) => { problem.textContent = text; begin.disabled = false; });
      }
    },
  },
  el("label", { for: "listener" }, "Your id"),
  name,
  el("p", { id: "hint", class: "hint" }, "As you were told; leave it empty to take part without one."),
  el("label", { class: "check" }, agree, " I have read this, I am of age, and I agree to take part."),
  problem, begin);
  const contact = TEST.contact ? el("p", {}, `Questions: ${TEST.contact}`) : null;
  const lost = storage.kept ? null :
    el("p", { class: "bad" }, "This browser keeps no data, so a reload would lose your answers.");
  const size = items0().length;
  show(el("h1", {}, TEST.title), ...TEST.consent.map((text) => el("p", {}, text)), ...(contact ? [contact] : []),
    el("p", {}, `There are ${size} screens, about ${Math.max(1, Math.round(size * 0.3))} minutes. Please use ` +
      "headphones in a quiet place. You can close the page and go on later in this browser."),
    ...(lost ? [lost] : []), form);
}

const items0 = () => itemsOf("", 0);

async function open(id, fail) {
  try {
    session = await Session.open(id, () => report());
    items = itemsOf(session.state.listener, session.state.number);
    goOn();
  } catch (error) {
    session = null;
    fail(error instanceof Refused ? error.message : "The server does not answer. Please try again later.");
  }
}

function goOn() {
  const next = items.findIndex((item) => !session.state.answers[item.id]);
  if (next < 0) return end();
  place = next;
  return firstOfTest() ? about() : rate();
}

const firstOfTest = () => place === 0 || items[place - 1].test !== items[place].test;

function about() {
  shown = () => {};
  const { test } = items[place];
  const part = TEST.tests.indexOf(test) + 1;
  const digits = test.choices.map(([value]) => value);
  const practice = test.practice.length;
  show(el("p", { class: "part" }, `Part ${part} of ${TEST.tests.length}`), el("h1", {}, test.title),
    ...test.help.map((text) => el("p", {}, text)),
    el("p", {}, "Listen to each recording to its end at least once; then you can answer. You may listen again."),
    practice ? el("p", {}, `It begins with ${practice} screen${practice > 1 ? "s" : ""} for practice: ` +
      "set the volume there, then leave it as it is.") : "",
    el("p", { class: "hint keys" }, "Keyboard: ", ...test.keys.map((key) => el("kbd", {}, key.toUpperCase())),
      " play, ", el("kbd", {}, String(Math.min(...digits))), "–", el("kbd", {}, String(Math.max(...digits))), " answer, ",
      el("kbd", {}, "Enter"), " next"),
    el("div", { class: "buttons" },
      place ? el("button", { type: "button", onclick: () => { place -= 1; rate(); } }, "Back") : "",
      el("button", { class: "main", type: "button", onclick: rate }, practice ? "Practice" : "Start")));
}

function rate() {
  const { id, test, practice } = items[place];
  const before = session.state.answers[id];
  const began = performance.now();
  const own = TEST.items[id].audio.map((url, i) => player(url, test.clips[i], test.keys[i], alone, ready));
  if (before) own.forEach((one) => one.heardBefore());
  const choices = test.choices.map(([value, label]) => {
    const input = el("input", { type: "radio", name: "value", value: String(value), required: true,
      checked: before?.value === value, onchange: ready });
    return { key: String(value), input, node: el("label", {}, input, el("span", {}, label),
      el("kbd", { "aria-hidden": "true" }, String(value))) };
  });
  const answers = el("fieldset", { class: test.name }, el("legend", {}, test.question),
    ...choices.map((choice) => choice.node));
  const wait = el("p", { class: "hint", role: "status" });
  const next = el("button", { class: "main", type: "submit" }, "Next");
  const back = el("button", { type: "button", disabled: place === 0, onclick() { place -= 1; rate(); } }, "Back");
  function alone(one) {
    for (const other of own) if (other !== one) other.stop();
  }
  function ready() {
    answers.disabled = !own.every((one) => one.heard);
    wait.textContent = answers.disabled ? `Please listen to ${own.length > 1 ? "all recordings" : "the recording"}.` : "";
    next.disabled = answers.disabled || !choices.some((choice) => choice.input.checked);
  }
  const inTest = items.filter((item) => item.test === test && item.practice === practice);
  const count = `${inTest.findIndex((item) => item.id === id) + 1} of ${inTest.length}`;
  const form = el("form", { onsubmit(event) {
    event.preventDefault();
    if (next.disabled) return;
    const value = Number(choices.find((choice) => choice.input.checked).input.value);
    const plays = own.reduce((sum, one) => sum + one.plays, 0);
    session.answer(id, value, plays, Math.round((performance.now() - began) / 100) / 10);
    place += 1;
    if (place === items.length) goOn();
    else if (firstOfTest()) about();
    else rate();
  } }, el("div", { class: "players" }, ...own.map((one) => one.node)), wait, answers,
  el("div", { class: "buttons" }, back, next));
  shown = () => {};
  show(el("p", { class: "part" }, `${test.title}${practice ? ", practice (does not count)" : ""}`),
    el("h1", {}, `${practice ? "Practice" : "Item"} ${count}`), form);
  players = own;
  keys = (key) => {
    const clip = test.keys.indexOf(key);
    if (clip >= 0) own[clip].toggle();
    const choice = choices.find((one) => one.key === key);
    if (choice && !answers.disabled) choice.input.click();
    return clip >= 0 || Boolean(choice);
  };
  ready();
}

document.addEventListener("keydown", (event) => {
  if (!players.length || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const onHeading = document.activeElement === document.body || document.activeElement?.tagName === "H1";
  if (keys(event.key.toLowerCase())) event.preventDefault();
  else if (event.key === "Enter" && onHeading) main.querySelector("form").requestSubmit();
});

function download(name, type, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function end() {
  const name = `answers-${session.state.listener}`;
  const get = (kind, type, text) => el("button", { type: "button", class: SERVED ? "" : "main",
    onclick() { download(`${name}.${kind}`, type, text()); done = true; report(); } }, `Download ${kind.toUpperCase()}`);
  let done = false;
  const state = el("p", {});
  const other = el("button", { type: "button", onclick() {
    session.leave();
    history.replaceState(null, "", location.pathname);
    welcome();
  } }, "Next listener");
  const files = el("div", { class: "buttons" }, get("json", "application/json", () => session.json()),
    get("csv", "text/csv", () => session.csv()));
  show(el("h1", {}, "Thank you!"), state, files, el("div", { class: "buttons" },
    el("button", { type: "button", onclick() { place = items.length - 1; rate(); } }, "Back"), other));
  shown = () => {
    const safe = SERVED ? !session.state.pending.length : done;
    files.hidden = SERVED && safe;
    other.disabled = !safe;
    if (!SERVED) state.textContent = "Please download your answers and send the file to the organiser.";
    else if (safe) state.textContent = "All answers are saved. You can close this page.";
    else state.textContent = "Some answers have not reached the server. Keep this page open, or download them.";
  };
  shown();
}

addEventListener("beforeunload", (event) => {
  if (session?.state.pending.length && !storage.kept) event.preventDefault();
});
addEventListener("online", () => session?.flush());

(async () => {
  const stored = Session.stored();
  const given = new URLSearchParams(location.search).get("listener");
  if (stored && (!given || given === stored.listener)) {
    await open(stored.listener, (text) => welcome(text));
  } else welcome();
})();
