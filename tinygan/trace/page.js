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
    choices.push([right, ty - 4], [left, sy - 4], [left, sy + sh + 24], [right, ty + th + 24], [right, (points[points.length - 2][1] + end) / 2]);
    for (let i = 0; i < 6; i++) choices.push([right, end + 36 + 8 * i]);
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
  const scale = Math.max(least, Math.min(1.4, wanted));
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

// --- the state at a moment

let now = last, timer = null, path = null, opened = null;

function stateAt(moment) {
  const state = {done: new Set(), lit: new Map(), flown: new Map(), complete: new Map(), moved: new Set(), pass: new Map()};
  for (const one of moments.slice(0, moment)) {
    if (one.kind === "forward") state.done.add(one.row);
    if (one.kind === "begin") state.pass.set(one.step, one.pass);
    if (one.kind === "backward") {
      state.lit.set(one.row, one.pass);
      state.flown.set(one.row, one.pass);
      for (const leaf of one.complete) state.complete.set(one.step + "/" + leaf, one.pass);
    }
    if (one.kind === "update") state.moved.add(one.step);
  }
  return state;
}

function show(moment) {
  now = Math.max(0, Math.min(last, moment));
  const state = stateAt(now), current = now ? moments[now - 1] : null;
  for (const step of steps) {
    for (const node of step.nodes) showNode(node, state, current);
    for (const edge of step.edges) if (edge.element) showEdge(edge, state, current);
    for (const box of step.boxes) if (box.folded) showFolded(box, state, current);
  }
  const begin = "Nothing has run yet. Press Play, or the right arrow, to see the first operation.";
  const end = now === last && last ? " That is the end. Play shows it from the beginning." : "";
  byId("caption").textContent = current ? current.text + end : begin;
  byId("slider").value = now;
  byId("slider").setAttribute("aria-valuetext", `${now} of ${last}`);
  const step = current ? current.step : 1;
  for (const one of steps) one.section.classList.toggle("current", one.number === step);
  for (const tab of byId("tabs").children) tab.setAttribute("aria-pressed", String(Number(tab.dataset.step) === step));
  if (opened) renderDetail();
}

function gradientOf(node, state) {
  const step = node.step;
  const pass = node.row ? state.lit.get(node.row) : state.complete.get(step.number + "/" + node.leaf);
  return pass && (node.row ? rows[node.row] : leaves[node.leaf]).gradients[pass] ? pass : 0;
}

function showNode(node, state, current) {
  if (node.stub) return;
  const row = node.row && rows[node.row], pass = gradientOf(node, state);
  const done = !node.row || row.state === "earlier" || state.done.has(node.row);
  const of = node.row ? row : leaves[node.leaf];
  const value = node.row ? (done ? node.texts[0] : row.state === "failed" && state.failed ? "failed" : "not computed") : "";
  const grad = pass ? of.gradients[pass].short : done ? of.none : "not computed";
  const running = state.pass.get(node.step.number);
  const kinds = {
    later: !done, lit: pass && pass === running, none: !pass,
    moved: !node.row && state.moved.has(node.step.number) && node.step.moved.includes(node.leaf),
    now: current && node.row && current.row === node.row,
    dim: path && !path.nodes.has(node.key),
    open: opened === node.ref,
  };
  const shown = [value, grad, ...Object.values(kinds).map(Boolean)].join("|");
  if (shown === node.shown) return;
  node.shown = shown;
  if (node.value) node.value.textContent = value;
  if (node.grad) node.grad.textContent = grad;
  for (const [kind, on] of Object.entries(kinds)) node.element.classList.toggle(kind, Boolean(on));
  const name = node.row ? `#${node.row} ${row.name}${row.layer ? ", " + row.layer : ""}` : leaves[node.leaf].name;
  const shape = of.value ? ", shape " + of.value.shape : "";
  node.element.setAttribute("aria-label", `${name}${shape}${value ? ", value " + value : ""}, gradient ${grad}`);
}

function showEdge(edge, state, current) {
  const pass = state.flown.get(edge.target.row), norm = pass && edge.norms[pass];
  const kinds = {
    flown: norm !== undefined && norm !== 0 && norm, old: norm && pass !== state.pass.get(edge.target.step.number),
    now: current && current.row === edge.target.row && (current.kind === "forward" || norm),
    dim: path && !path.edges.has(edge.key),
  };
  const shown = [norm, ...Object.values(kinds).map(Boolean)].join("|");
  if (shown === edge.shown) return;
  edge.shown = shown;
  edge.norm.textContent = norm || "";
  for (const [kind, on] of Object.entries(kinds)) edge.element.classList.toggle(kind, Boolean(on));
}

function showFolded(box, state, current) {
  const lit = box.rows.filter((row) => state.lit.get(row) && state.lit.get(row) === state.pass.get(box.step.number));
  const done = box.rows.filter((row) => state.done.has(row));
  const first = lit.length ? rows[lit[0]] : null;
  box.lines[1].textContent = first ? first.gradients[state.lit.get(lit[0])].short : done.length ? rows[done[0]].none : "not computed";
  box.element.classList.toggle("lit", Boolean(lit.length));
  box.element.classList.toggle("later", !done.length);
  box.element.classList.toggle("now", Boolean(current && box.rows.includes(current.row)));
  box.element.classList.toggle("dim", Boolean(path && !box.rows.some((row) => path.rows.has(row))));
}

// --- playing

function ahead(from, direction) {
  if (!path) return Math.max(0, Math.min(last, from + direction));
  const next = direction > 0 ? path.moments.find((moment) => moment > from) : path.moments.findLast((moment) => moment < from);
  return next === undefined ? from : next;
}

function look(moment) {
  const one = moments[moment - 1];
  if (!one) return;
  const step = steps[one.step - 1], node = step.nodes.find((each) => each.row === one.row && !each.stub);
  const behavior = calm.matches ? "auto" : "smooth";
  const area = node ? (node.in || node).now : null;
  if (area && step.graph.scrollWidth > step.graph.clientWidth + 4) {
    const middle = (area[0] + area[2] / 2 - step.box[0]) * step.scale;
    step.graph.scrollTo({left: middle - step.graph.clientWidth / 2, behavior});
  }
  const place = step.section.getBoundingClientRect();
  if (place.bottom > innerHeight + 40 || place.top < 0) step.section.scrollIntoView({block: "nearest", behavior});
}

const go = (moment) => { pause(); show(moment); look(now); };

function pause() {
  clearTimeout(timer);
  timer = null;
  byId("play").textContent = "Play";
  byId("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (ahead(now, 1) === now) show(path ? path.moments[0] : 0);
  byId("play").textContent = "Pause";
  byId("play").setAttribute("aria-pressed", "true");
  const tick = () => {
    if (ahead(now, 1) === now) return pause();
    show(ahead(now, 1));
    look(now);
    const one = moments[now - 1], slow = one && (one.kind === "begin" || one.kind === "update") ? 2.2 : 1;
    timer = setTimeout(tick, 800 * slow / Number(byId("speed").value));
  };
  timer = setTimeout(tick, 150);
}

const toggle = () => (timer === null ? play() : pause());

// --- following one weight: only the path from the loss to it

function follow(leaf) {
  path = leaf === "" ? null : pathTo(Number(leaf));
  if (path) for (const node of path.reached) for (const box of inside(node.box)) box.folded = false;
  steps.forEach(arrange);
  fit();
  byId("follow").value = String(leaf);
  pause();
  show(path && path.moments.length ? path.moments[0] : now);
  look(now);
}

function pathTo(leaf) {
  const found = {nodes: new Set(), edges: new Set(), rows: new Set(), moments: [], reached: []};
  const passes = Object.keys(leaves[leaf].gradients).map(Number);
  for (const step of steps) {
    const grown = new Set();  // keys of nodes whose gradient goes on to the weight
    for (const node of step.nodes) if (node.leaf === leaf) grown.add(node.key);
    for (let more = true; more;) {
      more = false;
      for (const edge of step.edges) {
        if (grown.has(edge.from) && passes.some((pass) => edge.norms[pass]) && !found.edges.has(edge.key)) {
          found.edges.add(edge.key);
          grown.add(edge.to);
          more = true;
        }
      }
    }
    for (const node of step.nodes) {
      const reached = grown.has(node.key) && (node.row || step.edges.some((edge) => edge.from === node.key && found.edges.has(edge.key)));
      if (reached) { found.nodes.add(node.key); found.reached.push(node); if (node.row) found.rows.add(node.row); }
    }
  }
  moments.forEach((one, i) => {
    const on = one.kind === "begin" ? passes.includes(one.pass) : one.kind === "backward" ? passes.includes(one.pass) && found.rows.has(one.row)
      : one.kind === "update" && steps[one.step - 1].moved.includes(leaf);
    if (on) found.moments.push(i + 1);
  });
  return found;
}

// --- finding

let hits = [], hit = -1;

function find(words, next = false) {
  words = words.trim().toLowerCase();
  for (const node of nodes.values()) node.element.classList.remove("found");
  for (const box of boxes.values()) box.element.classList.remove("found");
  hits = words ? [...nodes.values()].filter((node) => describe(node).includes(words)) : [];
  for (const node of hits) (outermostFolded(node) || node).element.classList.add("found");
  hit = next && hits.length ? (hit + 1) % hits.length : -1;
  byId("found").textContent = words ? (hits.length ? (hit < 0 ? "" : `${hit + 1} of `) + `${hits.length} found` : "nothing found") : "";
  if (hit >= 0) {
    const node = hits[hit];
    reveal(node);
    show(now);
    node.element.classList.add("found");
    open(node.ref, node.element, false);
    node.element.scrollIntoView({block: "center", inline: "center"});
  }
}

function describe(node) {
  const of = node.row ? rows[node.row] : leaves[node.leaf];
  return (node.row ? `#${node.row} ${of.name} ${of.layer} ${of.variable}` : `${of.name} ${of.kind}`).toLowerCase();
}

// --- one operation or tensor, opened

let openedFrom = null, rendered = "";

function open(ref, from, focus = true) {
  openedFrom = from || openedFrom;
  opened = ref;
  rendered = "";
  byId("detail").hidden = false;
  byId("main").classList.add("opened");
  fit();
  show(now);
  byId("detail").scrollTop = 0;
  if (focus) byId("detail").focus({preventScroll: true});
}

function close() {
  opened = null;
  byId("detail").hidden = true;
  byId("main").classList.remove("opened");
  fit();
  show(now);
  if (openedFrom && openedFrom.isConnected) openedFrom.focus({preventScroll: true});
}

function goTo(ref) {
  const node = [...nodes.values()].find((each) => each.ref === ref && !each.stub);
  if (node) { reveal(node); node.element.scrollIntoView({block: "nearest", inline: "center"}); }
  open(ref, node && node.element);
}

function renderDetail() {
  const state = stateAt(now), isRow = opened[0] === "r", key = opened.slice(1);
  const of = isRow ? rows[key] : leaves[key];
  const done = !isRow || of.state === "earlier" || state.done.has(Number(key));
  const known = Object.keys(of.gradients).filter((pass) => isRow ? litSince(Number(key), Number(pass)) : completeSince(Number(key), Number(pass)));
  const shown = [opened, done, ...known, ...state.moved, dark.matches].join();
  if (shown === rendered) return;
  rendered = shown;
  const parts = [make("button", {type: "button", class: "close", "aria-label": "Close", onclick: close}, "✕")];
  const about = isRow ? [of.layer, of.variable && "variable " + of.variable, of.made] : [of.kind];
  parts.push(make("h2", {}, isRow ? `#${key} ${of.name}` : of.name), make("p", {class: "soft"}, about.filter(Boolean).join(" · ")));
  if (isRow) {
    parts.push(make("h3", {}, "Formula"), make("pre", {}, [of.forward, ...of.backward].map((formula) => formula.replace("   ", "\n    ")).join("\n")));
    parts.push(make("p", {class: "soft"}, "Compared with differences: " + of.check));
  } else if (Object.keys(of.gradients).length) {
    parts.push(make("button", {type: "button", onclick: () => follow(key)}, "Follow its gradient"));
  }
  parts.push(make("h3", {}, "Value"), ...(done && of.value ? facts(of.value, "value", of) : [make("p", {}, of.state === "failed" ? "failed" : of.value ? "not computed yet" : "not known: computed before the trace")]));
  for (const move of of.moves || []) {
    if (!state.moved.has(move.step)) continue;
    parts.push(make("h3", {}, `Change in step ${move.step}`), make("p", {class: "soft"}, make("code", {}, `${move.before} → ${move.after}`), " (SHA-256)"), ...facts(move.change, "change", of));
  }
  const passes = Object.keys(of.gradients);
  for (const pass of passes) {
    parts.push(make("h3", {class: "g"}, passes.length > 1 ? `Gradient of pass ${pass}` : "Gradient"));
    parts.push(...(known.includes(pass) ? facts(of.gradients[pass], "gradient", of) : [make("p", {}, "not computed yet")]));
  }
  if (!passes.length) parts.push(make("h3", {}, "Gradient"), make("p", {}, of.none));
  if (isRow) parts.push(make("h3", {}, "Inputs"), inputs(of, known));
  if (of.users.length) {
    parts.push(make("h3", {}, "Used by"), make("ul", {}, ...of.users.map((number) => make("li", {}, link(`#${number} ${rows[number].name}`, "r" + number)))));
  }
  if (isRow) {
    parts.push(make("h3", {}, "Called at"), make("p", {class: "soft"}, of.place || "before the trace"), of.line ? make("pre", {}, of.line) : null);
    parts.push(make("p", {class: "soft"}, `Saved for the backward formula: ${of.saved || "0"}.`));
    for (const one of data.sources[of.kind]) {
      parts.push(make("h3", {}, "Source of " + one.name), make("p", {class: "soft"}, one.place), one.code ? make("pre", {}, one.code) : null);
    }
  }
  byId("detail").replaceChildren(...parts.filter(Boolean));
}

const litSince = (row, pass) => moments.slice(0, now).some((one) => one.kind === "backward" && one.row === row && one.pass === pass);
const completeSince = (leaf, pass) => moments.slice(0, now).some((one) => one.pass === pass && one.complete.includes(leaf));
const link = (words, ref) => make("button", {type: "button", class: "link", onclick: () => goTo(ref)}, words);

function inputs(row, known) {
  const sent = known.length ? row.sent[known[known.length - 1]] : [];
  return make("ul", {}, ...row.inputs.map((one, i) => {
    const flow = sent[i] ? make("span", {class: "g"}, ` gets a gradient of ${sent[i]}`) : null;
    return make("li", {}, one.to ? link(one.text, one.to) : one.text, one.shape ? " " + one.shape : "", flow);
  }));
}

function facts(value, what, of) {
  const names = ["shape", "dtype", "mean", "spread", "min", "max", "zeros", "norm", "broken"];
  const titles = {spread: "standard deviation", broken: "not finite"};
  const list = names.filter((name) => value[name]).flatMap((name) => [make("dt", {}, titles[name] || name), make("dd", {}, value[name])]);
  if (!value.mean) list.push(make("dt", {}, what), make("dd", {}, value.text));
  const parts = [make("dl", {}, ...list)];
  if (value.cells) parts.push(make("div", {class: "wide"}, make("table", {class: "cells"}, ...value.cells.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))))));
  if (value.pictures) parts.push(...pictures(value.pictures, what, of));
  if (value.map) {
    parts.push(paint(value.map.data, value.map.w, value.map.h, `Map of the ${what}, from ${value.min} to ${value.max}`, false), scale(value.map));
  }
  if (value.bins) {
    const most = Math.max(...value.bins);
    parts.push(make("div", {class: "bars", role: "img", "aria-label": `Histogram from ${value.min} to ${value.max}`}, ...value.bins.map((count) => make("i", {style: `height:${100 * count / most}%`}))));
    parts.push(make("p", {class: "scale"}, value.min, make("span", {style: "flex:1;text-align:center"}, "histogram"), value.max));
  }
  return parts.filter(Boolean);
}

function pictures(found, what, of) {
  const kinds = {columns: "column of the weight: one picture a unit", rows: "row of the weight: one picture a unit"};
  const words = `The first ${found.n} of ${found.of} pictures, one for each ${kinds[of.pictures] || "row"}.`;
  const size = found.side * found.side, bytes = atob(found.data);
  const gray = [...bytes].every((byte) => byte.charCodeAt(0) >= 127);
  const list = Array.from({length: found.n}, (_, i) => paint(btoa(bytes.slice(i * size, (i + 1) * size)), found.side, found.side, `Picture ${i + 1} of the ${what}`, gray, 56));
  return [make("div", {class: "pictures"}, ...list), make("p", {class: "soft"}, words)];
}

const ends = () => (dark.matches ? [[90, 170, 255], [29, 32, 36], [255, 150, 80]] : [[0, 80, 170], [255, 255, 255], [190, 70, 0]]);

function colour(code, gray) {
  if (code === 255) return [255, 0, 90];
  if (gray) return Array(3).fill(Math.max(0, 2 * (code - 127)));
  const [low, zero, high] = ends(), t = (code - 127) / 127, end = t < 0 ? low : high;
  return zero.map((part, i) => part + (end[i] - part) * Math.abs(t));
}

function paint(text, width, height, label, gray, room = 380) {
  const bytes = atob(text), canvas = make("canvas", {width, height, role: "img", "aria-label": label});
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < bytes.length; i++) image.data.set([...colour(bytes.charCodeAt(i), gray), 255], 4 * i);
  context.putImageData(image, 0, 0);
  const cell = Math.max(1, Math.min(16, Math.floor(room / width), Math.floor(300 / height)));
  canvas.style.width = `${width * cell}px`;
  if (height * cell < 12) canvas.style.height = "14px";
  return canvas;
}

function scale(map) {
  const [low, zero, high] = ends().map((parts) => `rgb(${parts})`);
  const bar = make("span", {"aria-hidden": "true", style: `flex:0 0 6rem;height:0.7rem;border:1px solid var(--grid);background:linear-gradient(90deg,${low},${zero},${high})`});
  if (map.scale === "0") return null;
  return make("p", {class: "scale"}, `−${map.scale}`, bar, map.scale, map.blocks ? ` ${map.blocks}` : "");
}

// --- the controls

byId("player").hidden = byId("tools").hidden = !last;
byId("slider").max = last;
byId("play").addEventListener("click", toggle);
byId("back").addEventListener("click", () => go(ahead(now, -1)));
byId("forward").addEventListener("click", () => go(ahead(now, 1)));
byId("slider").addEventListener("input", (event) => go(Number(event.target.value)));
byId("fold").addEventListener("click", () => foldAll(true));
byId("unfold").addEventListener("click", () => foldAll(false));
byId("follow").addEventListener("change", (event) => follow(event.target.value));
byId("search").addEventListener("input", (event) => find(event.target.value));
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") find(event.target.value, true);
  if (event.key === "Escape") { event.target.value = ""; find(""); }
  event.stopPropagation();
});
Object.entries(leaves).forEach(([number, leaf]) => {
  if (Object.keys(leaf.gradients).length) byId("follow").append(make("option", {value: number}, leaf.name));
});
if (steps.length > 1) {
  byId("steps").classList.add("tabbed");
  for (const step of steps) {
    const start = moments.findIndex((one) => one.step === step.number), end = moments.findLastIndex((one) => one.step === step.number);
    byId("tabs").append(make("button", {type: "button", "data-step": step.number, onclick: () => go(now === last ? end + 1 : start + 1)}, step.title));
  }
}
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const on = event.target.closest ? event.target.closest("button, input, select, a, summary, .node, .box") : null;
  if (event.key === "Escape" && opened) close();
  else if (event.key === "Enter" && on && on.classList.contains("node")) on.dispatchEvent(new MouseEvent("click"));
  else if (event.key === "Enter" && on && on.classList.contains("box")) toggleBox(boxes.get(on.id));
  else if (on && on.tagName === "SELECT") return;
  else if (event.key === " " && !(on && ["BUTTON", "A", "SUMMARY"].includes(on.tagName))) toggle();
  else if (event.key === "ArrowLeft") go(ahead(now, -1));
  else if (event.key === "ArrowRight") go(ahead(now, 1));
  else if (event.key === "Home") go(0);
  else if (event.key === "End") go(last);
  else if (event.key === "/") byId("search").focus();
  else return;
  event.preventDefault();
});
addEventListener("resize", () => fit());
dark.addEventListener("change", () => { rendered = ""; if (opened) renderDetail(); });
for (const box of boxes.values()) box.folded = box.folded && steps.length > 1;
steps.forEach(arrange);
if (steps.length) fit();
show(last);
