// The set of chosen samples: a mark on each, a click with shift or in "choose" mode changes it.
function choosing(root, data, state) {
  const add = root.querySelector(".add")
  const only = root.querySelector(".only")
  const press = (button, on) => button.setAttribute("aria-pressed", String(on))
  let adding = false
  let shift = false
  data.marked = new Set(data.chosen)
  data.alone = false
  const arrange = () => {
    if (!data.marked.size) data.alone = false
    only.hidden = !data.marked.size
    press(only, data.alone)
    root.dataset.chosen = [...data.marked].join(",")
  }
  add.onclick = () => press(add, (adding = !adding))
  only.onclick = () => { data.alone = !data.alone; arrange(); state.draw() }
  const heard = event => { shift = event.shiftKey }
  root.addEventListener("click", heard, true)
  press(add, false)
  arrange()
  return {
    set(seeds) { data.marked = new Set(seeds); arrange() },
    // Whether the click was meant for the set; else it moves the focus.
    takes(seed) {
      if (!adding && !shift) return false
      if (!data.marked.delete(seed)) data.marked.add(seed)
      arrange()
      state.draw()
      state.tellChosen([...data.marked])
      return true
    },
    // The places that are shown: all, or those of the chosen.
    kept: order => data.alone ? order.filter(i => data.marked.has(data.seeds[i])) : order,
    // A corner with a dark and a light rim: it shows on black and on white pictures.
    corners(pen, places) {
      for (const { i, x, y, width } of places) {
        if (!data.marked.has(data.seeds[i])) continue
        const size = Math.min(18, width / 3)
        for (const [colour, edge] of [["#101418", size + 3], ["#FFFFFF", size + 1.5], [data.mark, size]]) {
          pen.fillStyle = colour
          pen.beginPath()
          pen.moveTo(x + width, y)
          pen.lineTo(x + width - edge, y)
          pen.lineTo(x + width, y + edge)
          pen.fill()
        }
      }
    },
    stop: () => root.removeEventListener("click", heard, true),
  }
}
