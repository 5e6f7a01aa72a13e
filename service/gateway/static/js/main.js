// Begins: waits for the service and its models, then shows the page.

import { showError } from "./alert.js";
import { $ } from "./dom.js";
import { comeIn } from "./login.js";
import { Page } from "./page.js";
import { Service } from "./service.js";

function theme(name) {
  document.documentElement.dataset.theme = name;
}

async function begin() {
  $("alert").lastElementChild.onclick = () => showError(null);
  theme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
  $("theme").onclick = () => {
    theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  };
  addEventListener("logged-out", () => comeIn().catch(() => {}));
  for (;;) {
    try {
      await comeIn();
      const service = await Service.connect();
      const { models } = await service.call("ListModels");
      const ready = models.filter((model) => model.ready);
      if (ready.length) {
        showError(null);
        window.page = new Page(service, ready);
        for (const part of document.querySelectorAll("[inert]")) part.inert = false;
        return;
      }
      showError(new Error("The models are being loaded."), " Trying again by itself.");
    } catch (error) {
      showError(error, " Trying again by itself.");
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

begin();
