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
  if (from && nodes.has(from.id)) center(nodes.get(from.id));
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
    parts.push(make("p", {class: of.check.startsWith("WRONG") ? "bad" : "soft"}, "Compared with differences: " + of.check));
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
  const [name, order] = of.kind === "parameter" ? ["kernels", "weight[0], then weight[1]"] : ["maps", "the first example, then the next"];
  const many = `The first ${found.n} of ${found.of}`;
  const words = found.maps ? `${many} ${name}: the channels of ${order}.` : `${many} pictures, one for each ${kinds[of.pictures] || "row"}.`;
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
  canvas.style.width = `${Math.max(14, width * cell)}px`;
  canvas.style.height = `${Math.max(14, height * cell)}px`;
  return canvas;
}

function scale(map) {
  const [low, zero, high] = ends().map((parts) => `rgb(${parts})`);
  const bar = make("span", {"aria-hidden": "true", style: `flex:0 0 4.5rem;height:0.7rem;border:1px solid var(--grid);background:linear-gradient(90deg,${low},${zero},${high})`});
  if (map.scale === "0") return null;
  const number = (words) => make("span", {class: "one"}, words);
  return make("p", {class: "scale"}, number(`−${map.scale}`), bar, number(map.scale), map.blocks || "");
}

