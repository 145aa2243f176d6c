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
  box.element.classList.toggle("none", !first);
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
  if (node) center(node);
  const place = step.section.getBoundingClientRect();
  if (place.bottom > innerHeight + 40 || place.top < 0) step.section.scrollIntoView({block: "nearest", behavior: calm.matches ? "auto" : "smooth"});
}

function center(node) {
  const {graph, scale, box} = node.step, area = (node.in || node).now;
  if (graph.scrollWidth <= graph.clientWidth + 4) return;
  const left = (area[0] + area[2] / 2 - box[0]) * scale - graph.clientWidth / 2;
  graph.scrollTo({left, behavior: calm.matches ? "auto" : "smooth"});
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
