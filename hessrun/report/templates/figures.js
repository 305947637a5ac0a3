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
