// The theme follows the system until the person chooses; the choice stays in this browser.
"use strict";
(() => {
  const choices = ["auto", "light", "dark"];
  const root = document.documentElement;
  const stored = () => {
    try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; }
  };
  const apply = (choice) => {
    if (choice === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", choice);
    document.querySelectorAll("[data-theme-switch]").forEach((button) => {
      button.hidden = false;
      button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[choice];
      button.setAttribute("aria-label", `Theme: ${choice}`);
    });
    root.dispatchEvent(new CustomEvent("themechange", { detail: choice }));
  };
  apply(stored());
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const next = choices[(choices.indexOf(stored()) + 1) % choices.length];
    try { localStorage.setItem("theme", next); } catch { /* a private window: the choice lasts for this page */ }
    apply(next);
  });

  // A failed htmx request says so instead of doing nothing.
  document.addEventListener("htmx:responseError", (event) => {
    const notice = document.createElement("p");
    notice.className = "notice bad";
    notice.setAttribute("role", "alert");
    let text = `The request failed (${event.detail.xhr.status}).`;
    try { const problem = JSON.parse(event.detail.xhr.responseText); text = `${problem.title}. ${problem.detail}`; } catch { /* no problem details */ }
    notice.textContent = text;
    document.getElementById("content").prepend(notice);
  });
})();
