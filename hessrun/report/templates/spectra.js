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
    const negative = probe.negative === null ? "" : `, ${probe.negative} of ${probe.n} eigenvalues below minus the noise floor`;
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
