"use strict";
// What a page can do beyond being read. Nothing here is needed to read it, and nothing is fetched.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const add = (parent, tag, properties = {}) => parent.appendChild(Object.assign(document.createElement(tag), properties));

// Tables: a click on a header sorts, a field filters, a button shows the rows that are left out.
for (const table of all("table.data")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const shown = Number(table.dataset.shown);
  if (rows.length < 3) continue;
  let wanted = "";
  let open = rows.length <= shown;
  const more = Object.assign(document.createElement("button"), { type: "button", className: "more" });
  const update = () => {
    const found = [...body.rows].filter((row) => row.textContent.toLowerCase().includes(wanted));
    for (const row of body.rows) row.hidden = true;
    for (const row of open ? found : found.slice(0, shown)) row.hidden = false;
    more.hidden = open || found.length <= shown;
    more.textContent = `Show all ${found.length} rows`;
  };
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const value = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    // Empty cells are last in both directions.
    const isEmpty = (text) => text === "" || text === "–";
    // So are averages of the rows above them.
    const isAverage = (row) => row.cells[0].textContent.endsWith(" average");
    const compare = (one, other) => {
      const [a, b] = [Number(one), Number(other)];
      return Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other, "en", { numeric: true }) : a - b;
    };
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.onclick = () => {
      const first = header.className === "left" ? 1 : -1;
      const direction = header.ariaSort === null ? first : header.ariaSort === "ascending" ? -1 : 1;
      for (const each of table.tHead.rows[0].cells) each.ariaSort = null;
      header.ariaSort = direction === 1 ? "ascending" : "descending";
      const sorted = [...body.rows].sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        return isAverage(one) - isAverage(other) || isEmpty(a) - isEmpty(b) || direction * compare(a, b);
      });
      body.append(...sorted);
      update();
    };
  });
  if (rows.length > 12) {
    const label = Object.assign(document.createElement("label"), { className: "filter", textContent: "Filter " });
    add(label, "input", { type: "search", oninput: (event) => ((wanted = event.target.value.trim().toLowerCase()), update()) });
    table.parentElement.before(label);
  }
  if (!open) {
    more.onclick = () => ((open = true), update());
    table.parentElement.after(more);
  }
  update();
}

// The cells of the confusion matrix are links to their faces. They need a name, and the page should stay where it is.
for (const link of all(".scroll svg a")) {
  const cell = document.getElementById(link.getAttribute("xlink:href").slice(1));
  if (!cell) continue;
  link.setAttribute("role", "link");
  link.setAttribute("aria-label", cell.querySelector("h3").textContent);
  link.onclick = (event) => {
    event.preventDefault();
    for (const each of all(".cell, .scroll svg a")) each.classList.toggle("chosen", each === cell || each === link);
    cell.focus({ preventScroll: true });
    cell.scrollIntoView({ block: "nearest" });
  };
}

// A slider shows one row of its table, and marks it on a chart.
const marks = {};
for (const slider of all(".slider")) {
  const [steps, places, input] = [JSON.parse(slider.dataset.steps), JSON.parse(slider.dataset.marks), slider.querySelector("input")];
  const cells = all("dd", slider);
  input.oninput = () => {
    steps[input.value].forEach((text, index) => (cells[index].textContent = text));
    input.ariaValueText = steps[input.value].join(", ");
    const at = places[input.value] ?? null;
    marks[slider.dataset.chart] = at === null ? [] : [{ type: "line", x0: at, x1: at, yref: "y domain", y0: 0, y1: 1, line: { color: ink(), dash: "dot", width: 1.5 } }];
    const plot = document.querySelector(`figure[data-plot="${CSS.escape(slider.dataset.chart)}"] .plot`);
    if (plot?.data) Plotly.relayout(plot, { shapes: marks[slider.dataset.chart] });
  };
  input.oninput();
  slider.hidden = false;
}

// The contents say which section is on the screen.
const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const [key, link] of links) link.ariaCurrent = key === target.getAttribute("aria-labelledby") ? "true" : null;
    }
  },
  { rootMargin: "-20% 0px -75%" },
);
all("main > section").forEach((section) => seen.observe(section));

// Curves: Plotly takes a chart's place when it comes near the screen. Paper keeps the drawing.
function ink() {
  return getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
}
let loading;
function load() {
  loading ??= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
    const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
    add(document.head, "script", { textContent: text });
  })();
  return loading;
}
async function draw(figure) {
  await load();
  const scroll = figure.querySelector(".scroll");
  const { data, layout, ratio } = JSON.parse(figure.querySelector("script").textContent.replaceAll("#010203", ink()));
  const plot = scroll.querySelector(".plot") ?? add(scroll, "div", { className: "plot" });
  plot.style.aspectRatio = ratio;
  plot.style.maxWidth = `calc(1.2 * ${scroll.querySelector("svg").style.getPropertyValue("--natural-width")})`;
  scroll.classList.add("moves");
  const grid = `${ink()}26`;
  for (const [key, axis] of Object.entries(layout))
    if (/^[xy]axis/.test(key)) Object.assign(axis, { gridcolor: grid, title: { ...axis.title, standoff: 4 }, automargin: false });
  await Plotly.react(plot, data, {
    ...layout,
    shapes: marks[figure.dataset.plot] ?? [],
    font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: ink() },
    hoverdistance: 40,
    hoverlabel: { font: { size: 12 } },
    margin: { l: 0, r: 0, t: 0, b: 0 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    // A finger scrolls the page.
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
  }, { displayModeBar: false, responsive: true });
}
if (document.getElementById("plotly") && "DecompressionStream" in window) {
  const figures = all("figure[data-plot]");
  const near = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => (near.unobserve(target), draw(target))),
    { rootMargin: "400px" },
  );
  figures.forEach((figure) => near.observe(figure));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.filter((each) => each.querySelector(".moves")).forEach(draw));
}
