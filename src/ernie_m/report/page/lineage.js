// A number of the page is a door: it opens the chain of jobs behind it. Needs nothing but this page.
"use strict";
(() => {
  const { jobs, settings } = JSON.parse(document.getElementById("lineage-data").textContent);
  const makers = new Map(jobs.flatMap((job, index) => job.made.map(([path]) => [path, index])));
  const dialog = document.getElementById("trace");
  const body = dialog.querySelector("div");
  const MANY = 4; // jobs of one stage that are listed without being asked for
  const FOUND = 12; // jobs that a search shows
  let opener = null; // what had the keyboard before the dialog did

  const make = (tag, about = {}, ...inside) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(about)) element[key] = value;
    element.append(...inside.filter((part) => part !== null));
    return element;
  };
  const mono = (text) => make("code", {}, text);
  const time = (seconds) =>
    seconds < 100 ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s` : `${Math.round(seconds / 60)} min`;
  const size = (bytes) =>
    bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const fileOf = (place) => place.split("#")[0];

  // Jobs behind some jobs, themselves included; the list of jobs has makers before readers.
  const behind = (starts) => {
    const found = new Set();
    const waiting = [...starts];
    while (waiting.length) {
      const index = waiting.pop();
      if (!found.has(index)) {
        found.add(index);
        waiting.push(...jobs[index].from);
      }
    }
    return [...found].sort((one, other) => one - other);
  };

  const light = (chain) => {
    const stages = new Set(chain.map((index) => jobs[index].stage));
    for (const node of document.querySelectorAll("#lineage [data-stage]"))
      node.classList.toggle("dim", !stages.has(node.dataset.stage));
    for (const edge of document.querySelectorAll("#lineage [data-edge]"))
      edge.classList.toggle("dim", !edge.dataset.edge.split(" ").every((stage) => stages.has(stage)));
  };
  const unlight = () => {
    for (const part of document.querySelectorAll("#lineage .dim")) part.classList.remove("dim");
  };

  const command = (place) => {
    const text = `ernie-m audit ${place}`;
    const copy = make("button", { type: "button", className: "copy" }, "copy");
    copy.onclick = () => navigator.clipboard.writeText(text).then(() => (copy.textContent = "copied"));
    return make("pre", {}, mono(text), navigator.clipboard ? copy : null);
  };

  const leaves = (value, path = "") =>
    value && typeof value === "object" && !(Array.isArray(value) && value.every((one) => typeof one !== "object"))
      ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, path ? `${path}.${key}` : key))
      : [[path, Array.isArray(value) ? value.join(" ") : String(value)]];

  const facts = (rows) =>
    make("dl", { className: "facts small" }, ...rows.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));

  const details = (job) => {
    const rows = job.made.map(([path, digest, bytes]) => [digest ? `${digest}, ${size(bytes)}` : "", path]);
    if (job.source) rows.push(...leaves(job.source));
    if (job.code) rows.push(["code", `${job.code} at ${job.commit || "no commit"}`]);
    if (job.settings !== undefined) rows.push(...leaves(settings[job.settings]));
    return make("details", {}, make("summary", {}, "files, code and settings"), facts(rows));
  };

  const line = (index) => {
    const job = jobs[index];
    const about = job.seconds === undefined ? "this page" : `${time(job.seconds)}, ${job.commit}`;
    const name = make("button", { type: "button", className: "job" }, job.name);
    name.onclick = () => show([job.made[0][0]], { value: job.name, label: "one job" });
    return make("li", {}, name, " ", make("span", { className: "soft" }, about), details(job));
  };

  // The chain from the sources on, one stage after the other; many jobs of a stage are folded.
  const list = (chain) => {
    const stages = new Map();
    for (const index of chain) stages.set(jobs[index].stage, [...(stages.get(jobs[index].stage) || []), index]);
    return make(
      "ol",
      { className: "chain" },
      ...[...stages].map(([stage, own]) => {
        const seconds = own.reduce((sum, index) => sum + (jobs[index].seconds || 0), 0);
        const inside = make("ul", {}, ...own.map(line));
        const head = own.length > 1 ? `${stage}: ${own.length} jobs, ${time(seconds)}` : stage;
        return own.length > MANY
          ? make("li", {}, make("details", {}, make("summary", {}, head), inside))
          : make("li", {}, own.length > 1 ? make("p", {}, head) : null, inside);
      }),
    );
  };

  const files = (places) =>
    make(
      "p",
      { className: "small" },
      "Read from ",
      ...[...new Set(places.map(fileOf))].flatMap((path, index) => [index ? ", " : "", mono(path)]),
    );

  function show(places, claim) {
    const starts = places.map((place) => makers.get(fileOf(place))).filter((index) => index !== undefined);
    const chain = behind(starts);
    light(chain);
    body.replaceChildren(
      make("p", { className: "claim" }, make("strong", {}, claim.value), " ", make("span", { className: "soft" }, claim.label)),
      ...(claim.note ? [make("p", { className: "small soft" }, claim.note)] : []),
      files(places),
      make("p", { className: "small" }, "To check it against the bytes, code and settings that are here:"),
      ...places.slice(0, MANY).map(command),
      make("h3", {}, chain.length > 1 ? `The ${chain.length} jobs behind it, from the sources on` : "The job behind it"),
      make("p", { className: "small" }, make("a", { href: "#lineage" }, "the stages in the picture")),
      list(chain),
    );
    history.replaceState(null, "", `#from=${encodeURIComponent(places.join(" "))}`);
    if (!dialog.open) {
      opener = document.activeElement;
      dialog.show();
    }
    dialog.scrollTop = 0;
  }

  const words = (element) => element.textContent.replace(/\s+/g, " ").trim();

  // What an element says, in the words of the table, figure or list that it stands in.
  const claimOf = (element, target) => {
    const cell = target.closest("td, th");
    const section = element.closest("section");
    const heading = (from) => {
      const all = [...(section || document).querySelectorAll("h2, h3, h4")];
      const before = all.filter((one) => one.compareDocumentPosition(from) & Node.DOCUMENT_POSITION_FOLLOWING);
      return before.length ? words(before.at(-1)) : "";
    };
    if (cell && element.contains(cell) | cell.contains(element)) {
      const row = cell.closest("tr");
      const column = cell.closest("table").tHead?.rows[0].cells[cell.cellIndex];
      const head = cell.closest("table").tHead?.rows[0].cells[0];
      const parts = [heading(cell), head ? words(head) : "", words(row.cells[0]), column ? words(column) : ""];
      return { value: words(cell), label: parts.filter(Boolean).join(", "), note: target.closest("[title]")?.title };
    }
    if (element.matches("dd")) return { value: words(element), label: words(element.previousElementSibling) };
    if (element.matches("figure")) {
      const title = element.querySelector("h3");
      return { value: title ? words(title.firstChild) : words(element), label: heading(element) };
    }
    return { value: words(element), label: heading(element) };
  };

  const open = (event) => {
    if (event.target.closest("summary, button, nav")) return;
    const stage = event.target.closest("[data-stage]");
    const element = event.target.closest("[data-from]");
    if (stage) {
      const own = jobs.flatMap((job, index) => (job.stage === stage.dataset.stage ? [index] : []));
      show(own.map((index) => jobs[index].made[0][0]), { value: stage.dataset.stage, label: `${own.length} jobs` });
    } else if (element) {
      event.preventDefault();
      show(element.dataset.from.split(" "), claimOf(element, event.target));
    }
  };

  document.addEventListener("click", (event) => {
    if (!event.ctrlKey && !event.metaKey) open(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("[data-from], [data-stage]")) open(event);
    if (event.key === "Escape" && dialog.open) dialog.close();
  });
  dialog.addEventListener("close", () => {
    unlight();
    opener?.focus({ preventScroll: true });
    history.replaceState(null, "", location.pathname + location.search);
  });
  for (const element of document.querySelectorAll("[data-from], [data-stage]"))
    if (!element.matches("a")) element.tabIndex = 0;

  const find = document.getElementById("find");
  const found = document.getElementById("found");
  const search = () => {
    const text = find.value.trim().toLowerCase();
    if (!text) return found.replaceChildren(list(jobs.keys()));
    const hits = jobs.flatMap((job, index) =>
      job.name.includes(text) || job.made.some(([path, digest]) => path.includes(text) || digest.startsWith(text))
        ? [index]
        : [],
    );
    const more = hits.length > FOUND ? make("p", {}, `and ${hits.length - FOUND} more`) : "";
    found.replaceChildren(make("ul", {}, ...hits.slice(0, FOUND).map(line)), more);
  };
  find.hidden = false;
  find.oninput = search;
  search();

  // The page can be opened at a number: report.html#from=results/...
  const wanted = location.hash.startsWith("#from=") ? decodeURIComponent(location.hash.slice(6)) : "";
  if (wanted) {
    const element = [...document.querySelectorAll("[data-from]")].find((one) => one.dataset.from === wanted);
    show(wanted.split(" "), element ? claimOf(element, element) : { value: wanted, label: "" });
    element?.scrollIntoView({ block: "center" });
  }
})();
