"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const refs = new Set(data.refs);
  // Values with a name in `refs` are places in `data.shared`, which cells have in common.
  const cells = data.cells.map((packed, place) => {
    const cell = { place };
    for (const [name, value] of Object.entries(packed)) cell[name] = refs.has(name) ? data.shared[value] : value;
    cell.name = `${cell.subject} × ${cell.optimizer}${cell.variant ? ` ${cell.variant}` : ""}`;
    cell.said = `${cell.bpb == null ? "" : `${cell.bpb.toFixed(2)} `}${cell.verdict}`;
    return cell;
  });
  const byId = new Map(cells.map((cell) => [cell.id, cell]));
  const $ = (id) => document.getElementById(id);

  // Text from records reaches the page as text alone: elements are made, never parsed.
  const el = (name, attributes, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children.filter((child) => child != null && child !== ""));
    return made;
  };
  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text != null) made.textContent = text;
    return made;
  };

  const SIZES = { small: [200, 84, false], middle: [440, 190, true], large: [760, 320, true] };

  function chart(cell, size, room) {
    const [most_wide, height, axes] = SIZES[size];
    const width = room ? Math.max(240, Math.min(most_wide, room)) : most_wide; // text keeps its size on a phone
    const [left, right, top, bottom] = axes ? [34, 74, 20, 26] : [3, 8, 5, 5];
    const curves = [];
    if (cell.control) curves.push(["ctrl", cell.control[0], cell.control[1], "control"]);
    else if (cell.last != null) curves.push(["ctrl", [0, cell.steps.at(-1) || 1], [cell.last, cell.last], "control"]);
    if (cell.base) curves.push(["base", cell.base[0], cell.base[1], "base"]);
    curves.push([cell.fails ? "curve bad" : "curve", cell.steps, cell.curve, ""]);
    const scores = curves.flatMap((curve) => curve[2]).filter((score) => score != null);
    const last = Math.max(1, ...curves.flatMap((curve) => curve[1].slice(-1)));
    const high = Math.min(Math.max(data.chance, ...scores), data.chance + 2) + 0.15;
    const low = Math.min(data.limits[0], ...scores) - 0.15;
    const x = (step) => left + (step / last) * (width - left - right);
    const y = (score) => top + ((high - Math.min(score, high)) / (high - low)) * (height - top - bottom);
    const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(cell) });
    if (axes) {
      for (let score = Math.ceil(low); score <= high; score += 1) {
        drawn.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(score), y2: y(score) }));
        drawn.append(svg("text", { x: left - 6, y: y(score) + 4, "text-anchor": "end" }, score));
      }
      for (const step of [0, last / 2, last]) {
        drawn.append(svg("text", { x: x(step), y: height - 8, "text-anchor": "middle" }, Math.round(step)));
      }
      drawn.append(svg("text", { x: width - right + 18, y: height - 8 }, "steps"));
      drawn.append(svg("text", { x: 2, y: 10 }, "BPB"));
    }
    drawn.append(svg("line", { class: "limit", x1: left, x2: width - right, y1: y(data.limits[0]), y2: y(data.limits[0]) }));
    const labels = axes ? [[y(data.limits[0]), `limit ${data.limits[0].toFixed(2)}`, ""]] : [];
    for (const [looks, steps, values, name] of curves) {
      let path = "";
      let pen = "M";
      values.forEach((score, place) => {
        if (score == null) { pen = "M"; return; }
        path += `${pen}${x(steps[place]).toFixed(1)} ${y(score).toFixed(1)}`;
        pen = "L";
      });
      if (!path) continue;
      drawn.append(svg("path", { class: looks, d: path }));
      const end = values.findLastIndex((score) => score != null);
      if (looks.startsWith("curve")) {
        drawn.append(svg("circle", { class: looks.replace("curve", "dot"), cx: x(steps[end]), cy: y(values[end]), r: axes ? 4 : 3 }));
      }
      if (axes && (name || end === values.length - 1)) labels.push([y(values[end]), name ? `${name} ${values[end].toFixed(2)}` : `${values[end].toFixed(2)}`, name ? "" : "value"]);
    }
    labels.sort((a, b) => a[0] - b[0]);
    let under = top - 4;
    for (const [at, text, looks] of labels) {
      under = Math.max(at + 4, under + 13);
      drawn.append(svg("text", { class: looks, x: width - right + 8, y: under }, text));
    }
    const lost = cell.curve.indexOf(null);
    if (axes && lost >= 0) drawn.append(svg("text", { class: "value", x: left + 6, y: height - bottom - 8 }, `non-finite from step ${cell.steps[lost]}`));
    if (axes && !cell.curve.length) drawn.append(svg("text", { x: left + 6, y: top + 10 }, "no curve: it was not trained"));
    return drawn;
  }

  function spoken(cell) {
    const curve = cell.curve.length
      ? `from ${number(cell.curve[0])} at step ${cell.steps[0]} to ${number(cell.curve.at(-1))} at step ${cell.steps.at(-1)} bits per byte`
      : "no curve";
    return `${cell.name}: ${cell.verdict}, ${curve}${cell.last == null ? "" : `; control ends at ${number(cell.last)}`}`;
  }
  const number = (score) => (score == null ? "non-finite" : score.toFixed(2));

  // The gallery: what is asked for, some at a time.
  const STEP = 60;
  let chosen = [];
  let shown = 0;
  const ranked = [...cells].sort((a, b) => b.fails - a.fails || a.place - b.place);

  function card(cell) {
    return el("a", { class: cell.fails ? "card bad" : "card", href: `#cell/${encodeURIComponent(cell.id)}` },
      el("b", { title: cell.subject }, cell.subject),
      el("small", {}, el("span", {}, `${cell.optimizer} ${cell.variant || ""}`.trim()), el("span", {}, cell.said)),
      chart(cell, "small"));
  }
  function more() {
    const next = chosen.slice(shown, shown + STEP);
    $("gallery").append(...next.map(card));
    shown += next.length;
    $("more").hidden = shown >= chosen.length;
    $("more").textContent = `Show more curves (${(chosen.length - shown).toLocaleString("en")} left)`;
  }

  const links = [...document.querySelectorAll(".heat a[data-i]")];
  function filter() {
    const verdict = $("f-verdict").value;
    const optimizer = $("f-optimizer").value;
    const words = $("f-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = ranked.filter((cell) => {
      if (verdict === "!" ? !cell.fails : verdict && cell.verdict !== verdict) return false;
      if (optimizer && cell.optimizer !== optimizer) return false;
      const text = `${cell.id} ${cell.subject} ${cell.optimizer} ${cell.cause || ""} ${cell.verdict} ${cell.change || ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const kept = new Set(chosen.map((cell) => cell.place));
    const all = kept.size === cells.length;
    for (const link of links) link.hidden = !kept.has(Number(link.dataset.i));
    for (const row of document.querySelectorAll(".heat tbody tr:not(.control)")) {
      row.hidden = !all && !row.querySelector("a[data-i]:not([hidden])");
    }
    for (const said of document.querySelectorAll(".heat .said")) said.hidden = !all;
    $("f-count").textContent = `${kept.size.toLocaleString("en")} of ${cells.length.toLocaleString("en")} cells`;
    $("gallery").replaceChildren();
    shown = 0;
    more();
  }

  // One cell, opened by its address.
  function pairs(list) {
    return el("dl", { class: "pairs" }, ...list.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
  }
  function scroll(label, table) {
    return el("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, table);
  }
  function tableOf(heads, rows) {
    return el("table", { class: "plain" },
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, place) =>
        place ? el("td", {}, value == null ? "none" : String(value)) : el("th", { scope: "row" }, String(value)))))));
  }
  function detail(cell) {
    const close = el("button", { type: "button" }, "Close");
    close.addEventListener("click", () => $("detail").close());
    const parts = [
      el("header", {}, el("h2", { id: "detail-title", tabindex: "-1" }, cell.name), close),
      el("p", {}, el("span", { class: `badge v-${cell.verdict}${cell.fails ? " fails" : " h0"}` }, cell.said),
        cell.known ? ` a known failure: ${cell.known}` : "", cell.change ? ` ${cell.change} since the base` : ""),
    ];
    const drawing = el("div", {});
    parts.push(drawing);
    if (cell.cause || cell.because) {
      parts.push(el("h3", {}, "Cause"), el("p", {}, cell.cause ? el("code", {}, cell.cause) : "", cell.cause && cell.because ? ": " : "", cell.because || ""));
    }
    if (cell.hint) parts.push(el("p", { class: "do" }, el("strong", {}, "Do: "), cell.hint));
    if (cell.source) parts.push(el("p", { class: "again" }, el("span", {}, "Source: "), el("code", {}, cell.source)));
    if (cell.command) parts.push(el("p", { class: "again" }, el("span", {}, "Again: "), el("code", { class: "command" }, cell.command.split(data.id).join(cell.id))));
    if (cell.rows) {
      parts.push(el("h3", {}, "Evidence per tensor, at the last step"),
        scroll("Evidence per tensor", tableOf(["tensor", ...cell.columns], cell.rows.map((row, place) => [cell.tensors[place], ...row]))));
    }
    if (cell.output) parts.push(el("h3", {}, "Its output"), el("pre", { tabindex: "0" }, cell.output));
    parts.push(el("h3", {}, "What was measured"), pairs(cell.facts));
    if (cell.curve.length) {
      const heads = ["step", "BPB", ...(cell.control ? ["control"] : [])];
      const control = new Map(cell.control ? cell.control[0].map((step, place) => [step, cell.control[1][place]]) : []);
      const rows = cell.curve.map((score, place) => [cell.steps[place], score == null ? "non-finite" : score, ...(cell.control ? [control.get(cell.steps[place])] : [])]);
      parts.push(el("details", {}, el("summary", {}, "The curve as numbers"), scroll("The curve as numbers", tableOf(heads, rows))));
    }
    parts.push(el("h3", {}, "Environment"), pairs(cell.env));
    $("detail-body").replaceChildren(...parts);
    if (!$("detail").open) $("detail").showModal();
    drawing.append(chart(cell, "large", drawing.clientWidth));
    $("detail-title").focus();
    $("detail").scrollTop = 0;
  }
  let opened = "";
  function open() {
    let id = null;
    try {
      id = location.hash.startsWith("#cell/") ? decodeURIComponent(location.hash.slice(6)) : null;
    } catch { id = null; }
    const cell = byId.get(id);
    if (cell) { opened = location.hash; detail(cell); }
    else if ($("detail").open) $("detail").close();
  }
  // Closing comes after the fact: by then the address may be that of another cell.
  $("detail").addEventListener("close", () => {
    if (location.hash === opened) history.replaceState(null, "", location.pathname + location.search);
  });
  addEventListener("hashchange", open);
  addEventListener("popstate", open);
  $("more").addEventListener("click", more);
  document.querySelector(".filters").addEventListener("input", filter);
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  for (const place of document.querySelectorAll(".chart[data-cell]")) {
    place.append(chart(cells[Number(place.dataset.cell)], place.dataset.size, place.clientWidth));
  }
  filter();
  open();
})();
