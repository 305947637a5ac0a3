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
