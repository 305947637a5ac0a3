"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const looks = Object.fromEntries(data.entries.map((entry) => [entry.label, entry]));
  const state = { axis: "step", hidden: new Set() };
  const drawn = []; // functions that draw again what has been drawn

  // Small pieces of the page

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  const DASHES = { "-": "", "--": "6 3", "-.": "6 3 2 3", ":": "2 3", solid: "", dash: "6 3", dashdot: "6 3 2 3", dot: "2 3" };

  function swatch(colour, dash) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [name, value] of Object.entries({ width: 26, height: 12, "aria-hidden": "true" })) svg.setAttribute(name, value);
    const facts = { x1: 1, x2: 25, y1: 6, y2: 6, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": DASHES[dash] };
    for (const [name, value] of Object.entries(facts)) line.setAttribute(name, value);
    svg.append(line);
    return svg;
  }

  const SYMBOLS = { circle: "●", square: "■", "triangle-up": "▲", diamond: "◆", "triangle-down": "▼", cross: "✚", x: "✖", star: "★" };

  /* What stands for a trace in a legend: its line, or its symbol where it has no line. */
  function sample(trace) {
    if (trace.mode !== "markers") return swatch(trace.line.color, trace.line.dash);
    return element("span", { style: `color: ${trace.marker.color}`, "aria-hidden": "true" }, `${SYMBOLS[trace.marker.symbol] || "●"} `);
  }

  function entryButton(label, text = label, drawn = swatch(looks[label].colour, looks[label].dash)) {
    const pressed = String(!state.hidden.has(label));
    const button = element("button", { type: "button", "data-entry": label, "aria-pressed": pressed, title: "Show or hide in all figures" });
    button.append(drawn, text);
    button.addEventListener("click", () => toggle(label));
    return button;
  }

  function toggle(label) {
    if (!state.hidden.delete(label)) state.hidden.add(label);
    for (const button of document.querySelectorAll("button[data-entry]")) {
      button.setAttribute("aria-pressed", String(!state.hidden.has(button.dataset.entry)));
    }
    drawAgain();
  }

  const drawAgain = () => drawn.forEach((draw) => draw());

  // An axis that is linear within a threshold and logarithmic beyond, which plotly does not have

  const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

  function position(value, threshold) {
    if (value === null) return null;
    const size = Math.abs(value) / threshold;
    return Math.sign(value) * (size <= 1 ? size : 1 + Math.log10(size));
  }

  function power(exponent, sign) {
    if (Math.abs(exponent) <= 1) return (sign < 0 ? "−" : "") + String(Number((10 ** exponent).toPrecision(1)));
    return (sign < 0 ? "−10" : "10") + [...String(exponent)].map((digit) => RAISED[digit]).join("");
  }

  function symlogTicks(positions, threshold) {
    const known = positions.filter((value) => value !== null);
    const low = Math.floor(Math.min(0, ...known)), high = Math.ceil(Math.max(0, ...known));
    const every = Math.max(1, Math.ceil((high - low) / 8));
    const first = Math.round(Math.log10(threshold));
    const ticks = { tickvals: [], ticktext: [] };
    for (let at = low; at <= high; at += 1) {
      if (at % every !== 0) continue;
      ticks.tickvals.push(at);
      ticks.ticktext.push(at === 0 ? "0" : power(first + Math.abs(at) - 1, Math.sign(at)));
    }
    return ticks;
  }

  // Panels

  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

  function axisLayout(title, scale, threshold, values) {
    const axis = {
      title: { text: title, standoff: 8 }, automargin: true, zeroline: false, gridcolor: "#e4e4e8",
      linecolor: "#888", showline: true, type: scale === "log" ? "log" : "linear", exponentformat: "power", nticks: 7,
    };
    if (scale === "log") axis.dtick = wideLog(values) ? undefined : "D2";
    if (scale === "symlog") Object.assign(axis, symlogTicks(values.map((value) => position(value, threshold)), threshold), { tickmode: "array" });
    return axis;
  }

  function wideLog(values) {
    const known = values.filter((value) => value !== null && value > 0);
    return Math.max(...known) > 1e3 * Math.min(...known);
  }

  function drawPanel(plot, panel, scales) {
    const all = (name) => panel.data.flatMap((trace) => trace[name]);
    const placed = (name) => (value) => (scales[name] === "symlog" ? position(value, panel.scales[name].linthresh) : value);
    const traces = panel.data.map((trace) => ({
      ...trace,
      x: trace.x.map(placed("x")),
      y: trace.y.map(placed("y")),
      visible: !state.hidden.has(trace.meta),
      customdata: trace.x.map((x, i) => [x, trace.y[i]]),
      hovertemplate: trace.hoverinfo ? undefined : trace.hovertemplate.replace("%{x", "%{customdata[0]").replace("%{y", "%{customdata[1]"),
    }));
    const layout = {
      margin: { l: 62, r: 14, t: 30, b: 46 }, showlegend: false, hovermode: "closest", font: { size: 12, color: "#1c1c1e" },
      paper_bgcolor: "#fff", plot_bgcolor: "#fff", uirevision: `${scales.x}${scales.y}${panel.axis}`,
      xaxis: axisLayout(panel.layout.xaxis.title.text, scales.x, panel.scales.x.linthresh, all("x")),
      yaxis: { ...axisLayout(panel.layout.yaxis.title.text, scales.y, panel.scales.y.linthresh, all("y")), ...panel.layout.yaxis.named },
    };
    return Plotly.react(plot, traces, layout, CONFIG);
  }

  /* One place of a figure: panels that show the same against another axis share it. */
  function place(panels) {
    const plot = element("div", { class: "plot" });
    const chosen = { x: undefined, y: undefined };
    const current = () => panels.find((panel) => panel.axis === state.axis) || panels[0];
    const scales = (panel) => ({ x: chosen.x || panel.scales.x.scale, y: chosen.y || panel.scales.y.scale });
    const buttons = ["x", "y"].map((name) => element("button", { type: "button", "data-scale": name, onclick: () => {
      const panel = current();
      const own = panel.scales[name].scale;
      const positive = panel.data.every((trace) => trace[name].every((value) => value === null || value >= 0));
      const other = own === "linear" ? (positive ? "log" : "linear") : own;
      chosen[name] = scales(panel)[name] === "linear" ? other : "linear";
      draw();
    } }));
    function draw() {
      const panel = current();
      const now = scales(panel);
      buttons.forEach((button) => {
        const name = button.dataset.scale;
        button.textContent = `${name}: ${now[name] === "linear" ? "linear" : "log"}`;
        button.setAttribute("aria-pressed", String(now[name] !== "linear"));
        button.setAttribute("aria-label", `Logarithmic ${name} axis of ${panel.layout.yaxis.title.text}`);
      });
      drawPanel(plot, panel, now);
    }
    const box = element("div", { class: "panel" });
    if (panels[0].title) box.append(element("h4", {}, panels[0].title));
    box.append(plot, element("div", { class: "scales" }, ...buttons));
    return { box, draw };
  }

  /* Up to three beside each other; four as two and two. */
  function panelGrid(boxes) {
    const columns = boxes.length === 4 ? 2 : Math.min(3, boxes.length);
    return element("div", { class: "panels", style: `--columns: ${columns}` }, ...boxes);
  }

  function legend(panels) {
    const list = element("ul", { class: "legend", "aria-label": "Legend" });
    const seen = new Set();
    for (const trace of panels.flatMap((panel) => panel.data)) {
      if (trace.showlegend === false || seen.has(trace.name)) continue;
      seen.add(trace.name);
      const known = trace.meta in looks;
      list.append(element("li", {}, ...(known ? [entryButton(trace.meta, trace.name, sample(trace))] : [sample(trace), ` ${trace.name}`])));
    }
    return list;
  }

  function showChart(figure) {
    const chart = data.charts[figure.dataset.chart];
    const places = new Map();
    for (const panel of chart.panels) {
      const key = panel.axis ? `${panel.title}|${panel.layout.yaxis.title.text}` : panel;
      places.set(key, [...(places.get(key) || []), panel]);
    }
    const made = [...places.values()].map(place);
    const live = element("div", { class: "live" }, panelGrid(made.map((one) => one.box)), legend(chart.panels));
    figure.querySelector(".static").replaceWith(live);
    made.forEach((one) => { drawn.push(one.draw); one.draw(); });
  }

  // The slider through the spectra

  function showSpectra(figure) {
    const found = data.spectra.find((one) => one.title === figure.dataset.spectra);
    const chooser = element("select", { "aria-label": "Optimizer" }, ...found.runs.map((run, i) => element("option", { value: i }, run.entry)));
    const range = element("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "Probed step" });
    const said = element("output");
    const plots = [element("div", { class: "plot" }), element("div", { class: "plot" })];
    const live = element("div", { class: "live" },
      element("div", { class: "controls" }, element("label", {}, "Optimizer ", chooser), range, said),
      panelGrid(plots.map((plot) => element("div", { class: "panel" }, plot))));
    figure.append(live);

    const frame = found.runs.flatMap((run) => run.probes.flatMap((probe) => probe.values));
    const shares = found.runs.flatMap((run) => run.probes.flatMap((probe) => probe.shares || []));
    const most = Math.max(...shares, 1e-9);
    const ticks = symlogTicks([...frame.map((value) => position(value, found.threshold))], found.threshold);
    const axis = (title) => axisLayout(title, "linear", 1, []);
    const base = { margin: { l: 62, r: 14, t: 30, b: 46 }, showlegend: false, paper_bgcolor: "#fff", plot_bgcolor: "#fff", font: { size: 12, color: "#1c1c1e" } };

    function draw() {
      const run = found.runs[Number(chooser.value)];
      range.max = run.probes.length - 1;
      const probe = run.probes[Number(range.value)];
      const colour = looks[run.entry].colour;
      const negative = probe.negative === null ? "" : `, ${probe.negative} of ${probe.n} eigenvalues below the noise floor`;
      said.textContent = `step ${probe.step}${negative}`;
      range.setAttribute("aria-valuetext", said.textContent);
      const floor = probe.floor === null ? [] : [position(probe.floor, found.threshold)];
      const band = (ref) => floor.map((at) => ({ type: "rect", layer: "below", line: { width: 0 }, fillcolor: "#ddd",
        ...(ref === "y" ? { xref: "paper", x0: 0, x1: 1, y0: -at, y1: at } : { yref: "paper", y0: 0, y1: 1, x0: -at, x1: at }) }));
      const eigenvalue = { ...axis("eigenvalue"), ...ticks, tickmode: "array", range: found.ends };
      const values = probe.values.map((value) => position(value, found.threshold));
      Plotly.react(plots[0], [{ type: "scatter", mode: probe.values.length > 60 ? "lines" : "lines+markers", x: probe.ranks, y: values, customdata: probe.values,
        line: { color: colour }, hovertemplate: "rank %{x}<br>eigenvalue: %{customdata:.4~g}<extra></extra>" }],
      { ...base, shapes: band("y"), xaxis: { ...axis("rank, ascending"), range: [1 - 0.02 * probe.n, 1.02 * probe.n] }, yaxis: eigenvalue }, CONFIG);
      const bars = probe.shares ? [{ type: "scatter", mode: "lines", line: { shape: "hvh", color: colour }, fill: "tozeroy", x: found.grid, y: probe.shares,
        hovertemplate: "share: %{y:.3~g} per decade<extra></extra>" }] : [];
      Plotly.react(plots[1], bars, { ...base, shapes: band("x"), xaxis: eigenvalue,
        yaxis: { ...axis("share of the eigenvalues per decade"), range: [0, 1.05 * most] } }, CONFIG);
    }
    chooser.addEventListener("change", () => { range.value = 0; draw(); });
    range.addEventListener("input", draw);
    draw();
  }

  // Tables

  function number(text) {
    const cleaned = text.replace(/,/g, "").replace("−", "-");
    if (cleaned.startsWith("∞")) return Infinity;
    return /^[-+]?[\d.]/.test(cleaned) ? parseFloat(cleaned) : NaN;
  }

  function sortable(table) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = element("button", { type: "button" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = [...body.rows].map((row) => [row, row.cells[column].textContent.trim()]);
        const numeric = keyed.every(([, text]) => text === "–" || text === "" || !Number.isNaN(number(text)));
        keyed.sort(([, a], [, b]) => {
          if (!numeric) return (down ? -1 : 1) * a.localeCompare(b, "en", { numeric: true });
          const [x, y] = [number(a), number(b)];
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // what is missing stands last
          return x === y ? 0 : (down ? -1 : 1) * (x < y ? -1 : 1);
        });
        body.append(...keyed.map(([row]) => row));
      });
    });
  }

  function filterable(figure) {
    const table = figure.querySelector("table");
    const rows = [...table.tBodies[0].rows];
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
    const words = element("input", { type: "search", placeholder: "words, e.g. lbfgs lr=0.1", "aria-label": "Filter the runs" });
    const count = element("output", { "aria-live": "polite" });
    const choosers = ["problem", "optimizer", "status"].filter((name) => heads.includes(name)).map((name) => {
      const column = heads.indexOf(name);
      const values = [...new Set(rows.map((row) => row.cells[column].textContent.trim()))].sort();
      const chooser = element("select", { "aria-label": name }, element("option", { value: "" }, `any ${name}`), ...values.map((value) => element("option", { value }, value)));
      return { column, chooser };
    });
    function apply() {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const shown = wanted.every((word) => text.includes(word)) &&
          choosers.every(({ column, chooser }) => !chooser.value || row.cells[column].textContent.trim() === chooser.value);
        row.hidden = !shown;
        left += shown;
      }
      count.textContent = `${left} of ${rows.length} runs`;
    }
    words.addEventListener("input", apply);
    choosers.forEach(({ chooser }) => chooser.addEventListener("change", apply));
    figure.querySelector(".scroll").before(element("div", { class: "filters" }, element("label", {}, "Filter ", words), ...choosers.map((one) => one.chooser), count));
    apply();
  }

  // The page

  function start() {
    const runs = document.querySelector("figure[data-runs]");
    if (runs) filterable(runs);
    for (const table of document.querySelectorAll("table")) sortable(table);
    if (typeof Plotly === "undefined") return;
    document.getElementById("switches").hidden = false;
    document.getElementById("entries").append(...data.entries.map((entry) => entryButton(entry.label)));
    for (const radio of document.querySelectorAll("input[name=axis]")) {
      radio.addEventListener("change", () => { state.axis = radio.value; drawAgain(); });
    }
    const show = (figure) => (figure.dataset.chart ? showChart(figure) : showSpectra(figure));
    const seen = new IntersectionObserver((changes) => {
      for (const change of changes.filter((one) => one.isIntersecting)) {
        seen.unobserve(change.target);
        show(change.target);
      }
    }, { rootMargin: "400px" });
    for (const figure of document.querySelectorAll("figure[data-chart], figure[data-spectra]")) {
      figure.hidden = false;
      seen.observe(figure);
    }
  }

  start();
})();
