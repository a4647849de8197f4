// Draws the figures in the page's colours, and shows samples of what is pointed at.
const data = JSON.parse(document.getElementById("data").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const config = {responsive: true, displaylogo: false, showSendToCloud: false, displayModeBar: "hover"};

function unpack(figure) {
  const copy = structuredClone(figure);
  for (const image of copy.layout.images || []) {
    image.source = data.pictures[Number(image.source.slice("picture:".length))];
  }
  return copy;
}

function show(place, samples, name) {
  if (!Object.hasOwn(samples, name)) return;
  const beside = place.parentElement.querySelector(".samples");
  beside.querySelector("img").src = data.pictures[samples[name]];
  beside.querySelector("img").alt = `samples of ${name}`;
  beside.querySelector("p").textContent = name;
}

async function draw(place) {
  const name = place.dataset.figure;
  const figure = unpack(data.figures[name][dark.matches ? "dark" : "light"]);
  // Frames too, of figures with a slider; of old ones nothing is left.
  await Plotly.react(place, {...figure, frames: figure.frames || [], config});
  const samples = data.samples[name];
  if (!samples || place.dataset.listens) return;
  place.dataset.listens = "yes";
  show(place, samples, Object.keys(samples)[0]);
  const point = (event) => show(place, samples, event.points[0]?.customdata?.[0]);
  place.on("plotly_hover", point);
  place.on("plotly_click", point);
}

for (const image of document.querySelectorAll("img[data-picture]")) {
  image.src = data.pictures[Number(image.dataset.picture)];
}

function drawAll() {
  for (const place of document.querySelectorAll(".plot")) {
    if (!place.closest("[hidden]")) draw(place);
  }
}

for (const choice of document.querySelectorAll("select[data-choice]")) {
  choice.addEventListener("change", () => {
    for (const one of document.getElementById(choice.dataset.choice).children) {
      one.hidden = one.dataset.option !== choice.value;
    }
    drawAll();
  });
}
dark.addEventListener("change", drawAll);
drawAll();
