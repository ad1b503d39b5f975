"use strict";
(() => {
  const root = document.documentElement, name = "spf-theme";
  const kept = () => { try { return localStorage.getItem(name); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem(name, theme); } catch { /* a page from disk may not */ } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme || (system.matches ? "dark" : "light");
  const chosen = kept();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.createElement("button");
    const show = () => {
      const other = now() === "dark" ? "light" : "dark";
      button.textContent = other === "dark" ? "☾ Dark" : "☀ Light";
      button.setAttribute("aria-label", `Show the page in ${other} colours`);
    };
    button.type = "button";
    button.className = "theme";
    button.addEventListener("click", () => {
      root.dataset.theme = now() === "dark" ? "light" : "dark";
      keep(root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
    document.querySelector("nav").append(button);
  });
})();
