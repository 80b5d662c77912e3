// Shows examples with every system's answer. The data stand in the page, so nothing is loaded.
const BATCH = 10; // examples shown at once; a button shows more
const controls = Object.fromEntries(
  ["dataset", "search", "differ"].map((name) => [name, document.getElementById(name)]));
const boxes = [...document.querySelectorAll("#systems input")];
const list = document.getElementById("examples");
const more = document.getElementById("more");
let data;
let found = [];
let shown = 0;

function chosenSystems() {
  return boxes.filter((box) => box.checked).map((box) => Number(box.value));
}

// All that the search looks at: the prompt, the references and the answers of the chosen systems.
function searchedText(example, systems) {
  const answers = systems.map((system) => example.texts[example.answers[system].text]);
  return [example.id, example.prompt, ...example.references, ...answers].join("\n").toLowerCase();
}

function differs(example, systems) {
  return new Set(systems.map((system) => example.answers[system].text)).size > 1;
}

function filter() {
  const systems = chosenSystems();
  const words = wordsOf(controls.search);
  found = data.examples.filter((example) =>
    (!controls.dataset.value || example.dataset === controls.dataset.value)
    && (!controls.differ.checked || differs(example, systems))
    && (!words.length || words.every((word) => searchedText(example, systems).includes(word))));
  document.getElementById("count").textContent =
    `${found.length} of ${data.examples.length} examples, ${systems.length} of ${boxes.length} systems`;
  list.replaceChildren();
  shown = 0;
  showMore();
}

function showMore() {
  const systems = chosenSystems();
  found.slice(shown, shown + BATCH).forEach((example) => list.append(card(example, systems)));
  shown = Math.min(found.length, shown + BATCH);
  more.hidden = shown >= found.length;
  more.textContent = `Show more (${found.length - shown} left)`;
}

function card(example, systems) {
  const made = element("article");
  const set = data.datasets[example.dataset];
  const head = element("h2", "", example.dataset);
  head.append(element("span", "soft", ` ${set.kind}, ${set.role} · ${example.id}`));
  made.append(head, element("p", "question", example.question));
  made.append(folded("Prompt (whole; a model whose limit it exceeds reads less of the context)", example.prompt));
  made.append(references(example));
  const grid = element("div", "answers");
  systems.forEach((system) => grid.append(answer(example, system)));
  made.append(grid);
  return made;
}

function folded(title, text) {
  const made = element("details");
  made.append(element("summary", "", title), element("pre", "", text));
  return made;
}

function references(example) {
  const made = element("p", "reference");
  made.append(element("strong", "", example.references.length > 1 ? "References: " : "Reference: "));
  made.append(example.references.join(" | ") || "the set has none");
  return made;
}

function answer(example, system) {
  const given = example.answers[system];
  const made = element("section", "answer");
  made.append(element("h3", "", data.systems[system].label));
  const text = example.texts[given.text];
  const nothing = given.ended === "missing" ? "(missing: there is no such row)" : "(empty)";
  made.append(element("p", text ? "text" : "text soft", text || nothing));
  if (given.ended && given.ended !== "missing") {
    made.append(element("p", "soft", `ended by ${given.ended}`));
  }
  const scores = element("p", "scores");
  Object.entries(given.scores).forEach(([name, value]) => {
    const number = typeof value === "number";
    const chip = element("span", number ? "score" : "score failed");
    chip.append(`${name} `, element("b", "", number ? value.toFixed(2) : value));
    scores.append(chip, " ");
  });
  made.append(scores);
  if (given.judge) made.append(folded("What the judge said", given.judge));
  return made;
}

function tick(wanted) {
  boxes.forEach((box) => { box.checked = wanted(data.systems[box.value]); });
  filter();
}

[controls.dataset, controls.search, controls.differ, ...boxes].forEach((control) =>
  control.addEventListener("input", filter));
more.addEventListener("click", showMore);
document.getElementById("all").addEventListener("click", () => tick(() => true));
document.getElementById("main").addEventListener("click", () => tick((system) => system.main));
readData().then((read) => {
  data = read;
  filter();
});
