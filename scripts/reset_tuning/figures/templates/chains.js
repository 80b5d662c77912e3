// Shows the chain behind a cell: evaluations, jobs and files, from the table to the raw files.
let data;
const [tables, rows, columns] = ["table", "row", "column"].map((id) => document.getElementById(id));
const place = document.getElementById("chain");

function offer(select, names) {
  const before = select.value;
  select.replaceChildren(...names.map((name) => element("option", "", name)));
  if (names.includes(before)) select.value = before;
}

function update() {
  const table = data.tables[tables.value];
  offer(rows, table.rows.map((row) => row.name));
  const row = table.rows.find((one) => one.name === rows.value);
  offer(columns, Object.keys(row.chains));
  show(table, row.chains[columns.value]);
}

function show(table, chain) {
  place.replaceChildren(element("h2", "", "The number"), values(chain.values));
  place.append(element("p", "soft", table.path));
  if (chain.evaluations.length) place.append(element("h2", "", "Evaluations behind it"), evaluations(chain));
  const judges = chain.files.filter((file) => file in data.judges);
  if (judges.length) place.append(element("h2", "", "Judges on the way"), listed(judges.map(judge)));
  place.append(element("h2", "", "Jobs and files, from the table backwards"));
  groups(chain).forEach((group) => place.append(group));
  place.append(sources(chain));
}

function values(shown) {
  const made = element("dl");
  Object.entries(shown).forEach(([name, value]) =>
    made.append(element("dt", "", name), element("dd", "", value || "(empty)")));
  return made;
}

function evaluations(chain) {
  const head = ["run", "seed", "checkpoint", "test set", "metric", "scorer", "mean", "n"];
  const table = element("table");
  const line = (cells, name) => {
    const made = element("tr");
    cells.forEach((cell) => made.append(element(name, "text", cell)));
    return made;
  };
  const top = element("thead");
  top.append(line(head, "th"));
  const body = element("tbody");
  chain.evaluations.forEach((cells) => body.append(line(cells, "td")));
  table.append(top, body);
  const made = element("div", "scroll");
  made.tabIndex = 0;
  made.append(table);
  return made;
}

const judge = (file) => `${data.judges[file]} (${data.files[file][0]})`;

function listed(texts) {
  const made = element("ul");
  texts.forEach((text) => made.append(element("li", "", text)));
  return made;
}

function groups(chain) {
  const byRule = new Map();
  chain.jobs.forEach((number) => {
    const job = data.jobs[number];
    byRule.set(job.rule, [...(byRule.get(job.rule) || []), number]);
  });
  return [...byRule].map(([rule, numbers]) => group(rule, numbers, chain));
}

function group(rule, numbers, chain) {
  const made = element("details");
  const count = numbers.length > 1 ? `${numbers.length} jobs` : "1 job";
  made.append(element("summary", "", `${rule} (${count})`));
  // Opened late: a chain may have a thousand files.
  made.addEventListener("toggle", () => {
    if (made.childElementCount === 1) numbers.forEach((number) => made.append(job(number, chain)));
  });
  return made;
}

function job(number, chain) {
  const told = data.jobs[number];
  const made = element("div", "job");
  const files = chain.files.filter((file) => data.made[file] === number);
  made.append(fileList(files));
  const facts = { ended: told.ended, code: told.commit, environment: told.environment, log: told.log,
    benchmark: told.benchmark, ...told.params };
  const list = element("dl");
  Object.entries(facts).forEach(([name, value]) =>
    list.append(element("dt", "", name), element("dd", "", value === undefined ? "not recorded" : value)));
  if (told.environment) {
    list.querySelectorAll("dd")[2].title = data.environments[told.environment];
  }
  made.append(list);
  return made;
}

function fileList(files) {
  const lines = files.map((file) => `${data.files[file][1]}  ${data.files[file][0]}`);
  return element("pre", "", lines.join("\n"));
}

function sources(chain) {
  const jobs = new Set(chain.jobs);
  const files = chain.files.filter((file) => !jobs.has(data.made[file]));
  const made = element("details");
  made.append(element("summary", "", `Files that no job made (${files.length})`), fileList(files));
  return made;
}

[tables, rows, columns].forEach((select) => select.addEventListener("input", update));
readData().then((read) => {
  data = read;
  offer(tables, Object.keys(data.tables));
  update();
});
