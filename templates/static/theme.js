// Light, dark or as the system says; the choice stays in this browser. Runs before the page is drawn, so nothing flashes.
const root = document.documentElement;
const CHOICES = ["system", "light", "dark"];

function chosen() {
  const saved = localStorage.getItem("theme");
  return CHOICES.includes(saved) ? saved : "system";
}

function apply() {
  if (chosen() === "system") delete root.dataset.theme;
  else root.dataset.theme = chosen();
  dispatchEvent(new Event("headroom:theme"));
}
apply();

addEventListener("DOMContentLoaded", () => {
  const button = document.querySelector("#theme");
  if (!button) return;
  const say = () => { button.querySelector("span").textContent = chosen(); };
  say();
  button.addEventListener("click", () => {
    localStorage.setItem("theme", CHOICES[(CHOICES.indexOf(chosen()) + 1) % CHOICES.length]);
    apply();
    say();
  });
});
