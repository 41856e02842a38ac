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
  const LABEL = 14; // pixels from one label's line to the next
  const compact = new Intl.NumberFormat("en", { notation: "compact" });
  const count = (step) => (step < 10_000 ? String(Math.round(step)) : compact.format(step));

  // Labels at the ends of lines: each as near to its line as the others and the room allow, none over another.
  function placed(labels, first, last) {
    const sorted = [...labels].sort((a, b) => a.at - b.at);
    let free = first;
    for (const label of sorted) {
      label.y = Math.max(label.at + 4, free);
      free = label.y + LABEL;
    }
    let most = last;
    for (const label of sorted.reverse()) {
      label.y = Math.min(label.y, most);
      most = label.y - LABEL;
    }
    return sorted;
  }
  // Numbers of an axis that are 36 pixels apart or more.
  function ticks(low, high, height) {
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((each) => (each * height) / (high - low) >= 36) || 100;
    const found = [];
    for (let place = Math.ceil(low / step); place * step <= high; place += 1) found.push(place * step);
    return found.map((score) => [score, score.toFixed(step < 1 ? 1 : 0)]);
  }

  function chart(cell, size, room) {
    const [usual, height, axes] = SIZES[size];
    const width = room ? Math.max(240, room) : usual; // drawn as wide as it is shown: text keeps its size
    const limit = cell.limit ?? data.limits[0];
    const chance = cell.chance ?? data.chance;
    const curves = [];
    if (cell.control) curves.push(["ctrl", cell.control[0], cell.control[1], "control "]);
    else if (cell.last != null) curves.push(["ctrl", [0, (cell.steps || []).at(-1) || 1], [cell.last, cell.last], "control "]);
    if (cell.baseline) curves.push(["baseline", cell.baseline[0], cell.baseline[1], "baseline "]);
    curves.push([cell.fails ? "curve bad" : "curve", cell.steps || [], cell.curve, ""]);
    const scores = curves.flatMap((curve) => curve[2]).filter((score) => score != null);
    const top = chance ?? Math.max(limit, ...scores);
    const high = Math.min(Math.max(top, ...scores), top + 2) + 0.15;
    const low = Math.min(limit, ...scores) - 0.15;
    const last = Math.max(1, ...curves.flatMap((curve) => curve[1].slice(-1)));
    const names = [`limit ${limit.toFixed(2)}`, ...curves.map(([, , values, name]) => {
      const end = values.findLast((score) => score != null);
      return values.length && end !== values.at(-1) && !name ? "non-finite" : end == null ? "" : name + end.toFixed(2);
    })];
    const margin = 12 + 6.6 * Math.max(...names.map((name) => name.length));
    const [left, right, over, under] = axes ? [34, margin, 20, 26] : [3, 8, 5, 5];
    const x = (step) => left + (step / last) * (width - left - right);
    const y = (score) => over + ((high - Math.min(score, high)) / (high - low)) * (height - over - under);
    const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken(cell) });
    if (axes) {
      for (const [score, text] of ticks(low, high, height - over - under)) {
        drawn.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(score), y2: y(score) }));
        drawn.append(svg("text", { x: left - 6, y: y(score) + 4, "text-anchor": "end" }, text));
      }
      for (const step of [0, last / 2, last]) {
        drawn.append(svg("text", { x: x(step), y: height - 8, "text-anchor": "middle" }, count(step)));
      }
      drawn.append(svg("text", { x: 2, y: height - 8 }, "step"));
      drawn.append(svg("text", { x: 2, y: 10 }, "BPB"));
    }
    drawn.append(svg("line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }));
    const labels = [{ at: y(limit), text: names[0], looks: "" }];
    curves.forEach(([looks, steps, values, name], place) => {
      let path = "";
      let pen = "M";
      values.forEach((score, at) => {
        if (score == null) { pen = "M"; return; }
        path += `${pen}${x(steps[at]).toFixed(1)} ${y(score).toFixed(1)}`;
        pen = "L";
      });
      const end = values.findLastIndex((score) => score != null);
      if (path) drawn.append(svg("path", { class: looks, d: path }));
      if (path && !name) {
        drawn.append(svg("circle", { class: looks.replace("curve", "dot"), cx: x(steps[end]), cy: y(values[end]), r: axes ? 4 : 3 }));
      }
      if (names[place + 1]) labels.push({ at: path ? y(values[end]) : over, text: names[place + 1], looks: name ? "" : "value" });
    });
    if (axes) {
      for (const label of placed(labels, over - 4, height - under + 2)) {
        drawn.append(svg("text", { class: label.looks, x: width - right + 8, y: label.y }, label.text));
      }
      if (!cell.curve.length) drawn.append(svg("text", { x: left + 6, y: height - under - 8 }, "no curve: it was not trained"));
    }
    return drawn;
  }

  function spoken(cell) {
    const curve = cell.curve.length
      ? `from ${number(cell.curve[0])} at step ${cell.steps[0]} to ${number(cell.curve.at(-1))} at step ${cell.steps.at(-1)} bits per byte`
      : "no curve";
    const lost = cell.curve.indexOf(null);
    return `${cell.name}: ${cell.verdict}, ${curve}${lost < 0 ? "" : `, non-finite from step ${cell.steps[lost]}`}${cell.last == null ? "" : `; control ends at ${number(cell.last)}`}`;
  }
  const number = (score) => (score == null ? "non-finite" : score.toFixed(2));

  // The gallery: what is asked for, some at a time.
  const STEP = 60;
  let chosen = [];
  let shown = 0;
  const ranked = [...cells].sort((a, b) => b.fails - a.fails || a.place - b.place);

  // Of `package.module:function@4` the end is its own: the cards of one module would all be called the same.
  const brief = (name) => (name.length > 20 && name.includes(":") ? `…${name.slice(name.lastIndexOf(":"))}` : name);
  function card(cell) {
    return el("a", { class: cell.fails ? "card bad" : "card", href: `#cell/${encodeURIComponent(cell.id)}` },
      el("b", { title: cell.subject }, brief(cell.subject)),
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
      const text = `${cell.id} ${cell.subject} ${cell.optimizer} ${cell.cause || ""} ${cell.verdict} ${cell.turned || ""}`.toLowerCase();
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
        cell.known ? ` a known failure: ${cell.known}` : "", cell.turned ? ` ${cell.turned}` : ""),
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
