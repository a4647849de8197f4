const easels = new WeakMap()

export default function (component) {
  const { data, parentElement } = component
  const root = parentElement.querySelector(".painting")
  if (!root || !data) return
  if (easels.get(parentElement)?.id !== data.id) {
    easels.get(parentElement)?.stop()
    easels.set(parentElement, painted(root, data))
  }
  return () => {
    easels.get(parentElement)?.stop()
    easels.delete(parentElement)
  }
}

function painted(root, data) {
  const find = name => root.querySelector(name)
  const canvas = find(".picture"), opacity = find(".opacity"), last = find(".last")
  const [tall, wide] = data.tile
  const pixels = tall * wide
  const leader = decode(data.leader, Int16Array)
  const margin = decode(data.margin, Uint8Array)
  const count = data.frames.length
  const channels = data.colours.map(colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16)))
  const picture = source({ sprite: data.sprite }, data, () => draw())
  const veil = Object.assign(document.createElement("canvas"), { width: wide, height: tall })

  const title = element("div", "title", "share of the picture so far")
  const bars = data.colours.map((colour, k) => {
    const row = element("div", "painter")
    const rail = element("div", "rail")
    const bar = element("div")
    bar.style.background = colour
    rail.append(bar)
    const amount = element("span", "amount")
    row.append(element("span", "", `expert ${k}`), rail, amount)
    return { row, bar, amount }
  })
  find(".painters").replaceChildren(title, ...bars.map(one => one.row))

  const now = () => Math.min(count - 1, bus.step)
  const draw = () => {
    if (!picture.ready) return
    const step = now()
    const pen = veil.getContext("2d")
    const colours = pen.createImageData(wide, tall)
    for (let p = 0; p < pixels; p++) {
      const k = leader[step * pixels + p]
      if (k < 0) continue
      colours.data.set(channels[k], 4 * p)
      // Half of the colour for leading at all, the other half by how far.
      colours.data[4 * p + 3] = Math.round((127.5 + margin[step * pixels + p] / 2) * Number(opacity.value) / 100)
    }
    pen.putImageData(colours, 0, 0)
    const [brush, width, height] = fitted(canvas, tall / wide)
    brush.imageSmoothingEnabled = false
    picture.draw(brush, last.checked ? count - 1 : step, 0, 0, 0, width, height)
    brush.drawImage(veil, 0, 0, width, height)
    bars.forEach(({ row, bar, amount }, k) => {
      const share = data.share[step][k]
      bar.style.width = `${100 * share}%`
      amount.textContent = `${Math.round(100 * share)}%`
      row.title = `expert ${k} leads at ${Math.round(100 * data.led[step][k])}% of the pixels`
      row.style.opacity = share < 0.005 ? "0.45" : "1"
    })
    const most = data.share[step].indexOf(Math.max(...data.share[step]))
    canvas.setAttribute("aria-label", `sample ${data.seeds[0]} at step ${data.frames[step]}, coloured by the `
      + `expert with the largest contribution to each pixel; expert ${most} has the largest share`)
    root.dataset.step = String(data.frames[step])
  }
  canvas.onpointermove = event => {
    const column = Math.floor(event.offsetX / canvas.clientWidth * wide)
    const row = Math.floor(event.offsetY / canvas.clientHeight * tall)
    if (column < 0 || row < 0 || column >= wide || row >= tall) return
    const at = now() * pixels + row * wide + column
    const who = leader[at] < 0 ? "nobody yet" : `expert ${leader[at]}, ${Math.round(margin[at] / 2.55)} points ahead of the next`
    find(".note").textContent = `row ${row}, column ${column}: ${who}`
  }
  canvas.onpointerleave = () => (find(".note").textContent = "")
  opacity.oninput = draw
  last.onchange = draw
  bus.listeners.add(draw)
  const resized = new ResizeObserver(draw)
  resized.observe(root)
  return {
    id: data.id,
    stop() {
      bus.listeners.delete(draw)
      resized.disconnect()
    },
  }
}
