// One player at a time; the play head moves over the picture, and a click into the picture moves the player.
(() => {
  const load = (box) => {
    for (const audio of box.querySelectorAll("audio")) audio.preload = "metadata";
  };
  for (const box of document.querySelectorAll("details.trial")) {
    // Not before the page itself is there: it would wait for them.
    if (box.open) addEventListener("load", () => load(box));
    box.addEventListener("toggle", () => {
      if (box.open) load(box);
      else for (const audio of box.querySelectorAll("audio")) audio.pause();
    });
  }

  const move = (audio) => {
    const picture = audio.closest(".card").querySelector(".spectrogram");
    const head = picture?.querySelector(".head");
    if (!head) return;
    const x = audio.currentTime * Number(picture.dataset.units);
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
    head.classList.toggle("shown", audio.currentTime > 0);
    if (!audio.paused) requestAnimationFrame(() => move(audio));
  };
  // Events of players do not bubble, but they are seen on their way down.
  document.addEventListener("play", (event) => {
    for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
    move(event.target);
  }, true);
  for (const name of ["pause", "seeked"]) document.addEventListener(name, (event) => move(event.target), true);

  for (const picture of document.querySelectorAll(".spectrogram")) {
    picture.addEventListener("click", (event) => {
      const audio = picture.closest(".card").querySelector("audio");
      const box = picture.getBoundingClientRect();
      const width = picture.viewBox.baseVal.width / Number(picture.dataset.units);
      const seconds = ((event.clientX - box.left) / box.width) * width;
      audio.preload = "metadata";
      const seek = () => { audio.currentTime = Math.min(seconds, audio.duration); };
      if (audio.readyState > 0) seek();
      else audio.addEventListener("loadedmetadata", seek, { once: true });
    });
  }

  const contours = document.getElementById("contours");
  const listen = document.getElementById("listen");
  contours?.addEventListener("change", () => listen.classList.toggle("bare", !contours.checked));
})();
