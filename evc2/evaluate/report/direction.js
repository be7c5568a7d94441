// Shows the blocks of the chosen direction only.
(() => {
  const select = document.getElementById("direction");
  if (!select) return;
  const blocks = document.querySelectorAll(".direction");
  const show = () => {
    for (const block of blocks) block.hidden = block.dataset.direction !== select.value;
  };
  select.addEventListener("change", show);
  select.closest(".chooser").hidden = false;
  show();
})();
