"use strict";
// How a cell's curve is drawn. Where it leaves the scale it is cut at the upper edge: arrows there say where it went on
// above, and a line of text from which score to which.
const charts = (data) => {
  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text != null) made.textContent = text;
    return made;
  };

  const SIZES = { small: [200, 84, false], middle: [440, 190, true], large: [760, 320, true] };
  const LABEL = 14; // pixels from one label's line to the next
  const ARROW = 12; // pixels of an arrow's height, and the least from one to the next
  const compact = new Intl.NumberFormat("en", { notation: "compact" });
  const count = (step) => (step < 10_000 ? String(Math.round(step)) : compact.format(step));
  const number = (score) => {
    if (score == null) return "non-finite";
    const size = Math.abs(score);
    return size < 10_000 ? score.toFixed(2) : size < 1e9 ? compact.format(score) : score.toExponential(1);
  };

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
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((each) => (each * height) / (high - low) >= 36) || 10 ** Math.ceil(Math.log10(((high - low) * 36) / height));
    const found = [];
    for (let place = Math.ceil(low / step); place * step <= high; place += 1) found.push(place * step);
    return found.map((score) => [score, score.toFixed(step < 1 ? 1 : 0)]);
  }

  // The curves of a chart, the cell's own last, and the scale that they are drawn on.
  function laidOut(cell) {
    const limit = cell.limit ?? data.limits[0];
    const curves = [];
    const add = (looks, name, steps, values) => curves.push({ looks, name, steps, values });
    if (cell.control) add("ctrl", "control ", cell.control[0], cell.control[1]);
    else if (cell.last != null) add("ctrl", "control ", [0, (cell.steps || []).at(-1) || 1], [cell.last, cell.last]);
    if (cell.baseline) add("baseline", "baseline ", cell.baseline[0], cell.baseline[1]);
    add(cell.fails ? "curve bad" : "curve", "", cell.steps || [], cell.curve);
    const scores = curves.flatMap((curve) => curve.values).filter((score) => score != null);
    // What is lost beyond chance would press what is learned below it into a line.
    const top = cell.chance ?? data.chance ?? Math.max(limit, ...scores);
    const high = Math.min(Math.max(top, ...scores), top + 2) + 0.15;
    const low = Math.min(limit, ...scores) - 0.15;
    for (const curve of curves) curve.off = curve.values.map((score, place) => place).filter((place) => curve.values[place] > high);
    return { curves, limit, high, low, last: Math.max(1, ...curves.flatMap((curve) => curve.steps.slice(-1))) };
  }
  // `1583.75 to 275.00`: the first and the last score above the scale, or the largest where that lies between them.
  function range({ values, off }) {
    const scores = off.map((place) => values[place]);
    const [first, last, most] = [scores[0], scores.at(-1), Math.max(...scores)];
    if (most > Math.max(first, last)) return `up to ${number(most)}`;
    return number(first) === number(last) ? number(first) : `${number(first)} to ${number(last)}`;
  }
  const said = (curves) => curves.filter((curve) => curve.off.length).map((curve) => ({ looks: curve.name ? "" : "value", text: `${curve.name}off the scale: ${range(curve)}` }));
  // What a card says in words, which has no room for them in its chart; nothing where all is on the scale.
  const beyond = (cell) => said(laidOut(cell).curves).map((each) => each.text).join("; ");

  // A curve below `high`: it is cut where it crosses that edge.
  function pathOf({ steps, values }, high, x, y) {
    const at = (step, score) => `${x(step).toFixed(1)} ${y(score).toFixed(1)}`;
    let path = "";
    let before = null;
    values.forEach((score, place) => {
      const here = score == null ? null : { step: steps[place], score };
      if (here) {
        const crossing = before && (before.score > high) !== (score > high)
          ? at(before.step + ((high - before.score) / (score - before.score)) * (here.step - before.step), high) : "";
        if (score <= high) path += `${crossing ? `M${crossing}L` : before ? "L" : "M"}${at(here.step, score)}`;
        else if (crossing) path += `L${crossing}`;
      }
      before = here;
    });
    return path;
  }
  // Arrows out of the chart, where a curve goes on above it.
  function arrows({ steps, off }, x, edge) {
    const size = 4;
    let free = -Infinity;
    return off.map((place) => x(steps[place])).filter((at) => at >= free && ((free = at + ARROW), true))
      .map((at) => `M${at.toFixed(1)} ${edge - 2}V${edge - ARROW}m${-size} ${size}l${size} ${-size}l${size} ${size}`).join("");
  }

  function chart(cell, size, room) {
    const [usual, height, axes] = SIZES[size];
    const width = room ? Math.max(240, room) : usual; // drawn as wide as it is shown: text keeps its size
    const { curves, limit, high, low, last } = laidOut(cell);
    const notes = said(curves);
    const names = [`limit ${limit.toFixed(2)}`, ...curves.map(({ values, name }) => {
      const end = values.findLast((score) => score != null);
      return values.length && end !== values.at(-1) && !name ? "non-finite" : end == null ? "" : name + number(end);
    })];
    const margin = 12 + 6.6 * Math.max(...names.map((name) => name.length));
    const [left, right, over, under] = axes ? [34, margin, 20 + (notes.length && ARROW) + LABEL * Math.max(0, notes.length - 1), 26] : [7, 8, notes.length ? ARROW + 3 : 5, 5];
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
      notes.forEach(({ looks, text }, place) => drawn.append(svg("text", { class: looks, x: left, y: 10 + LABEL * place }, text)));
    }
    drawn.append(svg("line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }));
    const labels = [{ at: y(limit), text: names[0], looks: "" }];
    curves.forEach((curve, place) => {
      const { looks, name, steps, values, off } = curve;
      const end = values.findLastIndex((score) => score != null);
      const path = pathOf(curve, high, x, y);
      if (path) drawn.append(svg("path", { class: looks, d: path }));
      if (off.length) drawn.append(svg("path", { class: `${looks} off`, d: arrows(curve, x, over) }));
      if (end >= 0 && !name && !off.includes(end)) {
        drawn.append(svg("circle", { class: looks.replace("curve", "dot"), cx: x(steps[end]), cy: y(values[end]), r: axes ? 4 : 3 }));
      }
      if (names[place + 1]) labels.push({ at: end >= 0 ? y(values[end]) : over, text: names[place + 1], looks: name ? "" : "value" });
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
    const { curves } = laidOut(cell);
    const left = curves.filter(({ off }) => off.length).map((each) => {
      const [first, end] = [each.steps[each.off[0]], each.steps[each.off.at(-1)]];
      return `, ${each.name}off the scale of this chart at ${first === end ? `step ${first}` : `steps ${first} to ${end}`}: ${range(each)}`;
    });
    return `${cell.name}: ${cell.verdict}, ${curve}${lost < 0 ? "" : `, non-finite from step ${cell.steps[lost]}`}${left.join("")}${cell.last == null ? "" : `; control ends at ${number(cell.last)}`}`;
  }

  return { chart, number, beyond };
};
