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
