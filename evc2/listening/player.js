/* Building blocks of the screens. */
"use strict";

/* An element; strings become attributes, functions named on... listeners, other values properties. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/* A recording with its button; onplay(itself) before it plays, onplayed() after it was heard to its end. */
function player(url, label, key, onplay, onplayed) {
  const audio = new Audio(url);
  audio.preload = "auto";
  const bar = el("progress", { max: 1, value: 0, "aria-hidden": "true" });
  const word = el("span", {}, `Play ${label}`);
  const problem = el("p", { class: "bad", role: "alert" });
  const self = {
    plays: 0, heard: false,
    stop() { audio.pause(); audio.currentTime = 0; bar.value = 0; refresh(false); },
    toggle() {
      if (!audio.paused) return self.stop();
      onplay(self);
      problem.textContent = "";
      if (audio.error) audio.load();
      self.plays += 1;
      refresh(true);
      return audio.play().catch((error) => {
        if (error.name === "AbortError") return; // stopped before it began
        refresh(false);
        problem.textContent = "This recording cannot be played now. Please try again.";
      });
    },
  };
  const button = el("button", { type: "button", class: "play", onclick: self.toggle }, word,
    el("kbd", { "aria-hidden": "true" }, key.toUpperCase()));
  function refresh(playing) {
    word.textContent = `${playing ? "Stop" : self.heard ? "Replay" : "Play"} ${label}`;
    button.classList.toggle("playing", playing);
    button.classList.toggle("heard", self.heard);
  }
  audio.addEventListener("timeupdate", () => { if (audio.duration) bar.value = audio.currentTime / audio.duration; });
  audio.addEventListener("ended", () => {
    self.heard = true;
    bar.value = 1;
    refresh(false);
    onplayed();
  });
  self.node = el("div", { class: "player" }, button, bar, problem);
  self.heardBefore = () => { self.heard = true; refresh(false); };
  return self;
}
