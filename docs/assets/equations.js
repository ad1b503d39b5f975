// Renders what pymdownx.arithmatex marks, on every page that instant loading or a first visit shows.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".arithmatex")) {
    const source = box.textContent.trim();
    const displayed = source.startsWith("\\[");
    katex.render(source.slice(2, -2), box, { displayMode: displayed, throwOnError: true });
  }
});
