/* What a page without this does not do: theme, copying, sorting, filtering, live charts. All of it reads without. */
(function () {
  "use strict";
  var root = document.documentElement;

  function each(selector, act) {
    Array.prototype.forEach.call(document.querySelectorAll(selector), act);
  }

  /* Theme: auto, light, dark; nothing is stored. */
  var themes = ["auto", "light", "dark"], theme = 0, themeButton = document.getElementById("theme");
  themeButton.hidden = false;
  themeButton.addEventListener("click", function () {
    theme = (theme + 1) % themes.length;
    if (theme) root.dataset.theme = themes[theme]; else delete root.dataset.theme;
    themeButton.textContent = "Theme: " + themes[theme];
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  /* Copying: to the clipboard, or else the text is selected. */
  each(".copy", function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var source = button.parentNode.querySelector("pre");
      function said(word) {
        button.textContent = word;
        setTimeout(function () { button.textContent = "Copy"; }, 1500);
      }
      function select() {
        getSelection().selectAllChildren(source);
        said("Selected");
      }
      if (!navigator.clipboard) return select();
      navigator.clipboard.writeText(source.textContent).then(function () { said("Copied"); }, select);
    });
  });

  /* A target inside something folded opens it. */
  function open() {
    var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (var node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", open);
  if (location.hash) open();

  /* Filtering rows, with the count said aloud. */
  each("[data-filters]", function (field) {
    var table = document.getElementById(field.dataset.filters), rows = table.tBodies[0].rows;
    var status = document.getElementById(table.id + "-count");
    function filter() {
      var wanted = field.value.toLowerCase(), shown = 0;
      Array.prototype.forEach.call(rows, function (row) {
        row.hidden = row.textContent.toLowerCase().indexOf(wanted) < 0;
        if (!row.hidden) shown++;
      });
      status.textContent = shown + " of " + rows.length + " rows";
    }
    field.closest(".controls").hidden = false;
    field.addEventListener("input", filter);
    field.addEventListener("keydown", function (event) {
      if (event.key === "Escape") { field.value = ""; filter(); }
    });
    filter();
  });

  /* Sorting by a column: numbers as numbers, else as text. */
  each(".sorter", function (button) {
    var head = button.parentNode, table = head.closest("table"), column = head.cellIndex;
    button.disabled = false;
    button.addEventListener("click", function () {
      var up = head.getAttribute("aria-sort") !== "ascending";
      Array.prototype.forEach.call(head.parentNode.cells, function (cell) { cell.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      function key(row) {
        var cell = row.cells[column];
        return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
      }
      Array.prototype.slice.call(table.tBodies[0].rows).sort(function (one, two) {
        var a = key(one), b = key(two);
        var order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return up ? order : -order;
      }).forEach(function (row) { table.tBodies[0].appendChild(row); });
    });
  });

  /* The section in sight is marked in the bar. */
  var links = {};
  each(".nav a", function (link) { links[link.hash.slice(1)] = link; });
  var inSight = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (!entry.isIntersecting || !links[entry.target.id]) return;
      for (var name in links) links[name].removeAttribute("aria-current");
      links[entry.target.id].setAttribute("aria-current", "true");
    });
  }, { rootMargin: "-15% 0px -75% 0px" });
  each("section[id]", function (section) { inSight.observe(section); });

  /* Charts. The still picture stays until plotly is alive, and for good where it cannot be. */
  var CONFIG = {
    displaylogo: false, responsive: true, scrollZoom: false, doubleClick: false,
    /* naming the one button leaves out plotly's "Share chart", which posts the data to its cloud */
    modeBarButtons: [["toImage"]], toImageButtonOptions: { scale: 2 },
    showSendToCloud: false, plotlyServerURL: ""
  };
  var drawn = [], loading = null;

  function plotly() {
    if (!loading) {
      loading = inflate(document.getElementById("plotly").textContent).then(function (source) {
        var script = document.createElement("script");
        script.textContent = source;
        document.head.appendChild(script);
        return window.Plotly;
      });
    }
    return loading;
  }

  function inflate(packed) {
    var text = atob(packed.trim()), bytes = new Uint8Array(text.length);
    for (var at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  /* `--name` or `--name/0.5` under a key that holds colours becomes that custom property's colour. */
  function coloured(value, isColour, style) {
    if (typeof value === "string") return isColour ? colour(value, style) : value;
    if (Array.isArray(value)) return value.map(function (one) { return coloured(one, isColour, style); });
    if (!value || typeof value !== "object") return value;
    var result = {};
    for (var key in value) result[key] = coloured(value[key], /color(scale)?$/.test(key), style);
    return result;
  }

  function colour(name, style) {
    var parts = /^(--[a-z0-9-]+)(?:\/([\d.]+))?$/.exec(name);
    if (!parts) return name;
    var hex = style.getPropertyValue(parts[1]).trim();
    if (!parts[2]) return hex;
    if (hex.length === 4) hex = hex.replace(/[^#]/g, "$&$&");
    var channels = [1, 3, 5].map(function (at) { return parseInt(hex.slice(at, at + 2), 16); });
    return "rgba(" + channels.join(",") + "," + parts[2] + ")";
  }

  function figure(chart) {
    var style = getComputedStyle(root), made = coloured(chart.spec, false, style);
    made.layout.font.family = getComputedStyle(document.body).fontFamily;
    if (chart.zoomed) {
      made.layout.dragmode = "zoom";
      for (var key in made.layout) if (/^[xy]axis/.test(key)) made.layout[key].fixedrange = false;
    }
    return made;
  }

  function draw(chart) {
    var made = figure(chart);
    return window.Plotly.react(chart.live, made.data, made.layout, CONFIG).then(function () {
      /* the still picture under it has the name; these would be read letter by letter */
      Array.prototype.forEach.call(chart.live.querySelectorAll("svg.main-svg"), function (svg) {
        svg.setAttribute("aria-hidden", "true");
      });
    });
  }

  function redraw() { drawn.forEach(draw); }

  function begin(box) {
    plotly().then(function () {
      var chart = { box: box, live: document.createElement("div"), spec: JSON.parse(document.getElementById(box.dataset.chart).textContent) };
      chart.live.className = "live";
      box.appendChild(chart.live);
      return draw(chart).then(function () {
        box.classList.add("alive");
        drawn.push(chart);
        zoomButton(chart);
      });
    });
  }

  /* Dragging scrolls the page, unless someone asked to zoom this chart. */
  function zoomButton(chart) {
    var foot = chart.box.closest("figure").querySelector(".foot"), button = document.createElement("button");
    button.type = "button";
    button.className = "zoom";
    button.textContent = "Zoom";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", function () {
      chart.zoomed = !chart.zoomed;
      button.setAttribute("aria-pressed", String(chart.zoomed));
      draw(chart);
    });
    foot.appendChild(button);
  }

  if (window.DecompressionStream) {
    var near = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) return;
        near.unobserve(entry.target);
        begin(entry.target);
      });
    }, { rootMargin: "100px 0px" });
    each(".plot", function (box) { near.observe(box); });
  }
})();
