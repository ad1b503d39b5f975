"use strict";
for (const slider of document.querySelectorAll(".slider")) {
  const section = slider.closest("section");
  const stage = slider.querySelector(".stage"), range = stage.querySelector("input");
  const before = stage.querySelector(".before"), after = stage.querySelector(".after");
  const choice = slider.querySelector("select"), thumbs = slider.querySelector(".thumbs");
  const caption = slider.querySelector("figcaption");
  const places = section.querySelector(".pair") ? [section] : [...document.querySelectorAll("section")];
  const pairs = places.flatMap((place) => [...place.querySelectorAll(".pair:has([data-role=original])")])
    .filter((pair, place, all) => !pair.closest("details")
      && all.findIndex((other) => other.dataset.pair === pair.dataset.pair) === place);
  let current = pairs[0];

  const picture = (pair, role) => pair.querySelector(`[data-role="${CSS.escape(role)}"] img`);
  const move = () => stage.style.setProperty("--at", `${range.value}%`);
  const show = () => {
    const one = picture(current, "original"), other = picture(current, choice.value);
    before.src = one.src;
    before.alt = `Before: ${one.alt}`;
    if (other) {
      after.src = other.src;
      after.alt = `After: ${other.alt}`;
    }
    caption.textContent = current.dataset.text;
    for (const button of thumbs.children) {
      button.setAttribute("aria-pressed", String(button.pair === current));
    }
  };
  for (const pair of pairs) {
    const button = document.createElement("button"), small = picture(pair, "original").cloneNode();
    small.alt = "";
    button.type = "button";
    button.pair = pair;
    button.setAttribute("aria-label", pair.dataset.text);
    button.append(small);
    button.addEventListener("click", () => { current = pair; show(); });
    thumbs.append(button);
  }
  range.addEventListener("input", move);
  choice.addEventListener("change", show);
  move();
  if (current) show();
}
for (const note of document.querySelectorAll("[data-stale]")) {
  const age = () => (Date.now() - Date.parse(note.dataset.stale)) / 1000;
  setInterval(() => { note.hidden = age() < Number(note.dataset.after); }, 5000);
}
