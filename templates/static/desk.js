// Sliders beside their numbers: either moves the other, and the form hears of it.
for (const slide of document.querySelectorAll('input[type="range"][data-for]')) {
  const box = document.getElementById(slide.dataset.for);
  slide.addEventListener("input", () => { box.value = slide.value; });
  slide.addEventListener("change", () => box.dispatchEvent(new Event("change", { bubbles: true })));
  box.addEventListener("input", () => { slide.value = box.value; });
}
