// Draws the chart, and reads the figures anew when the server says that they moved.
"use strict";
(() => {
  const figures = document.getElementById("figures");
  const said = document.getElementById("said");
  const connection = document.getElementById("connection");
  const SAY_EVERY_MS = 15000; // Speech that changes each second helps nobody.
  const PERIOD_MOVES_MS = 30000; // "The last hour" moves on without any event.
  let drawn = [];
  let reading = false;
  let readAgain = false;
  let lastSaid = 0;

  const line = (element, label, name) => ({
    label,
    stroke: getComputedStyle(element).getPropertyValue(`--${name}`).trim(),
    width: 2,
    points: { show: true, size: 4 },
  });

  const draw = () => {
    drawn.forEach((plot) => plot.destroy());
    drawn = [...figures.querySelectorAll("[data-chart]")].map((element) => {
      const data = JSON.parse(element.dataset.chart);
      const ink = getComputedStyle(element).color;
      const grid = { stroke: getComputedStyle(element).getPropertyValue("--tb-line").trim(), width: 1 };
      const options = {
        width: element.clientWidth,
        height: 240,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), data.zone),
        scales: { y: { range: (_plot, _low, high) => [0, Math.max(4, Math.ceil(high * 1.1))] } },
        axes: [
          { stroke: ink, grid },
          { stroke: ink, grid, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 100000] },
        ],
        series: [
          {},
          line(element, "Opened", "opened"),
          line(element, "Abandoned", "abandoned"),
          line(element, "Recovered", "recovered"),
        ],
      };
      return new uPlot(options, [data.starts, data.opened, data.abandoned, data.recovered], element);
    });
  };

  const say = (text) => {
    if (!text || text === said.textContent || Date.now() - lastSaid < SAY_EVERY_MS) return;
    said.textContent = text;
    lastSaid = Date.now();
  };

  const show = (html) => {
    const open = [...figures.querySelectorAll("details[open]")].map((element) => element.id);
    figures.innerHTML = html;
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    say(figures.querySelector("[data-summary]")?.dataset.summary);
    draw();
  };

  const state = (text, tone) => {
    connection.textContent = text;
    connection.className = `badge ${tone}`;
  };

  const read = async () => {
    if (reading) { readAgain = true; return; }
    if (figures.contains(document.activeElement) || document.hidden) { setTimeout(read, 2000); return; }
    reading = true;
    try {
      const answer = await fetch(figures.dataset.figures, { headers: { Accept: "text/html" } });
      if (answer.ok) show(await answer.text());
      else state(answer.status === 401 ? "signed out: reload the page" : `no answer (${answer.status})`, "bad");
    } catch {
      state("not live", "warn"); // The stream tries again, and with it this.
    } finally {
      reading = false;
      if (readAgain) { readAgain = false; read(); }
    }
  };

  const listen = () => {
    const stream = new EventSource(figures.dataset.stream);
    stream.addEventListener("moved", () => { state("live", "good"); read(); });
    stream.onerror = () => {
      state("not live", "warn");
      // The browser tries again by itself unless the server answered with an error.
      if (stream.readyState === EventSource.CLOSED) { stream.close(); setTimeout(listen, 5000); }
    };
  };

  let resizing;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });
  document.documentElement.addEventListener("themechange", draw);
  setInterval(() => { if (!document.hidden) read(); }, PERIOD_MOVES_MS);
  draw();
  listen();
})();
