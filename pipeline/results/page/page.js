// The controls of the page, and what they do to the panes.

import { Pane, formatArea, formatLength, formatNumber, makeSource, measure } from "./panes.js";

const $ = (id) => document.getElementById(id);
const facts = await (await fetch("info.json")).json();
// What the user has chosen for each result: low, high, map, hidden classes.
const choices = facts.planes.map((plane) => ({ low: plane.low, high: plane.high, map: plane.map, fade: false, hidden: new Set() }));
const left = new Pane($("left"), facts, { navigator: true });
let right = null;
let leader = left;
let chosen = 0;
let pointed = null;
let isPointing = false;

const isSideBySide = () => Boolean(facts.image) && document.querySelector("[name=mode]:checked").value === "sides";

// The address of the tiles of the chosen result in the chosen colors.
function colorsOf(number) {
  const choice = choices[number];
  if (facts.planes[number].classes) return choice.hidden.size ? `?hide=${[...choice.hidden].sort((a, b) => a - b)}` : "";
  return `?low=${choice.low}&high=${choice.high}&map=${choice.map}${choice.fade ? "&fade=1" : ""}`;
}

function draw() {
  const query = colorsOf(chosen);
  const opacity = $("shown").checked ? Number($("opacity").value) / 100 : 0;
  const number = chosen;
  const results = () =>
    makeSource(facts, facts.levels - 1, (level, column, row) => `tiles/${number}/${level}/${column}_${row}.png${query}`);
  const image = () =>
    makeSource(facts, facts.image.coarsest, (level, column, row) => `tiles/image/${level}/${column}_${row}.png`);
  if (facts.image) left.show("image", "image", image, 1);
  if (isSideBySide()) {
    left.hide("result");
    right.show("result", `${number}${query}`, results, $("shown").checked ? 1 : 0);
  } else {
    left.show("result", `${number}${query}`, results, facts.image ? opacity : $("shown").checked ? 1 : 0);
  }
  const name = facts.planes[chosen].name;
  left.caption.textContent = isSideBySide() ? facts.image.name : facts.image ? `${name} over ${facts.image.name}` : name;
  if (right) right.caption.textContent = name;
}

function arrange() {
  const sides = isSideBySide();
  $("right").hidden = !sides;
  $("opacity").disabled = sides || !facts.image;
  if (sides && !right) {
    right = new Pane($("right"), facts, { navigator: false });
    listen(right);
    right.viewer.world.addHandler("add-item", () => right.follow(left));
  }
  if (!sides) leader = left;
  draw();
  if (sides) requestAnimationFrame(() => right.item && right.follow(left));
}

// The legend and the scale of the chosen result.
function describePlane() {
  const plane = facts.planes[chosen];
  const choice = choices[chosen];
  const unit = plane.unit ? `, in ${plane.unit}` : "";
  $("quantity").textContent = plane.classes
    ? `The most probable of ${plane.classes.length} classes`
    : `${plane.quantity[0].toUpperCase()}${plane.quantity.slice(1)}${unit}${plane.logarithmic ? ", logarithmic scale" : ""}`;
  $("scale").hidden = Boolean(plane.classes);
  $("legend").hidden = !plane.classes;
  if (plane.classes) {
    listClasses(plane, choice);
  } else {
    $("map").value = choice.map;
    $("fade").checked = choice.fade;
    nameFading();
    $("bar").style.backgroundImage = `url("maps/${choice.map}.png")`;
    $("low").value = formatNumber(choice.low, 5);
    $("high").value = formatNumber(choice.high, 5);
    $("wrong").hidden = true;
    drawCounts(plane, choice);
  }
  listValues(null);
  if (pointed) ask(pointed);
}

function nameFading() {
  $("faded").textContent = `${$("map").value === "blue-red" ? "Values in the middle" : "Low values"} are transparent`;
}

function listClasses(plane, choice) {
  const total = plane.classes.reduce((sum, one) => sum + (one.pixels ?? 0), 0);
  $("classes").replaceChildren(
    ...plane.classes.map((one, number) => {
      const [item, label, box, swatch, name, size] = ["li", "label", "input", "i", "b", "small"].map((tag) => document.createElement(tag));
      box.type = "checkbox";
      box.checked = !choice.hidden.has(number);
      box.addEventListener("change", () => {
        if (box.checked) choice.hidden.delete(number);
        else choice.hidden.add(number);
        draw();
      });
      swatch.style.background = one.color;
      name.textContent = one.name;
      const share = total ? `${((100 * one.pixels) / total).toFixed(1)}%` : "";
      size.textContent = one.area === null ? share : `${formatArea(one.area)} · ${share}`;
      if (one.pixels !== null) size.title = `${one.pixels} pixels`;
      label.append(box, swatch, name, size);
      item.append(label);
      return item;
    }),
  );
}

// How often values occur between low and high.
function drawCounts(plane, choice) {
  const canvas = $("counts");
  canvas.hidden = !plane.counts.length;
  if (canvas.hidden) return;
  const context = canvas.getContext("2d");
  const at = (value) => (plane.logarithmic ? Math.log10(value) : value);
  const [from, to] = [at(choice.low), at(choice.high)];
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(document.body).getPropertyValue("--faint");
  const most = Math.max(...plane.counts, 1);
  const edges = plane.edges.map(at);
  plane.counts.forEach((count, number) => {
    const [x0, x1] = [edges[number], edges[number + 1]].map((edge) => ((edge - from) / (to - from)) * canvas.width);
    const height = Math.sqrt(count / most) * canvas.height;
    context.fillRect(x0, canvas.height - height, Math.max(x1 - x0, 0.5), height);
  });
}

function setRange() {
  const [low, high] = [$("low"), $("high")].map((input) => Number(input.value.trim().replace(",", ".") || NaN));
  const plane = facts.planes[chosen];
  let wrong = "";
  if (!Number.isFinite(low) || !Number.isFinite(high)) wrong = "Low and high must be numbers, such as 0.5 or 1e-6.";
  else if (low >= high) wrong = "Low must be less than high.";
  else if (plane.logarithmic && low <= 0) wrong = "Low must be positive on a logarithmic scale.";
  $("wrong").hidden = !wrong;
  $("wrong").textContent = wrong;
  if (wrong) return;
  Object.assign(choices[chosen], { low, high });
  drawCounts(plane, choices[chosen]);
  draw();
}

// Values: one request at a time, for the last pixel pointed at.
let waiting = null;
let isAsking = false;

async function ask(pixel) {
  pointed = pixel;
  tellPlace(pixel);
  waiting = pixel;
  if (isAsking) return;
  isAsking = true;
  while (waiting) {
    const one = waiting;
    waiting = null;
    try {
      const answer = await fetch(`value.json?x=${one.x}&y=${one.y}`);
      if (!answer.ok) throw new Error(await answer.text());
      listValues(await answer.json(), one);
    } catch (error) {
      $("line").textContent = String(error.message);
    }
  }
  isAsking = false;
}

function tellPlace(pixel) {
  $("place").textContent = describePlace(pixel);
}

function describePlace({ x, y }) {
  const parts = [`column ${x}, row ${y}`];
  if (facts.pixel_size) parts.push(`x ${formatLength((x + 0.5) * facts.pixel_size[1])}, y ${formatLength((y + 0.5) * facts.pixel_size[0])}`);
  if (facts.transform) {
    const [a, b, c, d, e, f] = facts.transform;
    const [u, v] = [x + 0.5, y + 0.5];
    parts.push(`map x ${formatNumber(a * u + b * v + c, 9)}, y ${formatNumber(d * u + e * v + f, 9)}`);
  }
  return parts.join(" · ");
}

function describeValue(plane, value) {
  if (value === null) return "no data";
  if (plane.classes) return plane.classes[value]?.name ?? String(value);
  return `${formatNumber(value, 7)}${plane.unit ? ` ${plane.unit}` : ""}`;
}

function listValues(answer, pixel) {
  const rows = facts.planes.map((plane, number) => {
    const [row, name, cell] = ["tr", "th", "td"].map((tag) => document.createElement(tag));
    name.scope = "row";
    name.textContent = plane.name;
    row.classList.toggle("chosen", number === chosen);
    if (answer) {
      const value = answer.values[number];
      cell.textContent = describeValue(plane, value);
      cell.dataset.value = JSON.stringify(value);
      if (plane.classes && value !== null) {
        const swatch = document.createElement("i");
        swatch.style.background = plane.classes[value].color;
        cell.prepend(swatch);
      }
    }
    row.append(name, cell);
    return row;
  });
  if (facts.image) {
    const [row, name, cell] = ["tr", "th", "td"].map((tag) => document.createElement(tag));
    name.scope = "row";
    name.textContent = `image (${facts.image.channels.join(", ")})`;
    if (answer?.image) cell.textContent = answer.image.map((sample) => (sample === null ? "NaN" : formatNumber(sample, 6))).join(", ");
    row.append(name, cell);
    rows.push(row);
  }
  $("values").replaceChildren(...rows);
  if (answer) {
    $("values").dataset.x = pixel.x;
    $("values").dataset.y = pixel.y;
    const plane = facts.planes[chosen];
    $("line").textContent = `${plane.name}: ${describeValue(plane, answer.values[chosen])} · ${describePlace(pixel)}`;
  }
}

function point(pixel, pane) {
  for (const one of [left, right]) if (one) one.mark(one === pane && isPointing ? null : pixel);
  if (!pixel) return;
  $("place-title").textContent = isPointing ? "Under the cursor" : "In the middle";
  if (!pointed || pixel.x !== pointed.x || pixel.y !== pointed.y) ask(pixel);
}

function drawRuler() {
  if (!left.item) return;
  const { width, text } = measure(facts, left.zoom);
  $("ruler").querySelector("span").textContent = text;
  $("ruler").querySelector("i").style.width = `${width}px`;
}

// Follow the pointer and the keys in a pane.
function listen(pane) {
  const { viewer } = pane;
  const lead = () => (leader = pane);
  viewer.element.addEventListener("pointerdown", lead);
  viewer.element.addEventListener("wheel", lead, { passive: true });
  viewer.element.addEventListener("focusin", lead);
  viewer.element.addEventListener("pointermove", (event) => {
    isPointing = true;
    point(pane.pixelAt(event.clientX, event.clientY), pane);
  });
  viewer.element.addEventListener("pointerleave", () => {
    isPointing = false;
    for (const one of [left, right]) if (one) one.mark(null);
  });
  viewer.addHandler("canvas-key", (event) => {
    const { key } = event.originalEvent;
    // Rotating and mirroring an image would mislead, and H and 1 have another meaning here.
    if (["r", "R", "f", "F", "h", "H", "1"].includes(key)) event.preventDefaultAction = true;
    if (key === "1") pane.fullResolution();
    isPointing = false;
  });
  for (const name of ["viewport-change", "animation", "resize"]) {
    viewer.addHandler(name, () => {
      drawRuler();
      if (isSideBySide() && leader === pane) {
        const other = pane === left ? right : left;
        if (other?.item && pane.item) other.follow(pane);
      }
    });
  }
  viewer.addHandler("animation-finish", () => {
    if (!isPointing && leader === pane && document.activeElement?.closest(".stage, #tools")) point(pane.pixelAtCenter(), pane);
  });
  viewer.world.addHandler("add-item", drawRuler);
}

function start() {
  document.title = `${facts.title} · mixture-pipeline`;
  $("title").textContent = facts.title;
  const size = `${facts.width} × ${facts.height} pixels`;
  const scale = facts.pixel_size ? `, ${formatNumber(facts.pixel_size[1])} µm a pixel` : "";
  $("facts").textContent = `${size}${scale}${facts.crs ? `, ${facts.crs.length > 24 ? "georeferenced" : facts.crs}` : ""}`;
  $("plane").replaceChildren(...facts.planes.map((plane, number) => new Option(plane.name, number)));
  $("map").replaceChildren(...facts.maps.map((name) => new Option(name)));
  if (!facts.image) {
    $("modes").disabled = true;
    $("missing").hidden = false;
    $("missing").textContent = `Without the image: ${facts.missing}.`;
  }
  $("plane").addEventListener("change", () => {
    chosen = Number($("plane").value);
    describePlane();
    draw();
  });
  for (const radio of document.querySelectorAll("[name=mode]")) radio.addEventListener("change", arrange);
  $("opacity").addEventListener("input", () => {
    $("percent").textContent = `${$("opacity").value}%`;
    draw();
  });
  $("shown").addEventListener("change", draw);
  $("map").addEventListener("change", () => {
    choices[chosen].map = $("map").value;
    nameFading();
    $("bar").style.backgroundImage = `url("maps/${$("map").value}.png")`;
    draw();
  });
  $("fade").addEventListener("change", () => {
    choices[chosen].fade = $("fade").checked;
    draw();
  });
  for (const id of ["low", "high"]) $(id).addEventListener("change", setRange);
  $("automatic").addEventListener("click", () => {
    const { low, high } = facts.planes[chosen];
    Object.assign(choices[chosen], { low, high });
    describePlane();
    draw();
  });
  const switchAll = (isHidden) => {
    const { classes } = facts.planes[chosen];
    choices[chosen].hidden = new Set(isHidden ? classes.keys() : []);
    describePlane();
    draw();
  };
  $("all").addEventListener("click", () => switchAll(false));
  $("none").addEventListener("click", () => switchAll(true));
  $("in").addEventListener("click", () => leader.zoomBy(2));
  $("out").addEventListener("click", () => leader.zoomBy(0.5));
  $("home").addEventListener("click", () => leader.home());
  $("full").addEventListener("click", () => leader.fullResolution());
  $("fold").addEventListener("click", () => {
    const isOpen = $("controls").toggleAttribute("hidden");
    $("fold").setAttribute("aria-expanded", String(!isOpen));
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input:not([type]), select");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.key.toLowerCase() !== "h") return;
    $("shown").checked = !$("shown").checked;
    draw();
  });
  // A small window has room for the image first.
  if (window.matchMedia("(max-width: 720px)").matches) $("fold").click();
  listen(left);
  describePlane();
  arrange();
}

start();
// The console of the browser, and tests, reach the panes by this name.
window.pipelinePanes = { left, right: () => right };
