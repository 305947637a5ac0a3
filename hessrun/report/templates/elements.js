// What the page knows, and small pieces of it. The files of the script share one scope.

const data = JSON.parse(document.getElementById("data").textContent);
const looks = Object.fromEntries(data.entries.map((entry) => [entry.label, entry]));
const state = { axis: "step", hidden: new Set() };
const drawn = []; // functions that draw again what has been drawn

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
