// Makes the heads of columns into buttons that sort their table; cells without a value stay at the end.
(() => {
  const key = (row, column) => row.children[column]?.dataset.value;

  // Rows that only say something about the row above stay with it.
  const groups = (body) => {
    const found = [];
    for (const row of body.rows) {
      if (row.classList.contains("note") && found.length) found[found.length - 1].push(row);
      else found.push([row]);
    }
    return found;
  };

  const sort = (table, head, column) => {
    const now = head.getAttribute("aria-sort");
    const opposite = { ascending: "descending", descending: "ascending" };
    const order = opposite[now] || head.dataset.sort;
    const sign = order === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const sorted = groups(body).map((rows, place) => ({ rows, place, value: key(rows[0], column) }));
    const text = column === 0;
    sorted.sort((a, b) => {
      if (a.value === undefined || b.value === undefined) {
        return (a.value === undefined) - (b.value === undefined) || a.place - b.place;
      }
      const difference = text ? a.value.localeCompare(b.value, "en") : Number(a.value) - Number(b.value);
      return sign * difference || a.place - b.place;
    });
    for (const { rows } of sorted) body.append(...rows);
    for (const other of table.tHead.rows[0].children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
  };

  for (const table of document.querySelectorAll("table.scores")) {
    [...table.tHead.rows[0].children].forEach((head, column) => {
      if (!head.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(table, head, column));
    });
  }
})();
