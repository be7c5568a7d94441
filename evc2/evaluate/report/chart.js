// Bars of one metric, a panel a direction, all on one scale that contains zero.
(() => {
  const data = JSON.parse(document.getElementById("figures").textContent);
  const select = document.getElementById("metric");
  const panels = document.getElementById("panels");
  const names = Object.keys(data.metrics);
  if (!select || !names.length) return;
  const cells = new Map(data.cells.map((cell) => [JSON.stringify(cell.slice(0, 3)), cell]));
  const ROW = 26, TOP = 4, FOOT = 22, GAP = 8;

  const find = (direction, system, metric) => {
    const cell = cells.get(JSON.stringify([direction, system, metric]));
    if (!cell || cell[4] === null) return null;
    const [, , , n, mean, low, high] = cell;
    return { n, mean, low, high };
  };
  const print = (value, metric) => value.toFixed(data.metrics[metric].digits).replace("-", "\u2212");
  const words = (found, metric) => {
    if (!found) return "no value";
    const span = found.low === null ? "" : ` (${print(found.low, metric)} to ${print(found.high, metric)})`;
    return `${print(found.mean, metric)}${span}${found.n < 20 ? " *" : ""}`;
  };
  const make = (name, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const element = (name, text, attributes = {}) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  // Round steps, about six of them, that cover the values and zero.
  const scale = (values) => {
    const low = Math.min(0, ...values), high = Math.max(0, ...values);
    const rough = (high - low || 1) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((k) => k * power >= rough) * power;
    const first = Math.floor(low / step + 1e-9), last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
    const ticks = Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
    return { ticks, low: ticks[0], high: ticks[ticks.length - 1] };
  };

  const panel = (direction, title, metric, axis, width) => {
    const narrow = width < 460;
    const longest = Math.max(...data.systems.map(([name]) => name.length));
    const left = narrow ? GAP : Math.min(0.42 * width, 7.4 * longest + 16);
    const right = 86, rowHeight = narrow ? ROW + 16 : ROW;
    const height = TOP + data.systems.length * rowHeight + FOOT;
    const x = (value) => left + ((value - axis.low) / (axis.high - axis.low)) * (width - left - right);
    const spoken = data.systems.map(([name]) => `${name} ${words(find(direction, name, metric), metric)}`);
    const svg = make("svg", {
      width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `${data.metrics[metric].title}, ${title}: ${spoken.join("; ")}`,
    });
    for (const tick of axis.ticks) {
      svg.append(make("line", { x1: x(tick), x2: x(tick), y1: 0, y2: height - FOOT, class: tick === 0 ? "zero" : "tick" }));
      svg.append(make("text", { x: x(tick), y: height - 6, "text-anchor": "middle", class: "tick" }, String(tick).replace("-", "\u2212")));
    }
    data.systems.forEach(([name, anchor], k) => {
      const found = find(direction, name, metric);
      const top = TOP + k * rowHeight + (narrow ? 16 : 0);
      const middle = top + ROW / 2;
      const most = Math.max(8, Math.floor((narrow ? width - GAP : left - 12) / 7.2));
      const label = name.length > most ? `${name.slice(0, most - 1)}\u2026` : name;
      svg.append(make("text", narrow ? { x: left, y: top - 2 } : { x: left - GAP, y: middle + 4, "text-anchor": "end" }, label));
      if (!found) {
        svg.append(make("text", { x: x(0) + 6, y: middle + 4, class: "value" }, "\u2013"));
        return;
      }
      const ends = [x(0), x(found.mean)].sort((a, b) => a - b);
      svg.append(make("rect", { x: ends[0], y: top + 5, width: ends[1] - ends[0], height: ROW - 10, class: anchor ? "anchor" : "system" }));
      let end = Math.max(...ends);
      if (found.low !== null && found.high !== null) {
        const [a, b] = [x(found.low), x(found.high)];
        svg.append(make("path", { d: `M${a} ${middle}H${b}M${a} ${middle - 4}v8M${b} ${middle - 4}v8`, class: "whisker" }));
        end = Math.max(end, b);
      }
      svg.append(make("text", { x: end + 6, y: middle + 4, class: "value" }, print(found.mean, metric) + (found.n < 20 ? " *" : "")));
    });
    return svg;
  };

  const table = (metric) => {
    const head = element("tr");
    head.append(element("th", "system", { scope: "col" }), ...data.directions.map(([, title]) => element("th", title, { scope: "col" })));
    const body = element("tbody");
    for (const [name] of data.systems) {
      const row = element("tr");
      row.append(element("th", name, { scope: "row" }));
      for (const [direction] of data.directions) row.append(element("td", words(find(direction, name, metric), metric)));
      body.append(row);
    }
    const found = element("table"), top = element("thead");
    top.append(head);
    found.append(element("caption", data.metrics[metric].title, { class: "hidden" }), top, body);
    const box = element("div", undefined, { class: "box", role: "region", tabindex: "0", "aria-label": `${data.metrics[metric].title} by direction` });
    box.append(found);
    return box;
  };

  const draw = () => {
    const metric = select.value;
    const found = data.directions.flatMap(([direction]) => data.systems.map(([name]) => find(direction, name, metric))).filter(Boolean);
    const axis = scale(found.flatMap((one) => [one.mean, one.low ?? one.mean, one.high ?? one.mean]));
    panels.replaceChildren();
    const figures = data.directions.map(([, title]) => {
      const figure = element("figure");
      figure.append(element("figcaption", title));
      panels.append(figure);
      return figure;
    });
    // Measured once all are there: their number decides how wide each may be.
    const width = Math.max(240, Math.floor(figures[0].clientWidth));
    data.directions.forEach(([direction, title], k) => figures[k].append(panel(direction, title, metric, axis, width)));
    document.getElementById("chart-table").replaceChildren(table(metric));
  };

  for (const name of names) select.append(element("option", data.metrics[name].title, { value: name }));
  document.getElementById("chart").hidden = false;
  select.addEventListener("change", draw);
  let drawn = 0;
  new ResizeObserver(() => {
    if (Math.abs(panels.clientWidth - drawn) > 1) { drawn = panels.clientWidth; draw(); }
  }).observe(panels);
  drawn = panels.clientWidth;
  draw();
})();
