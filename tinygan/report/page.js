"use strict";
// Without this script the page shows the newest sheets and the last values.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const said = (value) => value === null ? "not a number" : String(value).replaceAll("-", "\u2212");
const upTo = (list, value) => Math.max(0, list.findLastIndex((item) => item <= value));

// --- curves: one epoch is shown in all charts at once

const plots = all(".plot").map((plot) => {
  const figure = plot.closest("figure");
  const lines = all("[data-points]", figure).map((item) => ({
    points: JSON.parse(item.dataset.points), value: item.querySelector("b"), label: item.dataset.label,
  }));
  const cursor = plot.appendChild(document.createElement("div"));
  cursor.className = "cursor";
  return {plot, lines, cursor, at: figure.querySelector(".at"), end: Number(plot.dataset.end)};
});
const epochs = [...new Set(plots.flatMap(({lines}) => lines.flatMap(({points}) => points[0])))].sort((a, b) => a - b);
const last = epochs[epochs.length - 1];
let shown = last;

function show(epoch, marked = true) {
  shown = epoch;
  for (const {plot, lines, cursor, at, end} of plots) {
    at.textContent = `epoch ${epoch}`;
    const words = lines.map(({points: [x, y], value, label}) => {
      const i = upTo(x, epoch);
      const early = x[i] === epoch ? "" : ` (at ${x[i]})`;  // this line has no value at the epoch itself
      value.textContent = said(y[i]) + early;
      return `${label} ${value.textContent}`;
    });
    cursor.hidden = !marked || epoch > end;
    cursor.style.left = `${100 * (0.14 + 0.81 * epoch / end)}%`;
    plot.setAttribute("aria-valuenow", epoch);
    plot.setAttribute("aria-valuetext", `epoch ${epoch}: ${words.join(", ")}`);
  }
}

for (const {plot, end} of plots) {
  const under = (event) => {
    const box = plot.getBoundingClientRect();
    const epoch = end * ((event.clientX - box.left) / box.width - 0.14) / 0.81;
    return epochs.reduce((best, one) => Math.abs(one - epoch) < Math.abs(best - epoch) ? one : best);
  };
  const attributes = {
    role: "slider", tabindex: 0, "aria-valuemin": epochs[0], "aria-valuemax": last,
    "aria-label": plot.querySelector("svg").getAttribute("aria-label"),
  };
  for (const [key, value] of Object.entries(attributes)) plot.setAttribute(key, value);
  plot.addEventListener("pointermove", (event) => show(under(event)));
  plot.addEventListener("pointerdown", (event) => scrubTo(under(event)));
  plot.addEventListener("pointerleave", rest);
  plot.addEventListener("focus", () => show(shown));
  plot.addEventListener("blur", rest);
  plot.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const here = epochs.indexOf(shown), far = Math.ceil(epochs.length / 10);
    const moves = {
      ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1,
      PageDown: here - far, PageUp: here + far, Home: 0, End: epochs.length - 1,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(epochs[Math.max(0, Math.min(epochs.length - 1, moves[event.key]))]);
  });
}

// --- sheets: the slider moves every row of samples, and the curves with them

const panes = all("[data-sheets]").map((pane) => ({
  image: pane.querySelector("img"), words: pane.querySelector(".when"),
  sheets: all(`#${pane.dataset.sheets} figure`).map((figure) => ({
    epoch: Number(figure.dataset.epoch), image: figure.querySelector("img"),
    words: figure.querySelector("figcaption").textContent,
  })),
}));
const stops = [...new Set(panes.flatMap(({sheets}) => sheets.map(({epoch}) => epoch)))].sort((a, b) => a - b);
const scrub = document.querySelector(".scrub");
const slider = scrub && scrub.querySelector("input"), output = scrub && scrub.querySelector("output");

function sheetsAt(stop) {
  const epoch = stops[stop];
  slider.value = stop;
  output.textContent = `epoch ${epoch}`;
  slider.setAttribute("aria-valuetext", `epoch ${epoch}`);
  for (const {image, words, sheets} of panes) {
    const sheet = sheets[upTo(sheets.map((one) => one.epoch), epoch)];
    image.src = sheet.image.src;
    image.alt = sheet.image.alt;
    words.textContent = sheet.words;
  }
}

// At rest the charts show the epoch of the sheets; at the end of the run, their last values.
function rest() {
  if (!epochs.length) return;
  const epoch = slider && stops.length > 1 ? stops[slider.value] : last;
  if (!slider || Number(slider.value) === stops.length - 1) show(last, false);
  else show(epochs[upTo(epochs, epoch)], epoch >= epochs[0]);
}

function scrubTo(epoch) {
  if (slider && stops.length > 1) sheetsAt(upTo(stops, epoch));
}

if (slider && stops.length > 1) {
  scrub.hidden = false;
  slider.max = stops.length - 1;
  sheetsAt(stops.length - 1);
  slider.addEventListener("input", () => { sheetsAt(Number(slider.value)); rest(); });
}
rest();
