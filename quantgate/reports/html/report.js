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
  // A name that may be broken where its words end.
  const breakable = (name) => name.split(/(?<=[._:/@-])(?=\w)/).flatMap((part, place) => (place ? [el("wbr"), part] : [part]));
  // A sentence whose `commands` between backticks are set as code.
  const coded = (text) => String(text || "").split(/`([^`]+)`/).map((part, place) => (place % 2 ? el("code", {}, part) : part));
  const { chart, beyond } = charts(data);

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
      beyond(cell) ? el("small", { class: "beyond" }, beyond(cell)) : "",
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
  const titled = (name) => (data.words[name] ? { title: data.words[name] } : {});
  function pairs(list) {
    return el("dl", { class: "pairs" }, ...list.map(([name, text]) => el("div", {}, el("dt", titled(name), name), el("dd", {}, ...coded(text)))));
  }
  // What the names of these columns and facts mean, for who has no pointer to ask them with.
  function words(names) {
    const known = names.filter((name) => data.words[name]);
    return known.length ? el("details", { class: "words" }, el("summary", {}, "What these names mean"),
      el("dl", {}, ...known.map((name) => el("div", {}, el("dt", {}, name), el("dd", {}, data.words[name]))))) : "";
  }
  // A number of the evidence as it is written in sentences: no exponent, which is for programs.
  function written(value) {
    if (typeof value !== "number") return value == null ? "none" : String(value);
    const size = Math.abs(value);
    if (size === 0 || (size >= 1e-6 && size < 1e12)) return value.toLocaleString("en", { maximumSignificantDigits: 3 });
    const [digits, power] = value.toExponential().split("e");
    return `${digits} x 10^${Number(power)}`;
  }
  function scroll(label, table) {
    return el("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, table);
  }
  function tableOf(heads, rows) {
    return el("table", { class: "plain" },
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col", ...titled(head) }, head)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, place) =>
        place ? el("td", {}, value == null ? "none" : String(value)) : el("th", { scope: "row" }, String(value)))))));
  }
  // A cause is named by the first step that shows it: its sentence and these rows may give one quantity two numbers.
  function moment(cell) {
    const when = cell.moment == null ? "As last measured." : `As last measured, before optimizer step ${cell.moment}.`;
    return cell.because ? `${when} The sentence under Cause is of the first measurement that shows the fault, so its numbers may differ.` : when;
  }
  function detail(cell) {
    const close = el("button", { type: "button" }, "Close");
    close.addEventListener("click", () => $("detail").close());
    const parts = [
      el("header", {}, el("h2", { id: "detail-title", tabindex: "-1" }, ...breakable(cell.name)), close),
      el("p", {}, el("span", { class: `badge v-${cell.verdict}${cell.fails ? " fails" : " h0"}` }, cell.said),
        cell.known ? ` a known failure: ${cell.known}` : "", cell.turned ? ` ${cell.turned}` : ""),
    ];
    const drawing = el("div", {});
    parts.push(drawing);
    if (cell.cause || cell.because) {
      parts.push(el("h3", {}, "Cause"), el("p", {}, cell.cause ? el("code", {}, cell.cause) : "", cell.cause && cell.because ? ": " : "", ...coded(cell.because)));
    }
    if (cell.hint) parts.push(el("p", { class: "do" }, el("strong", {}, "Do: "), ...coded(cell.hint)));
    if (cell.source) parts.push(el("p", { class: "again" }, el("span", {}, "Source: "), el("code", {}, cell.source)));
    if (cell.command) parts.push(el("p", { class: "again" }, el("span", {}, "Again: "), el("code", { class: "command" }, cell.command.split(data.id).join(cell.id))));
    if (cell.rows) {
      const rows = cell.rows.map((row, place) => [cell.tensors[place], ...row.map(written)]);
      parts.push(el("h3", {}, "Evidence per tensor"), el("p", { class: "legend" }, moment(cell)),
        scroll("Evidence per tensor", tableOf(["tensor", ...cell.columns], rows)), words(cell.columns));
    }
    if (cell.output) parts.push(el("h3", {}, "Its output"), el("pre", { tabindex: "0" }, cell.output));
    parts.push(el("h3", {}, "What was measured"), pairs(cell.facts), words(cell.facts.map(([name]) => name)));
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
