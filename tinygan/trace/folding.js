"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const {rows, leaves, steps, moments} = data, last = moments.length;
const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)"), dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 44rem)");

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

document.documentElement.classList.add("played");

// --- what is drawn: each node, edge and box knows its element

const nodes = new Map(), boxes = new Map();
for (const step of steps) {
  step.section = byId("step" + step.number);
  step.svg = step.section.querySelector("svg");
  step.graph = step.section.querySelector(".graph");
  for (const node of step.nodes) {
    node.element = byId(node.key);
    node.step = step;
    node.ref = node.row ? "r" + node.row : "l" + node.leaf;
    node.value = node.element.querySelector(".value");
    node.grad = node.element.querySelector(".grad");
    node.texts = [node.value && node.value.textContent];
    node.shown = "";
    node.stub = Boolean(node.row) && !node.value;
    nodes.set(node.key, node);
    node.element.setAttribute("tabindex", "0");
    node.element.setAttribute("role", "button");
    node.element.addEventListener("click", () => open(node.ref, node.element));
  }
  for (const edge of step.edges) {
    edge.element = byId(edge.key);
    edge.norm = edge.element && edge.element.querySelector(".norm");
    edge.shown = "";
    edge.source = nodes.get(edge.from);
    edge.target = nodes.get(edge.to);
  }
  for (const box of step.boxes) {
    box.element = byId(box.key);
    box.rect = box.element.querySelector("rect");
    box.label = box.element.querySelector(".title");
    box.step = step;
    box.lines = [1, 2].map((i) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "text");
      line.setAttribute("text-anchor", "middle");
      line.setAttribute("class", i === 2 ? "grad" : "soft");
      box.element.append(line);
      return line;
    });
    boxes.set(box.key, box);
    box.element.setAttribute("tabindex", "0");
    box.element.setAttribute("role", "button");
    box.element.addEventListener("click", (event) => {
      if (box.folded || event.target === box.label) toggleBox(box);
    });
  }
}
const inside = (key) => (key ? [boxes.get(key), ...inside(boxes.get(key).parent)] : []);
const outermostFolded = (node) => inside(node.box).reverse().find((box) => box.folded);

// --- folding: a column without visible nodes has no width

function arrange(step) {
  const gap = step.lefts.length > 1 ? step.lefts[1] - step.lefts[0] - step.widths[0] : 0;
  const widths = step.widths.map(() => 0);
  for (const box of step.boxes) {
    box.hidden = inside(box.parent).some((outer) => outer.folded);
    if (box.folded && !box.hidden) {
      box.wide = Math.max(104, 7.4 * Math.min(22, box.title.length) + 26);
      widths[box.columns[0]] = Math.max(widths[box.columns[0]], box.wide);
    }
  }
  for (const node of step.nodes) {
    node.in = outermostFolded(node);
    if (!node.in) widths[node.column] = Math.max(widths[node.column], node.area[2]);
  }
  const lefts = [];
  let x = 0;
  widths.forEach((width) => { lefts.push(x); if (width) x += width + gap; });
  let right = 0, low = 0, high = Infinity;
  const cover = (area) => { right = Math.max(right, area[0] + area[2]); low = Math.max(low, area[1] + area[3]); high = Math.min(high, area[1]); };
  for (const node of step.nodes) {
    node.element.classList.toggle("gone", Boolean(node.in));
    const [, y, width, height] = node.area, c = node.column;
    node.now = [lefts[c] + (widths[c] - width) / 2, y, width, height];
    node.element.setAttribute("transform", `translate(${node.now[0]} ${y})`);
    if (!node.in) { cover(node.now); cover([node.now[0], y - 26, 0, 0]); }
  }
  for (const box of step.boxes) placeBox(box, step, lefts, widths, cover);
  const used = new Set();
  for (const edge of step.edges) if (edge.element) placeEdge(edge, lefts, widths, used);
  step.cover = cover;
  placeLabels(step, gap);
  if (high > low) high = 0;  // an empty step
  step.box = [-8, high - 6, right + 16, low - high + 12];
}

function placeBox(box, step, lefts, widths, cover) {
  box.element.classList.toggle("gone", box.hidden);
  if (box.hidden) return;
  box.element.classList.toggle("folded", Boolean(box.folded));
  box.element.setAttribute("aria-expanded", String(!box.folded));
  let [first, end] = box.columns, [x, y, width, height] = box.area;
  if (box.folded) {
    const inner = step.nodes.find((node) => node.row === box.rows[0] && !node.stub);
    [width, height, x] = [box.wide, 58, lefts[first] + (widths[first] - box.wide) / 2];
    y = inner.area[1] + inner.area[3] / 2 - 29;
  } else {
    while (first < end && !widths[first]) first++;
    while (end > first && !widths[end]) end--;
    const pad = step.lefts[box.columns[0]] - x;
    x = lefts[first] - pad;
    width = lefts[end] + widths[end] + pad - x;
  }
  box.now = [x, y, width, height];
  cover(box.now);
  for (const [i, key] of ["x", "y", "width", "height"].entries()) box.rect.setAttribute(key, box.now[i]);
  const most = Math.max(3, Math.floor((width - 26) / 7.4)), short = box.title.length > most ? box.title.slice(0, most - 1) + "…" : box.title;
  box.label.textContent = (box.folded ? "▸ " : "▾ ") + short;
  box.label.setAttribute("text-anchor", box.folded ? "middle" : "start");
  box.label.setAttribute("x", box.folded ? x + width / 2 : x + 8);
  box.label.setAttribute("y", y + (box.folded ? 18 : 14));
  box.lines.forEach((line, i) => {
    line.classList.toggle("gone", !box.folded);
    line.setAttribute("x", x + width / 2);
    line.setAttribute("y", y + 34 + 14 * i);
  });
  const count = box.rows.length === 1 ? "1 operation" : box.rows.length + " operations";
  box.lines[0].textContent = count;
  box.element.setAttribute("aria-label", `Module ${box.title}, ${count}, ${box.folded ? "folded" : "unfolded"}`);
}

function placeEdge(edge, lefts, widths, used) {
  const source = edge.source.in || edge.source, target = edge.target.in || edge.target;
  const pair = source.key + " " + target.key, folded = edge.source.in || edge.target.in;
  const twice = folded && used.has(pair);
  used.add(pair);
  edge.element.classList.toggle("gone", Boolean(source === target || twice));
  const middle = (area) => area[1] + area[3] / 2;
  const points = [[source.now[0] + source.now[2], middle(source.now)]];
  edge.points.slice(1, -1).forEach(([, y, column], i) => {
    if (widths[column]) points.push([lefts[column] + (i % 2 ? widths[column] : 0), y]);
  });
  points.push([target.now[0], middle(target.now)]);
  let d = `M${points[0].join(" ")}`;
  for (let i = 1; i < points.length; i++) {
    const [x1, y1] = points[i - 1], [x2, y2] = points[i], half = (x1 + x2) / 2;
    d += `C${half} ${y1} ${half} ${y2} ${x2} ${y2}`;
  }
  edge.element.querySelector("path").setAttribute("d", d);
  edge.ends = edge.element.classList.contains("gone") ? null : [source.now, target.now, points];
}

// The labels of an edge stand where they cover no node and no other label.
function placeLabels(step, gap) {
  const taken = new Map();
  const cells = ([x, y, width]) => Array.from({length: Math.floor((x + width) / 200) - Math.floor(x / 200) + 1}, (_, i) => Math.floor(x / 200) + i);
  const take = (area) => { for (const cell of cells(area)) taken.set(cell, [...(taken.get(cell) || []), area]); };
  const meets = (a, b) => a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
  for (const node of step.nodes) if (!node.in) take(node.now);
  for (const box of step.boxes) if (box.folded && !box.hidden) take(box.now);
  for (const edge of step.edges) {
    if (!edge.element || !edge.ends) continue;
    const [[sx, sy, sw, sh], [tx, ty, , th], points] = edge.ends;
    const left = sx + sw + gap / 2, right = tx - gap / 2, shape = edge.element.querySelector(".shape");
    const width = Math.max(44, 6.6 * shape.textContent.length), end = points[points.length - 1][1];
    const choices = points.length === 2 && tx - sx - sw < 1.5 * gap ? [[left, Math.min(sy, ty) - 4]] : [];
    choices.push([right, ty - 4], [left, sy - 4], [left, sy + sh + 24], [right, ty + th + 24]);
    choices.push([tx - gap + width / 2, ty - 4], [tx - gap + width / 2, ty + th + 24], [left + gap / 2 - width / 2, sy - 4]);
    choices.push([right, (points[points.length - 2][1] + end) / 2]);
    for (let i = 0; i < 6; i++) choices.push([right, end + 36 + 8 * i], [tx - gap + width / 2, ty - 28 - 8 * i]);
    const room = ([x, y]) => [x - width / 2, y - 23, width, 24];
    const free = (choice) => !cells(room(choice)).some((cell) => (taken.get(cell) || []).some((area) => meets(room(choice), area)));
    const [x, y] = choices.find(free) || choices[0];
    take(room([x, y]));
    step.cover(room([x, y]));
    for (const [label, up] of [[shape, 12], [edge.norm, 0]]) {
      label.setAttribute("x", x);
      label.setAttribute("y", y - up);
    }
  }
}

function fit() {
  const room = byId("steps").clientWidth, frame = 34;
  const widths = steps.map((step) => step.box[2]), together = widths.reduce((sum, width) => sum + width, 0);
  const free = room - (steps.length > 1 ? (frame + 14) * steps.length : frame);
  const beside = steps.length > 1 && 0.78 * together <= free && !narrow.matches;
  const least = narrow.matches ? 0.95 : 0.78, wanted = beside ? free / together : (room - frame) / Math.max(...widths);
  const tall = (innerHeight - 250) / Math.max(...steps.map((step) => step.box[3]));
  const scale = Math.max(least, Math.min(1.4, wanted, Math.max(1, tall)));
  for (const step of steps) {
    step.section.style.flex = beside ? `1 1 ${step.box[2] * scale + frame}px` : "";
    step.svg.setAttribute("viewBox", step.box.join(" "));
    step.svg.setAttribute("width", step.box[2] * scale);
    step.svg.setAttribute("height", step.box[3] * scale);
    step.scale = scale;
  }
}

function toggleBox(box, folded = !box.folded) {
  box.folded = folded;
  arrange(box.step);
  fit();
  show(now);
}

function foldAll(folded) {
  for (const box of boxes.values()) box.folded = folded;
  steps.forEach(arrange);
  fit();
  show(now);
}

function reveal(node) {
  for (const box of inside(node.box)) box.folded = false;
  arrange(node.step);
  fit();
}

