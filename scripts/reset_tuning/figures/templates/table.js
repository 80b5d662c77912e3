// Fills a long table and hides the rows that the filters leave out.
const selects = [...document.querySelectorAll("select")];
const search = document.querySelector("input[type=search]");
const count = document.getElementById("count");
const body = document.querySelector("tbody");
let rows = [];

function line(cells, kinds) {
  const made = element("tr");
  cells.forEach((cell, place) => made.append(element("td", kinds[place], cell)));
  return made;
}

function filter() {
  const words = wordsOf(search);
  let shown = 0;
  rows.forEach(({ cells, text, made }) => {
    const fits = selects.every((select) => !select.value || cells[select.dataset.column] === select.value);
    made.hidden = !(fits && words.every((word) => text.includes(word)));
    shown += made.hidden ? 0 : 1;
  });
  count.textContent = `${shown} of ${rows.length} rows`;
}

readData().then((data) => {
  rows = data.rows.map((cells) => (
    { cells, text: cells.join(" ").toLowerCase(), made: line(cells, data.kinds) }));
  body.append(...rows.map((row) => row.made));
  [search, ...selects].forEach((control) => control.addEventListener("input", filter));
  filter();
});
