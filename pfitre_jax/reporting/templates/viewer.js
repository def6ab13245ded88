"use strict";
// Moves all images of a viewer through its rows, and shows the parts that the controls ask for.
for (const viewer of document.querySelectorAll("[data-viewer]")) {
  const content = JSON.parse(viewer.querySelector("script[type='application/json']").textContent);
  const slider = viewer.querySelector("input[type=range]");
  const output = viewer.querySelector("output");
  const images = [...viewer.querySelectorAll("img[data-layer]")];
  const thumbnails = [...viewer.querySelectorAll("button[data-row]")];
  const patterns = new Map(images.map((image) => [image, image.alt]));

  const showRow = (k) => {
    slider.value = k;
    slider.setAttribute("aria-valuetext", content.captions[k]);
    output.value = content.captions[k];
    for (const image of images) {
      image.src = content.layers[image.dataset.layer][k];
      image.alt = patterns.get(image).replace(/row \d+/, `row ${content.rows[k]}`);
    }
    for (const button of thumbnails) {
      button.setAttribute("aria-current", String(Number(button.dataset.row) === k));
    }
  };
  const showMode = (mode) => {
    viewer.dataset.mode = mode;
    for (const part of viewer.querySelectorAll("[data-modes]")) {
      part.hidden = !part.dataset.modes.split(" ").includes(mode);
    }
  };

  slider.addEventListener("input", () => showRow(Number(slider.value)));
  for (const button of viewer.querySelectorAll("button[data-step]")) {
    button.addEventListener("click", () => {
      const k = Number(slider.value) + Number(button.dataset.step);
      showRow(Math.min(Math.max(k, 0), content.rows.length - 1));
    });
  }
  for (const button of thumbnails) {
    button.addEventListener("click", () => showRow(Number(button.dataset.row)));
  }
  for (const radio of viewer.querySelectorAll("input[type=radio]")) {
    radio.addEventListener("change", () => radio.checked && showMode(radio.value));
    // A browser may restore the choice when the page is loaded again.
    if (radio.checked) showMode(radio.value);
  }
  showRow(Number(slider.value));
}
document.documentElement.classList.add("scripted");
// A closed table is printed, too, unless it is several pages long.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) {
    details.open ||= details.querySelectorAll("tr").length <= 200;
  }
});
