"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const SVG = "http://www.w3.org/2000/svg";
  const svg = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const make = (name, text, attributes = {}) => {
    const element = document.createElement(name);
    element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const shown = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));

  // Navigation: one entry a kind of section, and which one is being read.
  const list = one("#sections");
  const links = new Map();
  for (const section of all("[data-section]")) {
    const name = section.dataset.section;
    if (!links.has(name)) {
      const link = make("a", name, { href: `#${section.id}` });
      const item = document.createElement("li");
      item.append(link);
      list?.append(item);
      links.set(name, link);
    }
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.dataset.section)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  all("[data-section]").forEach((section) => watcher.observe(section));

  const themes = [["", "Auto", "as the system"], ["light", "Light", "light"], ["dark", "Dark", "dark"]];
  let theme = 0;
  one("#theme")?.addEventListener("click", (event) => {
    theme = (theme + 1) % themes.length;
    const [value, text, label] = themes[theme];
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
    event.target.textContent = text;
    event.target.setAttribute("aria-label", `Colours: ${label}`);
  });

  // Tables that a click on a heading sorts: by number where a cell has one, else by its text; empty cells come last.
  for (const table of all(".sortable")) {
    const headings = all("thead th", table);
    headings.forEach((heading, place) => one("button", heading).addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "descending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "ascending" : "descending");
      const text = (row) => row.children[place].textContent.trim();
      const number = (row) => row.children[place].dataset.value ? Number(row.children[place].dataset.value) : null;
      const compare = (a, b) => {
        const [x, y] = [number(a), number(b)];
        if (x === null || y === null) return (x === null) - (y === null) || text(a).localeCompare(text(b), undefined, { numeric: true });
        return down ? x - y : y - x;
      };
      one("tbody", table).append(...all("tbody tr", table).sort(compare));
    }));
  }

  // The false match rate: one choice for tables, thresholds in the plots, and the gallery's judges.
  const galleries = [];
  const chooseRate = (rate) => {
    for (const input of all('[data-chooser="fmr"] input')) input.checked = input.value === rate;
    for (const element of all("[data-fmr]")) {
      const here = element.dataset.fmr === rate;
      if (element instanceof SVGElement) element.style.display = here ? "" : "none";
      else element.hidden = !here;
    }
    galleries.forEach((gallery) => gallery.judges(rate));
  };

  // Overlays, in thousandths of the frame.
  // A set of points is one path of round caps, not a circle each: a page may show tens of thousands.
  const points = (flat, kind, radius) => {
    let path = "";
    for (let i = 0; i + 1 < flat.length; i += 2) path += `M${flat[i] / 10},${flat[i + 1] / 10}h0`;
    const group = svg("g", { class: `points ${kind}` });
    group.append(svg("path", { d: path, class: "rim", "stroke-width": radius * 2 + 0.5 }), svg("path", { d: path, "stroke-width": radius * 2 }));
    return group;
  };
  const bars = (flat, channels, kind, box) => {
    const count = flat.length / channels;
    const peak = box.peak || 1;
    const group = svg("g", {});
    for (let channel = 0; channel < channels; channel += 1) {
      let path = "";
      for (let bin = 0; bin < count; bin += 1) {
        const y = box.bottom - (Math.min(flat[channel * count + bin], peak) / peak) * box.height;
        const x = box.left + (box.width * bin) / count;
        path += `${bin ? "L" : "M"}${x.toFixed(2)},${y.toFixed(2)}H${(x + box.width / count).toFixed(2)}`;
      }
      group.append(svg("path", { d: path, class: `bars ${"rgb"[channel] || "g"} ${kind}` }));
    }
    return group;
  };
  const kindOf = (what) => (what === "target" ? "true" : what === "read" ? "read" : "own");

  class Gallery {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(one("script.data", root).textContent);
      this.list = one(".rows", root);
      this.rows = all("li", this.list);
      this.drawn = new Set();
      this.order = this.rows.map((row) => Number(row.dataset.row));
      this.best = true;
      const metric = this.control("metric");
      metric.append(make("option", "the data set's order", { value: "" }));
      this.data.metrics.forEach((item, place) => metric.append(make("option", item.label, { value: place })));
      const first = this.data.metrics.findIndex((item) => item.name === "id_sim_critic");
      this.metric = Math.max(first, 0);
      for (const name of ["metric", "column", "judge", "filter"]) this.control(name).addEventListener("change", () => this.update());
      this.control("direction").addEventListener("click", () => {
        this.best = !this.best;
        this.update();
      });
      one("form", root).addEventListener("submit", (event) => event.preventDefault());
      this.list.addEventListener("click", (event) => {
        const tile = event.target.closest(".tile");
        if (tile) lightbox.open(this, Number(tile.closest("li").dataset.row), tile.dataset.kind, tile);
      });
      this.list.addEventListener("keydown", (event) => this.move(event));
      const toggles = one('[data-for="overlays"]', root);
      for (const overlay of this.data.overlays) toggles.append(this.toggle(overlay, () => this.draw()));
      toggles.hidden = !this.data.overlays.length;
      this.update();
    }
    control(name) { return one(`[data-control="${name}"]`, this.root); }
    toggle(overlay, changed) {
      const label = make("label", "");
      const box = make("input", "", { type: "checkbox", "data-overlay": overlay.probe });
      box.checked = this.drawn.has(overlay.probe);
      box.addEventListener("change", () => {
        this.drawn[box.checked ? "add" : "delete"](overlay.probe);
        for (const other of all(`[data-overlay="${CSS.escape(overlay.probe)}"]`)) other.checked = box.checked;
        changed();
      });
      label.append(box, overlay.probe);
      return label;
    }
    judges(rate) {
      const judge = this.control("judge");
      const before = judge.selectedIndex;
      const found = this.data.success.filter((item) => item.fmr === rate);
      judge.replaceChildren(...found.map((item) => make("option", `${item.encoder}, type ${item.type}, FMR ${item.fmr}`, { value: this.data.success.indexOf(item) })));
      judge.selectedIndex = Math.min(Math.max(before, 0), found.length - 1);
      for (const element of all('[data-for="success"]', this.root)) element.hidden = !this.data.success.length;
      if (!found.length && this.data.success.length) judge.append(make("option", "no threshold at this rate", { value: "" }));
      this.update();
    }
    accepted(column, row) {
      const judge = this.data.success[this.control("judge").value];
      return judge?.accepted[column]?.[row] ?? null;
    }
    update() {
      const chosen = this.control("metric").value;
      const column = Number(this.control("column").value);
      if (chosen !== "") this.metric = Number(chosen);
      const metric = this.data.metrics[this.metric];
      const direction = this.control("direction");
      direction.textContent = this.best ? "Best first" : "Worst first";
      direction.setAttribute("aria-pressed", String(!this.best));
      direction.disabled = chosen === "";
      let order = this.rows.map((_, place) => place);
      if (chosen !== "") {
        const sign = (metric.higher ? -1 : 1) * (this.best ? 1 : -1);
        const score = (row) => metric.scores[column][row];
        const none = (row) => score(row) === null || score(row) === undefined;
        order.sort((a, b) => (none(a) - none(b)) || (none(a) ? a - b : sign * (score(a) - score(b)) || a - b));
      }
      const filter = this.control("filter").value;
      order = order.filter((row) => filter === "all" || this.accepted(column, row) === Number(filter));
      this.order = order;
      this.list.replaceChildren(...order.map((row) => this.rows[row]));
      const n = this.rows.length;
      one(".count", this.root).textContent = order.length === n ? `${n} targets` : `${order.length} of ${n} targets`;
      for (const [row, item] of this.rows.entries()) {
        this.data.columns.forEach((_, place) => {
          const place_of = one(`[data-kind="${place}"] .score`, item);
          const value = metric?.scores[place][row] ?? null;
          const data = make("data", shown(value, metric?.digits ?? 3), { value: value ?? "" });
          if (metric) {
            data.dataset.record = metric.records[place];
            data.dataset.pointer = `/rows/${metric.name.replaceAll("~", "~0").replaceAll("/", "~1")}/${row}`;
          }
          place_of.replaceChildren(data);
          const accepted = this.accepted(place, row);
          if (accepted === null) delete place_of.dataset.accepted;
          else place_of.dataset.accepted = accepted;
        });
      }
      this.draw();
    }
    overlay(kind, row, radius) {
      const layer = svg("svg", { class: "over", viewBox: "0 0 100 100", "aria-hidden": "true", preserveAspectRatio: "none" });
      for (const overlay of this.data.overlays) {
        if (!this.drawn.has(overlay.probe)) continue;
        const sources = kind === "target" ? ["target", "read"] : ["target", kind];
        const present = sources.filter((what) => overlay.of[what]?.[row]);
        if (overlay.kind === "points") present.forEach((what) => layer.append(points(overlay.of[what][row], kindOf(what), radius)));
        else {
          const peak = Math.max(...present.flatMap((what) => overlay.of[what][row]), 1);
          layer.append(svg("rect", { class: "back", x: 0, y: 68, width: 100, height: 32 }));
          present.forEach((what, place) => layer.append(bars(overlay.of[what][row], overlay.shape[0], what === "target" ? "dotted" : "", { left: 3, width: 94, bottom: 98, height: 27, peak })));
        }
      }
      return layer.childNodes.length ? layer : null;
    }
    draw() {
      one("[data-means]", this.root).hidden = !this.drawn.size;
      for (const row of this.rows) {
        for (const tile of all(".tile", row)) {
          one(".over", tile)?.remove();
          if (!this.drawn.size || tile.dataset.kind === "start") continue;
          const layer = this.overlay(tile.dataset.kind, Number(row.dataset.row), 0.9);
          if (layer) tile.append(layer);
        }
      }
    }
    move(event) {
      const tile = event.target.closest(".tile");
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!tile || !step) return;
      const rows = all("li", this.list);
      const row = rows.indexOf(tile.closest("li"));
      const column = all(".tile", rows[row]).indexOf(tile);
      const next = rows[row + step[0]] && all(".tile", rows[row + step[0]])[column + step[1]];
      if (next) {
        event.preventDefault();
        next.focus();
      }
    }
  }

  // The lightbox: one picture, flipped in place with its target.
  const dialog = one("#lightbox");
  const lightbox = dialog && {
    open(gallery, row, kind, opener) {
      Object.assign(this, { gallery, row, kind, opener, flipped: false });
      const toggles = one(".toggles", dialog);
      toggles.replaceChildren(...gallery.data.overlays.map((overlay) => gallery.toggle(overlay, () => {
        gallery.draw();
        this.show();
      })));
      dialog.showModal();
      this.show();
      one(".stage", dialog).focus();
    },
    kinds() { return ["target", "start", ...this.gallery.data.columns.map((_, place) => String(place))]; },
    name(kind) { return kind === "target" ? "Target" : kind === "start" ? "Start" : this.gallery.data.columns[Number(kind)]; },
    show() {
      const { gallery, row } = this;
      const kind = this.flipped ? "target" : this.kind;
      const picture = one(`[data-kind="${kind}"] img`, gallery.rows[row]);
      const image = one(".stage img", dialog);
      if (picture) image.src = picture.src;
      else image.removeAttribute("src");
      image.alt = picture?.alt ?? "No picture";
      one("[data-what]", dialog).textContent = this.name(kind);
      one("[data-target]", dialog).textContent = gallery.data.targets[row];
      one(".choices", dialog).replaceChildren(...this.kinds().map((choice) => {
        const button = make("button", this.name(choice), { type: "button", "aria-pressed": String(choice === kind) });
        button.addEventListener("click", () => {
          Object.assign(this, { kind: choice, flipped: false });
          this.show();
          one('.choices [aria-pressed="true"]', dialog)?.focus();
        });
        return button;
      }));
      one(".stage .over", dialog).replaceWith(this.layer(kind));
      this.histogram(kind);
      const column = Number(this.kind);
      const rows = Number.isInteger(column) ? gallery.data.metrics.filter((metric) => !metric.minor) : [];
      one(".scores", dialog).replaceChildren(...rows.map((metric) => {
        const line = document.createElement("div");
        const value = metric.scores[column][row] ?? null;
        const cell = document.createElement("dd");
        cell.append(make("data", shown(value, metric.digits) + (metric.unit ? ` ${metric.unit}` : ""), { value: value ?? "" }));
        line.append(make("dt", metric.label), cell);
        return line;
      }));
    },
    layer(kind) {
      const points = this.gallery.data.overlays.some((overlay) => overlay.kind === "points" && this.gallery.drawn.has(overlay.probe));
      const empty = svg("svg", { class: "over", "aria-hidden": "true" });
      if (!points || kind === "start") return empty;
      const layer = this.gallery.overlay(kind, this.row, 0.6);
      all(".back, .bars", layer ?? empty).forEach((element) => element.remove());
      return layer ?? empty;
    },
    histogram(kind) {
      const box = one(".histogram", dialog);
      const found = this.gallery.data.overlays.find((overlay) => overlay.kind === "histogram" && this.gallery.drawn.has(overlay.probe));
      box.toggleAttribute("hidden", !found);
      box.replaceChildren();
      if (!found) return;
      box.setAttribute("viewBox", "0 0 100 30");
      box.setAttribute("preserveAspectRatio", "none");
      const sources = (kind === "target" ? ["target", "read"] : ["target", kind]).filter((what) => found.of[what]?.[this.row]);
      const peak = Math.max(...sources.flatMap((what) => found.of[what][this.row]), 1);
      sources.forEach((what, place) => {
        const drawn = bars(found.of[what][this.row], found.shape[0], what === "target" ? "dotted" : "", { left: 2, width: 96, bottom: 28, height: 25, peak });
        drawn.classList.add("over");
        box.append(drawn);
      });
    },
    flip() {
      this.flipped = !this.flipped && this.kind !== "target";
      this.show();
    },
    target(step) {
      const order = this.gallery.order;
      this.row = order[(order.indexOf(this.row) + step + order.length) % order.length];
      this.show();
    },
    objective(step) {
      const kinds = this.kinds();
      this.kind = kinds[(kinds.indexOf(this.kind) + step + kinds.length) % kinds.length];
      this.flipped = false;
      this.show();
    },
  };
  if (dialog) {
    one(".stage", dialog).addEventListener("click", () => lightbox.flip());
    one("[data-close]", dialog).addEventListener("click", () => dialog.close());
    all("[data-move]", dialog).forEach((button) => button.addEventListener("click", () => lightbox.target(Number(button.dataset.move))));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      const tile = one(`li[data-row="${lightbox.row}"] [data-kind="${lightbox.kind}"]`, lightbox.gallery.root);
      (tile ?? lightbox.opener).focus();
    });
    dialog.addEventListener("keydown", (event) => {
      const act = {
        ArrowLeft: () => lightbox.objective(-1), ArrowRight: () => lightbox.objective(1),
        ArrowUp: () => lightbox.target(-1), ArrowDown: () => lightbox.target(1),
      }[event.key];
      if (act) {
        event.preventDefault();
        act();
      }
    });
  }

  all("[data-gallery]").forEach((root) => galleries.push(new Gallery(root)));
  for (const input of all('[data-chooser="fmr"] input')) input.addEventListener("change", () => chooseRate(input.value));
  const initial = one('[data-chooser="fmr"] input:checked');
  if (initial) chooseRate(initial.value);
})();
