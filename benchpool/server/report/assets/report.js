// Filters the table of questions. Without this script all of them are shown.
"use strict";
const form = document.getElementById("filter");
if (form) {
  const rows = [...document.querySelectorAll("#samples > tbody > tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const outcomes = rows.map((row) => row.dataset.outcomes.split(" ").map((each) => each.split("+")));
  const count = form.querySelector("[role=status]");
  const show = () => {
    const wanted = new FormData(form);
    const words = wanted.get("words").toLowerCase().trim();
    const entry = wanted.get("entry");
    const outcome = wanted.get("outcome");
    let shown = 0;
    rows.forEach((row, place) => {
      const those = entry === "" ? outcomes[place] : [outcomes[place][entry]];
      const fits = (!outcome || those.some((each) => each.includes(outcome)))
        && (!wanted.has("differ") || "differ" in row.dataset)
        && texts[place].includes(words);
      row.hidden = !fits;
      shown += fits;
    });
    count.textContent = `${shown} of ${rows.length}`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
