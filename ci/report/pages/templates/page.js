"use strict";
// Each control names, in data-filter, the group whose items it filters; what only follows them is not counted. An item
// without a control's key is shown whatever that control says. Without this script everything is shown.
const groups = new Map();
for (const control of document.querySelectorAll("[data-filter]")) {
  const name = control.dataset.filter;
  groups.set(name, [...(groups.get(name) ?? []), control]);
}
for (const [name, controls] of groups) {
  const items = [...document.querySelectorAll(`[data-group="${name}"]`)];
  const followers = [...document.querySelectorAll(`[data-follows="${name}"]`)];
  const count = document.querySelector(`[data-count="${name}"]`);
  const texts = items.map((item) => item.textContent.toLowerCase());
  const fits = (item, text) => controls.every((control) => {
    if (control.value === "") return true;
    if (control.dataset.key === undefined) {
      return control.value.toLowerCase().trim().split(/\s+/).every((word) => text.includes(word));
    }
    const values = item.dataset[control.dataset.key];
    return values === undefined || values.split(" ").includes(control.value);
  });
  const show = () => {
    let shown = 0;
    items.forEach((item, number) => {
      item.hidden = !fits(item, texts[number]);
      shown += item.hidden ? 0 : 1;
    });
    for (const item of followers) item.hidden = !fits(item, "");
    if (count) count.textContent = shown ? `${shown} of ${items.length} shown` : "nothing fits: choose something else";
  };
  for (const control of controls) control.addEventListener("input", show);
  show();
}
// Commands name the site by where it was opened from.
if (location.protocol.startsWith("http")) {
  const site = new URL(".", location.href).href.replace(/\/$/, "");
  for (const one of document.querySelectorAll("[data-site]")) one.textContent = one.textContent.replaceAll("SITE/", `${site}/`);
}
for (const part of document.querySelectorAll(".controls")) part.hidden = false;
// A folded check can't be read on paper.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
