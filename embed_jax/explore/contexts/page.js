
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const count = data.line.length;
  const QUERY = data.query ? count : -1;
  const numPoints = count + (data.query ? 1 : 0);
  // Told apart by most eyes, and against light and dark; more repeat with other hues.
  const COLOURS = ["#3b7fc4", "#e0812a", "#3f9d6a", "#c64f5e", "#8a6fc7", "#a5822b",
    "#2b9fae", "#c468a8"];
  const LISTED = 60;
  const DURATION = 380;

  // Data ---------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const views = data.views.map((view) => ({
    name: view.name,
    width: view.width,
    places: new Int16Array(bytes(view.places)),
    near: new Uint16Array(bytes(view.near)),
    cosines: new Int8Array(bytes(view.cosines)),
  }));
  const numLayers = views.filter((view) => view.name.startsWith("layer ")).length;
  const clusterOf = Uint16Array.from(data.cluster);
  const clusterSizes = data.clusters.map(() => 0);
  for (const cluster of clusterOf) clusterSizes[cluster] += 1;
  const folded = data.line.map((_, index) =>
    (data.before[index] + data.text[index] + data.after[index]).toLowerCase());
  const grouped = new Intl.NumberFormat("en");

  // State --------------------------------------------------------------------------

  let current = data.chosen;
  let pinned = QUERY;
  let active = -1;
  let needle = "";
  let listed = LISTED;
  const hiddenClusters = new Set();
  const visible = new Uint8Array(numPoints).fill(1);
  const shown = new Float32Array(2 * numPoints);
  let from = null;
  let started = 0;
  let width = 0;
  let height = 0;
  let radius = 4;
  let frame = 0;
  let sprites = [];
  let ink = "";
  let card = "";
  let quiet = "";

  const canvas = element("canvas");
  const context = canvas.getContext("2d");
  const tooltip = element("tooltip");
  const slider = element("slider");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const parts = (index) => index === QUERY ? data.query
    : [data.before[index], data.text[index], data.after[index]];
  const colour = (cluster) => COLOURS[cluster] ??
    `hsl(${(cluster * 137.5) % 360} 45% 52%)`;

  // Geometry -----------------------------------------------------------------------

  // Where a view's points are on the canvas, as large as it allows, to one scale.
  function target(view) {
    const places = view.places;
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < numPoints; i += 1) {
      left = Math.min(left, places[2 * i]);
      right = Math.max(right, places[2 * i]);
      low = Math.min(low, places[2 * i + 1]);
      high = Math.max(high, places[2 * i + 1]);
    }
    const margin = 26;
    const scale = Math.min((width - 2 * margin) / Math.max(right - left, 1),
      (height - 2 * margin) / Math.max(high - low, 1));
    const result = new Float32Array(2 * numPoints);
    for (let i = 0; i < numPoints; i += 1) {
      result[2 * i] = width / 2 + (places[2 * i] - (left + right) / 2) * scale;
      result[2 * i + 1] = height / 2 - (places[2 * i + 1] - (low + high) / 2) * scale;
    }
    return result;
  }

  let goal = shown;

  function move(animated) {
    goal = target(views[current]);
    if (animated && !calm.matches) {
      from = shown.slice();
      started = performance.now();
    } else {
      from = null;
      shown.set(goal);
    }
    request();
  }

  function resize() {
    const box = canvas.getBoundingClientRect();
    if (!box.width || (box.width === width && box.height === height)) return;
    width = box.width;
    height = box.height;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    radius = Math.max(2.4, Math.min(5.5, 0.2 * Math.sqrt(width * height / numPoints)));
    paint();
    move(false);
  }

  // Colours and the points' pictures, of which drawing thousands is quick.
  function paint() {
    const style = getComputedStyle(document.documentElement);
    ink = style.getPropertyValue("--ink").trim();
    card = style.getPropertyValue("--card").trim();
    quiet = style.getPropertyValue("--quiet").trim();
    const ratio = window.devicePixelRatio || 1;
    const side = Math.ceil(2 * (radius + 1) * ratio);
    sprites = data.clusters.map((_, cluster) => {
      const sprite = document.createElement("canvas");
      sprite.width = sprite.height = side;
      const brush = sprite.getContext("2d");
      brush.arc(side / 2, side / 2, radius * ratio, 0, 2 * Math.PI);
      brush.globalAlpha = 0.85;
      brush.fillStyle = colour(cluster);
      brush.fill();
      brush.globalAlpha = 0.9;
      brush.lineWidth = 0.8 * ratio;
      brush.strokeStyle = card;
      brush.stroke();
      return sprite;
    });
    request();
  }

  // Drawing ------------------------------------------------------------------------

  function request() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw(now) {
    frame = 0;
    if (from) {
      const part = Math.min((now - started) / DURATION, 1);
      const eased = part < 0 ? 0 : 1 - (1 - part) ** 3;
      for (let i = 0; i < shown.length; i += 1) {
        shown[i] = from[i] + (goal[i] - from[i]) * eased;
      }
      if (part >= 1) from = null;
      else request();
    }
    context.clearRect(0, 0, width, height);
    const half = radius + 1;
    context.globalAlpha = 0.1;
    for (let i = 0; i < count; i += 1) {
      if (visible[i] || hiddenClusters.has(clusterOf[i])) continue;
      context.drawImage(sprites[clusterOf[i]], shown[2 * i] - half,
        shown[2 * i + 1] - half, 2 * half, 2 * half);
    }
    context.globalAlpha = 1;
    for (let i = 0; i < count; i += 1) {
      if (!visible[i]) continue;
      context.drawImage(sprites[clusterOf[i]], shown[2 * i] - half,
        shown[2 * i + 1] - half, 2 * half, 2 * half);
    }
    if (pinned >= 0) drawNeighbours();
    if (QUERY >= 0) drawQuery();
    if (pinned >= 0 && pinned !== QUERY) ring(pinned, radius + 3.5, 2.4, ink);
    if (active >= 0 && active !== pinned) ring(active, radius + 3, 1.8, ink);
    placeTooltip();
  }

  function ring(index, size, thickness, stroke) {
    context.beginPath();
    context.arc(shown[2 * index], shown[2 * index + 1], size, 0, 2 * Math.PI);
    context.lineWidth = thickness;
    context.strokeStyle = stroke;
    context.stroke();
  }

  function drawNeighbours() {
    const near = neighbours(pinned);
    context.strokeStyle = quiet;
    context.lineWidth = 1;
    context.globalAlpha = 0.7;
    context.beginPath();
    for (const [index] of near) {
      context.moveTo(shown[2 * pinned], shown[2 * pinned + 1]);
      context.lineTo(shown[2 * index], shown[2 * index + 1]);
    }
    context.stroke();
    context.globalAlpha = 1;
    for (const [index] of near) {
      if (visible[index]) {
        context.drawImage(sprites[clusterOf[index]], shown[2 * index] - radius - 1,
          shown[2 * index + 1] - radius - 1, 2 * radius + 2, 2 * radius + 2);
      }
      ring(index, radius + 1.5, 1.6, ink);
    }
  }

  function drawQuery() {
    const [x, y] = [shown[2 * QUERY], shown[2 * QUERY + 1]];
    const size = radius + 5;
    context.beginPath();
    for (let corner = 0; corner < 10; corner += 1) {
      const reach = corner % 2 ? 0.45 * size : size;
      const angle = Math.PI * (corner / 5 - 0.5);
      context.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
    }
    context.closePath();
    context.fillStyle = ink;
    context.strokeStyle = card;
    context.lineWidth = 3;
    context.stroke();
    context.fill();
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = x > width - 70 ? "right" : "left";
    const label = x + (x > width - 70 ? -size - 4 : size + 4);
    context.strokeText("query", label, y + 4);
    context.fillText("query", label, y + 4);
  }

  // What is where ------------------------------------------------------------------

  function neighbours(index) {
    const view = views[current];
    const result = [];
    for (let k = 0; k < view.width; k += 1) {
      const at = index * view.width + k;
      result.push([view.near[at], view.cosines[at] / 100]);
    }
    return result;
  }

  function pick(x, y, reach) {
    let [best, nearest] = [-1, reach * reach];
    for (let i = 0; i < numPoints; i += 1) {
      if (!visible[i]) continue;
      const distance = (goal[2 * i] - x) ** 2 + (goal[2 * i + 1] - y) ** 2;
      // Of points in one place the last is on top.
      if (distance <= nearest) [best, nearest] = [i, distance];
    }
    return best;
  }

  function numAtSamePlace(index) {
    let number = 0;
    for (let i = 0; i < count; i += 1) {
      if (visible[i] && Math.abs(goal[2 * i] - goal[2 * index]) < 1 &&
          Math.abs(goal[2 * i + 1] - goal[2 * index + 1]) < 1) number += 1;
    }
    return number;
  }

  // The visible point that lies most nearly in a direction.
  function step(index, dx, dy) {
    let [best, least] = [index, Infinity];
    for (let i = 0; i < numPoints; i += 1) {
      if (!visible[i] || i === index) continue;
      const [x, y] = [goal[2 * i] - goal[2 * index], goal[2 * i + 1] - goal[2 * index + 1]];
      const along = x * dx + y * dy;
      const across = Math.abs(x * dy - y * dx);
      if (along <= 0.01 || across > 2 * along) continue;
      if (along + 2 * across < least) [best, least] = [i, along + 2 * across];
    }
    return best;
  }

  // Text: only ever text nodes -----------------------------------------------------

  function make(tag, text = "", name = "") {
    const node = document.createElement(tag);
    if (text) node.textContent = text;
    if (name) node.className = name;
    return node;
  }

  function dot(index) {
    const node = make("i", "", "dot");
    node.style.background = index === QUERY ? ink : colour(clusterOf[index]);
    return node;
  }

  function sentence(index, reach = Infinity) {
    let [before, word, after] = parts(index);
    if (before.length > reach) before = "…" + before.slice(-reach);
    if (after.length > 2 * reach) after = after.slice(0, 2 * reach) + "…";
    const node = make("span");
    node.dir = "auto";
    node.append(before, make("mark", word), after);
    return node;
  }

  const about = (index) => index === QUERY ? "your query"
    : `line ${grouped.format(data.line[index])}` +
      (data.clusters.length > 1 ? ` · cluster ${clusterOf[index] + 1}` : "");

  function item(index, note) {
    const row = make("li");
    const button = make("button");
    button.type = "button";
    button.dataset.index = index;
    const body = make("span");
    body.append(sentence(index, 70), make("small", note));
    button.append(dot(index), body);
    row.append(button);
    return row;
  }

  function placeTooltip() {
    if (active < 0) {
      tooltip.hidden = true;
      return;
    }
    if (tooltip.dataset.index !== String(active) || tooltip.hidden) {
      tooltip.dataset.index = active;
      const others = numAtSamePlace(active) - (active === QUERY ? 0 : 1);
      const more = others > 0 ? ` · ${grouped.format(others)} more in this place` : "";
      tooltip.replaceChildren(sentence(active), make("small", about(active) + more));
      tooltip.hidden = false;
    }
    const [x, y] = [shown[2 * active], shown[2 * active + 1]];
    const [wide, high] = [tooltip.offsetWidth, tooltip.offsetHeight];
    const left = Math.max(0, Math.min(x - wide / 2, width - wide));
    const above = y - high - radius - 10;
    tooltip.style.left = `${left}px`;
    tooltip.style.top = `${above >= -8 ? above : y + radius + 10}px`;
  }

  // What changes -------------------------------------------------------------------

  function activate(index) {
    if (index === active) return;
    active = index;
    request();
  }

  function pin(index) {
    pinned = index;
    showSelected();
    request();
  }

  function showSelected() {
    element("selected").hidden = pinned < 0;
    if (pinned < 0) return;
    element("selected-title").textContent =
      pinned === QUERY ? "Your query" : `Selected: ${about(pinned)}`;
    element("selected-text").replaceChildren(sentence(pinned));
    element("release").hidden = pinned === QUERY;
    element("release").textContent = data.query ? "Back to the query" : "Let go";
    element("nearest-title").textContent = `Nearest at ${views[current].name}`;
    element("nearest").replaceChildren(...neighbours(pinned).map(([index, cosine]) =>
      item(index, `${cosine.toFixed(2)} · ${about(index)}`)));
  }

  function layerNote(index) {
    if (index >= numLayers) return views[index].name;
    if (index === 0) return `0 of ${numLayers - 1}, without context`;
    return `${index} of ${numLayers - 1}` + (index === numLayers - 1 ? ", the last" : "");
  }

  function showLayer(index, animated) {
    current = index;
    slider.value = index;
    slider.setAttribute("aria-valuetext", layerNote(index));
    element("layer").textContent = layerNote(index);
    element("flat").hidden = views[index].places.some((place) => place !== 0);
    tooltip.dataset.index = "";
    move(animated);
    if (pinned >= 0) showSelected();
  }

  function refilter() {
    for (let i = 0; i < count; i += 1) {
      visible[i] = !hiddenClusters.has(clusterOf[i]) &&
        (!needle || folded[i].includes(needle)) ? 1 : 0;
    }
    if (active >= 0 && !visible[active]) active = -1;
    tooltip.dataset.index = "";
    listed = LISTED;
    showList();
    request();
  }

  function showList() {
    const rows = [];
    let number = 0;
    for (let i = 0; i < count; i += 1) {
      if (!visible[i]) continue;
      number += 1;
      if (rows.length < listed) rows.push(item(i, about(i)));
    }
    element("contexts").replaceChildren(...rows);
    element("shown").textContent = number === count
      ? `${grouped.format(count)} contexts`
      : `${grouped.format(number)} of ${grouped.format(count)} contexts`;
    element("more").hidden = number <= listed;
    element("more").textContent =
      `Show ${grouped.format(Math.min(LISTED, number - listed))} more`;
  }

  // What the reader does -----------------------------------------------------------

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top,
      event.pointerType === "touch" ? 26 : radius + 6];
  }

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") activate(pick(...at(event)));
  });
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") activate(-1);
  });
  canvas.addEventListener("click", (event) => {
    const index = pick(...at(event));
    activate(index);
    pin(index >= 0 ? index : QUERY);
  });
  const DIRECTIONS = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in DIRECTIONS) {
      activate(active >= 0 ? step(active, ...DIRECTIONS[event.key])
        : pinned >= 0 && visible[pinned] ? pinned
          : pick(width / 2, height / 2, Infinity));
    } else if ((event.key === "Enter" || event.key === " ") && active >= 0) {
      pin(active);
    } else if (event.key === "Escape") {
      activate(-1);
      pin(QUERY);
    } else return;
    event.preventDefault();
  });
  canvas.addEventListener("blur", () => activate(-1));

  slider.addEventListener("input", () => showLayer(Number(slider.value), true));

  element("filter").addEventListener("input", (event) => {
    needle = event.target.value.toLowerCase();
    refilter();
  });
  element("release").addEventListener("click", () => pin(QUERY));
  element("more").addEventListener("click", () => {
    const first = listed;
    listed += LISTED;
    showList();
    element("contexts").children[first]?.firstChild.focus();
  });

  const indexIn = (event) => {
    const button = event.target.closest?.("button[data-index]");
    return button ? Number(button.dataset.index) : -1;
  };
  for (const list of [element("nearest"), element("contexts")]) {
    for (const kind of ["pointerover", "focusin"]) {
      list.addEventListener(kind, (event) => {
        if (event.pointerType !== "touch") activate(indexIn(event));
      });
    }
    for (const kind of ["pointerleave", "focusout"]) {
      list.addEventListener(kind, () => activate(-1));
    }
    list.addEventListener("click", (event) => {
      const index = indexIn(event);
      if (index < 0) return;
      // The list of nearest ones is made anew, and the button with it.
      const again = list.id === "nearest";
      pin(index);
      if (again) element("nearest").querySelector("button")?.focus();
    });
  }

  function showClusters() {
    if (data.clusters.length < 2) return;
    element("clusters").replaceChildren(...data.clusters.map((words, cluster) => {
      const button = make("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const swatch = make("i", "", "dot");
      swatch.style.background = colour(cluster);
      const label = `Cluster ${cluster + 1}: ` +
        `${grouped.format(clusterSizes[cluster])} contexts`;
      button.title = words.length ? `Words beside it: ${words.join(", ")}` : label;
      button.setAttribute("aria-label", [label, ...words].join(", "));
      button.append(swatch, make("b", String(cluster + 1)), make("span", words.join(", ")),
        make("small", grouped.format(clusterSizes[cluster])));
      button.addEventListener("click", () => {
        const hide = !hiddenClusters.delete(cluster);
        if (hide) hiddenClusters.add(cluster);
        button.setAttribute("aria-pressed", String(!hide));
        refilter();
      });
      return button;
    }));
  }

  // Begin --------------------------------------------------------------------------

  element("word").textContent = data.word;
  element("caption").textContent = `${data.model} · ${data.corpus} · ${data.sampling}`;
  element("clustering").textContent = data.clusters.length < 2 ? "" :
    `Clusters are those of k-means by ${data.layers}, silhouette ` +
    `${data.silhouette.toFixed(2)} (near 1: well apart; near 0: not), with the words ` +
    "that stand beside the word in them more than elsewhere.";
  slider.max = views.length - 1;
  views.forEach((_, index) => {
    const tick = make("option");
    tick.value = index;
    element("ticks").append(tick);
  });
  paint();
  showClusters();
  showList();
  showSelected();
  showLayer(current, false);
  new ResizeObserver(resize).observe(canvas);
  resize();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    paint();
    showSelected();
  });

  // For the console, and for whoever drives the page by a program.
  window.contexts = Object.freeze({
    place: (index) => {
      const box = canvas.getBoundingClientRect();
      return [box.left + goal[2 * index], box.top + goal[2 * index + 1]];
    },
    isVisible: (index) => Boolean(visible[index]),
    isMoving: () => from !== null,
  });
})();
