/* The raters' page. It sends nothing: answers lie in localStorage until the rater saves them as a file.
   MANIFEST (manifest.js) says what is shown; whose picture is whose is not in this folder. */
"use strict";
(() => {
  const STORE = `spf-study:${MANIFEST.study}`;
  const byId = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const asked = new URLSearchParams(location.search);
  const places = ["left", "original", "right"];
  let state = null; // {rater, form, votes}
  let ready = false; // pictures were looked at long enough to answer
  let waiting = 0;

  // --- what is kept ---

  function load() {
    try {
      const kept = JSON.parse(localStorage.getItem(STORE));
      return kept && MANIFEST.forms[kept.form] && Array.isArray(kept.votes) ? kept : null;
    } catch { return null; }
  }

  function keep() {
    try { localStorage.setItem(STORE, JSON.stringify(state)); } catch { byId("unkept").hidden = false; }
  }

  function newcomer() {
    const random = crypto.getRandomValues(new Uint8Array(8));
    const rater = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const named = Number(asked.get("form")) - 1;
    const drawn = crypto.getRandomValues(new Uint32Array(1))[0] % MANIFEST.forms.length;
    return { rater, form: MANIFEST.forms[named] ? named : drawn, votes: [] };
  }

  const trials = () => MANIFEST.forms[state.form];
  const current = () => trials()[state.votes.length];

  function exported() {
    const { rater, form, votes, withdrawn = false } = state;
    const simulated = asked.has("simulated");
    return JSON.stringify({ format: "spf-study-votes-1", study: MANIFEST.study, rater, form, simulated, withdrawn, votes });
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([exported()], { type: "application/json" }));
    link.download = `${state.withdrawn ? "withdrawal" : "votes"}-${state.rater}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    all("[data-saved]").forEach((line) => { line.hidden = false; });
  }

  // --- time for which the pictures are seen ---

  const clock = {
    total: 0, since: null,
    start() { this.since ??= performance.now(); },
    stop() { if (this.since !== null) { this.total += performance.now() - this.since; this.since = null; } },
    read() { return Math.round(this.total + (this.since === null ? 0 : performance.now() - this.since)); },
  };

  function watch() { // the clock runs while a trial is on screen and uncovered
    clearTimeout(waiting);
    if (byId("trial").hidden || !byId("trial").dataset.shown || document.hidden) { clock.stop(); return; }
    clock.start();
    waiting = setTimeout(allow, Math.max(0, MANIFEST.dwell_ms - clock.read()));
  }

  function allow() {
    if (clock.read() < MANIFEST.dwell_ms) { watch(); return; }
    ready = true;
    all("[data-answer]").forEach((button) => button.setAttribute("aria-disabled", "false"));
  }

  // --- screens ---

  function show(id) {
    all("main > section").forEach((section) => { section.hidden = section.id !== id; });
    byId(id).querySelectorAll("textarea").forEach((area) => { area.value = exported(); });
    byId(id).querySelector("h1").focus();
    scrollTo(0, 0);
    watch();
  }

  const picture = (name) => { const image = new Image(); image.src = `images/${name}`; return image.decode().then(() => name); };
  const names = (trial) => places.map((place) => trial[place]).filter(Boolean);

  async function next() {
    if (state.votes.length >= trials().length) { show("done"); return; }
    const trial = current();
    ready = false;
    clock.stop();
    clock.total = 0;
    delete byId("trial").dataset.shown;
    all("[data-answer]").forEach((button) => button.setAttribute("aria-disabled", "true"));
    for (const name of names(trial)) {
      try { await picture(name); } catch { byId("broken").querySelector("code").textContent = name; show("broken"); return; }
    }
    if (trial !== current()) return;
    for (const place of places) {
      byId(place).hidden = !trial[place];
      if (trial[place]) byId(place).querySelector("img").src = `images/${trial[place]}`;
    }
    byId("trial").classList.toggle("three", Boolean(trial.original));
    byId("question").textContent = trial.question;
    byId("progress").max = trials().length;
    byId("progress").value = state.votes.length;
    byId("count").textContent = `${state.votes.length + 1} of ${trials().length}`;
    byId("trial").dataset.shown = String(state.votes.length);
    show("trial");
    const upcoming = trials()[state.votes.length + 1];
    if (upcoming) names(upcoming).forEach((name) => picture(name).catch(() => {}));
  }

  function answer(choice) {
    if (!ready || byId("trial").hidden || byId("zoom").open) return;
    ready = false;
    state.votes.push({ trial: state.votes.length, answer: choice, ms: clock.read() });
    keep();
    next();
  }

  function pause() {
    byId("so-far").textContent = `${state.votes.length} of ${trials().length} questions are answered. `
      + "Your answers are stored on this device: you can close this page and come back later.";
    show("rest");
  }

  function withdraw() {
    state = { ...state, votes: [], withdrawn: true };
    keep();
    byId("confirm").close();
    show("withdrawn");
  }

  function startOver() {
    localStorage.removeItem(STORE);
    location.reload();
  }

  // --- enlarged pictures ---

  let zoomed = 0;
  const shown = () => places.filter((place) => !byId(place).hidden);

  function enlarge(step) {
    const there = shown();
    zoomed = (zoomed + step + there.length) % there.length;
    const [image, words] = [byId(there[zoomed]).querySelector("img"), byId(there[zoomed]).querySelector("figcaption")];
    byId("zoom").querySelector("img").src = image.src;
    byId("zoom").querySelector("img").alt = image.alt;
    byId("zoomed").textContent = `${words.textContent} (${zoomed + 1} of ${there.length})`;
  }

  function openZoom(place) {
    zoomed = Math.max(0, shown().indexOf(place));
    enlarge(0);
    byId("zoom").showModal();
  }

  // --- wiring ---

  const keys = {
    ArrowLeft: () => answer("left"), ArrowRight: () => answer("right"), ArrowDown: () => answer("tie"),
    z: () => openZoom("left"), p: pause,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (byId("zoom").open) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { event.preventDefault(); enlarge(step); }
    } else if (!byId("trial").hidden) {
      const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (act) { event.preventDefault(); act(); }
    }
  });
  document.addEventListener("visibilitychange", watch);
  addEventListener("storage", (event) => { if (event.key === STORE) location.reload(); }); // another tab answers
  all("[data-answer]").forEach((button) => button.addEventListener("click", () => answer(button.dataset.answer)));
  all("[data-export]").forEach((button) => button.addEventListener("click", save));
  all("[data-withdraw]").forEach((button) => button.addEventListener("click", () => byId("confirm").showModal()));
  all("[data-another]").forEach((button) => button.addEventListener("click", startOver));
  all("[data-step]").forEach((button) => button.addEventListener("click", () => enlarge(Number(button.dataset.step))));
  places.forEach((place) => byId(place).querySelector("button").addEventListener("click", () => openZoom(place)));
  byId("close").addEventListener("click", () => byId("zoom").close());
  byId("stay").addEventListener("click", () => byId("confirm").close());
  byId("withdraw").addEventListener("click", withdraw);
  byId("pause").addEventListener("click", pause);
  byId("resume").addEventListener("click", next);
  byId("agree").addEventListener("change", () => byId("start").setAttribute("aria-disabled", String(!byId("agree").checked)));
  byId("start").addEventListener("click", () => {
    if (!byId("agree").checked) { byId("agree").focus(); return; }
    keep();
    next();
  });

  // --- where we left off ---

  byId("simulated").hidden = !asked.has("simulated");
  document.documentElement.style.setProperty("--ratio", MANIFEST.size[0] / MANIFEST.size[1]);
  for (const text of MANIFEST.consent) {
    byId("consent").append(Object.assign(document.createElement("p"), { textContent: text }));
  }
  const before = load();
  state = before ?? newcomer();
  const minutes = Math.max(1, Math.round(trials().length * 6 / 60));
  byId("length").textContent = `There are ${trials().length} questions; at six seconds each they take ${minutes} min.`;
  if (!before) show("welcome");
  else if (before.withdrawn) show("withdrawn");
  else if (state.votes.length < trials().length) pause();
  else show("done");
})();
