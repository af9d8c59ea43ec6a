"use strict";
// Interactive functions of a page. The page can be read without them, and they download nothing.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
/** The seconds of a cell with a time, "7.2 s" or "1:05"; null for any other. */
const secondsOf = ({ textContent }) => {
  const parts = /^(?:(\d+):)?(?:(\d+):)?([\d.]+)(?: s)?$/.exec(textContent.trim());
  if (!parts || !/ s$|:/.test(parts[0])) return null;
  return parts.slice(1).reduce((sum, part) => (part === undefined ? sum : 60 * sum + Number(part)), 0);
};
const add = (parent, tag, properties = {}) => parent.appendChild(Object.assign(document.createElement(tag), properties));

// Tables: a click on a header sorts, a field filters, and a button shows hidden rows.
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
    const value = (row) => row.cells[column].dataset.key ?? String(secondsOf(row.cells[column]) ?? row.cells[column].textContent);
    // Empty cells are last in both directions.
    const isEmpty = (text) => text === "" || text === "–";
    // Rows of averages are last, too.
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

// The cells of the confusion matrix are links to their faces. They get a name. A click scrolls only a little.
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

// Curves: compute the positions of their points in the drawing from the box of the axes.
const svgElement = (svg, tag, attributes) => {
  const element = svg.appendChild(document.createElementNS(svg.namespaceURI, tag));
  for (const [name, value] of Object.entries({ class: "at", ...attributes })) element.setAttribute(name, value);
  return element;
};
const placing = ([x0, x1, left, right, y0, y1, bottom, top]) => ({
  x: (x) => left + ((x - x0) / (x1 - x0)) * (right - left),
  y: (y) => bottom + ((y - y0) / (y1 - y0)) * (top - bottom),
});
const inDrawing = (svg, { clientX, clientY }) => new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());

// Show the values of the point nearest to the pointer.
const tip = add(document.body, "div", { className: "tip", hidden: true });
for (const figure of all("figure[data-curves]")) {
  const svg = figure.querySelector("svg");
  const { x: across, y: up, panels } = JSON.parse(figure.dataset.curves);
  const points = panels.flatMap(({ box, curves }) => {
    const place = placing(box);
    return Object.entries(curves).flatMap(([name, values]) =>
      values.map(([x, y]) => ({ x: place.x(x), y: place.y(y), text: `${name}: ${across} ${x}, ${up} ${y}` })),
    );
  });
  const mark = svgElement(svg, "circle", { r: 3, visibility: "hidden" });
  svg.onpointermove = (event) => {
    const at = inDrawing(svg, event);
    const distance = (point) => Math.hypot(point.x - at.x, point.y - at.y);
    const nearest = points.reduce((best, point) => (distance(point) < distance(best) ? point : best), points[0]);
    tip.hidden = !nearest || distance(nearest) > 25;
    mark.setAttribute("visibility", tip.hidden ? "hidden" : "visible");
    if (tip.hidden) return;
    tip.textContent = nearest.text;
    mark.setAttribute("cx", nearest.x);
    mark.setAttribute("cy", nearest.y);
    tip.style.left = `${Math.max(0, Math.min(event.pageX + 12, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${event.pageY + 14}px`;
  };
  svg.onpointerleave = () => {
    tip.hidden = true;
    mark.setAttribute("visibility", "hidden");
  };
}

// A video beside the page: a click on a time in a chart or table jumps there, and charts mark the current time.
const player = document.querySelector(".player video");
if (player) {
  // A player that was used stays visible while the reader scrolls.
  new IntersectionObserver(([{ isIntersecting, target }]) => {
    if (!isIntersecting) target.style.minHeight = `${target.offsetHeight}px`;
    player.classList.toggle("away", !isIntersecting && player.currentTime > 0);
  }).observe(player.parentElement);
  const jump = (seconds) => {
    player.currentTime = Math.max(0, Math.min(seconds, player.duration || seconds));
    player.play();
    const { top, bottom } = player.parentElement.getBoundingClientRect();
    player.classList.toggle("away", bottom < 0 || top > innerHeight);
  };
  const marks = all("figure[data-curves]").map((figure) => {
    const svg = figure.querySelector("svg");
    const [{ box }] = JSON.parse(figure.dataset.curves).panels;
    const [start, end, left, right, , , bottom, top] = box;
    const line = svgElement(svg, "line", { y1: top, y2: bottom });
    svg.style.cursor = "pointer";
    svg.onclick = (event) => jump(start + ((inDrawing(svg, event).x - left) / (right - left)) * (end - start));
    return (seconds) => ["x1", "x2"].forEach((side) => line.setAttribute(side, placing(box).x(seconds)));
  });
  player.ontimeupdate = () => marks.forEach((move) => move(player.currentTime));
  player.ontimeupdate();
  for (const cell of all("table.data td")) {
    const seconds = secondsOf(cell);
    if (seconds === null) continue;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "time", textContent: cell.textContent.trim() });
    button.onclick = () => jump(seconds);
    cell.replaceChildren(button);
  }
}

// Mark the visible section in the table of contents.
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
