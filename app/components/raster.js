const rasters = new WeakMap()
const GUTTER = 26
const AXIS = 20

function unpack(text) {
  return Uint8Array.from(atob(text), c => c.charCodeAt(0))
}

function made(tag, name, text) {
  const one = document.createElement(tag)
  if (name) one.className = name
  if (text !== undefined) one.textContent = text
  return one
}

export default function (component) {
  const { data, parentElement, setStateValue } = component
  const root = parentElement.querySelector(".raster")
  if (!root || !data) return
  let raster = rasters.get(parentElement)
  if (!raster || raster.id !== data.id) {
    raster?.stop()
    raster = build(root, data)
    rasters.set(parentElement, raster)
  }
  // A number that grows: the same rows can be picked twice.
  raster.pick = what => setStateValue("pick", { ...what, at: Date.now() })
  raster.view(data)
  return () => {
    rasters.get(parentElement)?.stop()
    rasters.delete(parentElement)
  }
}

function build(root, data) {
  const panes = root.querySelector(".panes")
  const chips = root.querySelector(".chips")
  const told = root.querySelector(".told")
  panes.replaceChildren()
  chips.replaceChildren()
  panes.style.setProperty("--runs", data.panels.length)
  const steps = Math.max(...data.panels.map(panel => panel.steps))
  const raster = { id: data.id, focus: -1, chosen: null, band: null, step: 0, pick() {} }
  const all = data.panels.map((panel, index) => pane(panes, data, panel, index, raster))
  raster.draw = () => all.forEach(one => one.draw())
  raster.say = text => { told.textContent = text }

  for (let k = 0; k < data.experts; k++) {
    const chip = made("button", "chip")
    const dot = made("i")
    dot.style.background = data.colours[k]
    chip.type = "button"
    chip.append(dot, String(k))
    chip.title = `choose the samples that expert ${k} leads at the cursor's step`
    chip.setAttribute("aria-label", chip.title)
    chip.onclick = () => raster.pick({ expert: k, step: raster.step })
    chips.append(chip)
  }
  const show = step => {
    raster.step = Math.max(0, Math.min(steps - 1, step))
    root.dataset.step = String(raster.step)
    raster.draw()
    const t = data.panels[0].t[Math.min(raster.step, data.panels[0].steps - 1)]
    raster.say(`step ${raster.step} / ${steps - 1}  ·  t = ${t.toFixed(3)}`)
    bus.told = String(raster.step)
  }
  bus.listeners.add(show)
  const keys = event => {
    const target = event.composedPath()[0]
    const own = root.contains(target)
    const busy = target.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=radiogroup], [role=grid], canvas[data-testid]")
    if (event.ctrlKey || event.metaKey || event.altKey || (busy && !own)) return
    const moves = { ArrowRight: 1, ArrowLeft: -1 }
    if (event.key in moves) bus.set(Math.max(0, Math.min(steps - 1, raster.step + moves[event.key])))
    else if (own && target.tagName === "CANVAS" && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const next = raster.focus < 0 ? 0 : raster.focus + (event.key === "ArrowDown" ? 1 : -1)
      raster.focus = Math.max(0, Math.min(data.rows - 1, next))
      raster.draw()
      clearTimeout(raster.late)
      raster.late = setTimeout(() => raster.pick({ rows: [raster.focus, raster.focus], one: true }), 250)
    } else return
    event.preventDefault()
  }
  window.addEventListener("keydown", keys)
  const resized = new ResizeObserver(() => raster.draw())
  resized.observe(panes)
  raster.view = now => {
    raster.focus = now.focus
    raster.chosen = now.chosen ? unpack(now.chosen) : null
    raster.ink = now.ink
    raster.paper = now.paper
    root.dataset.focus = now.focus < 0 ? "" : data.seeds[now.focus]
    root.dataset.chosen = String(raster.chosen ? raster.chosen.reduce((a, b) => a + b, 0) : 0)
    raster.draw()
  }
  raster.stop = () => {
    clearTimeout(raster.late)
    window.removeEventListener("keydown", keys)
    bus.listeners.delete(show)
    if (bus.listeners.size === 0) bus.told = null
    resized.disconnect()
  }
  const wanted = data.step == null ? steps - 1 : Math.min(data.step, steps - 1)
  show(bus.adopt(steps, wanted))
  return raster
}

// The cells as a picture of one pixel each; the browser enlarges it without smoothing.
function picture(data, panel) {
  const cells = unpack(panel.cells)
  const image = document.createElement("canvas")
  image.width = panel.steps
  image.height = data.rows
  const pen = image.getContext("2d")
  const pixels = pen.createImageData(panel.steps, data.rows)
  const palette = data.colours.map(c => [1, 3, 5].map(i => parseInt(c.slice(i, i + 2), 16)))
  for (let i = 0; i < cells.length; i++) {
    const [r, g, b] = palette[cells[i]]
    pixels.data.set([r, g, b, 255], 4 * i)
  }
  pen.putImageData(pixels, 0, 0)
  return [image, cells]
}

function pane(panes, data, panel, index, raster) {
  const box = made("figure", "pane")
  const head = made("figcaption", "head")
  if (data.panels.length > 1) {
    const letter = made("span", "letter", panel.letter)
    letter.style.background = panel.colour
    head.append(letter)
  }
  head.append(made("span", "label", panel.label))
  const canvas = made("canvas")
  canvas.tabIndex = 0
  canvas.setAttribute("role", "img")
  canvas.setAttribute("aria-label", panel.alt)
  box.append(head, canvas, made("div", "note", panel.note))
  panes.append(box)
  const [image, cells] = picture(data, panel)
  const height = Math.max(220, Math.min(520, data.rows * 9))
  const inner = () => canvas.clientWidth - GUTTER
  const rowAt = y => Math.max(0, Math.min(data.rows - 1, Math.floor(y / height * data.rows)))
  const stepAt = x => Math.max(0, Math.min(panel.steps - 1, Math.floor(x / inner() * panel.steps)))
  const mapped = step => Math.round(bus.fraction() * (panel.steps - 1)) || Math.min(step, panel.steps - 1)

  const draw = () => {
    const width = inner()
    if (width < 20) return
    const dense = window.devicePixelRatio || 1
    const whole = height + AXIS
    if (canvas.width !== Math.round(canvas.clientWidth * dense) || canvas.height !== Math.round(whole * dense)) {
      canvas.width = Math.round(canvas.clientWidth * dense)
      canvas.height = Math.round(whole * dense)
      canvas.style.height = `${whole}px`
    }
    const pen = canvas.getContext("2d")
    pen.setTransform(dense, 0, 0, dense, 0, 0)
    pen.clearRect(0, 0, canvas.clientWidth, whole)
    pen.imageSmoothingEnabled = false
    pen.drawImage(image, 0, 0, width, height)
    const top = row => row / data.rows * height
    if (raster.chosen) {
      // Who is not chosen fades.
      pen.fillStyle = raster.paper
      pen.globalAlpha = 0.78
      for (let row = 0; row < data.rows; row++) {
        if (raster.chosen[row]) continue
        let end = row
        while (end + 1 < data.rows && !raster.chosen[end + 1]) end++
        pen.fillRect(0, top(row), width, top(end + 1) - top(row))
        row = end
      }
      pen.globalAlpha = 1
    }
    if (raster.band && raster.band.pane === index) {
      const [a, b] = raster.band.rows
      pen.fillStyle = raster.ink
      pen.globalAlpha = 0.25
      pen.fillRect(0, top(Math.min(a, b)), width, top(Math.max(a, b) + 1) - top(Math.min(a, b)))
      pen.globalAlpha = 1
    }
    if (raster.focus >= 0) {
      const y = top(raster.focus), tall = Math.max(3, height / data.rows)
      pen.strokeStyle = raster.ink
      pen.lineWidth = 1.5
      pen.strokeRect(0.75, y - 0.5, width - 1.5, tall + 1)
      pen.beginPath()
      pen.moveTo(width + 9, y + tall / 2 - 5)
      pen.lineTo(width + 2, y + tall / 2)
      pen.lineTo(width + 9, y + tall / 2 + 5)
      pen.fillStyle = raster.ink
      pen.fill()
    }
    const step = mapped(raster.step)
    const x = (step + 0.5) / panel.steps * width
    pen.fillStyle = raster.paper
    pen.fillRect(x - 1.5, 0, 3, height)
    pen.fillStyle = raster.ink
    pen.fillRect(x - 0.5, 0, 1, height + 4)
    names(pen, width, height)
    axis(pen, width, height)
  }

  // The number of the last expert beside its rows, where they are a block with room for it.
  const names = (pen, width, height) => {
    pen.font = "600 11px sans-serif"
    pen.textAlign = "left"
    pen.textBaseline = "middle"
    for (let row = 0; row < data.rows; row++) {
      const k = cells[(row + 1) * panel.steps - 1]
      let end = row
      while (end + 1 < data.rows && cells[(end + 2) * panel.steps - 1] === k) end++
      const tall = (end + 1 - row) / data.rows * height
      if (tall >= 13) {
        const y = (row + end + 1) / 2 / data.rows * height
        pen.fillStyle = data.colours[k]
        pen.fillRect(width + 1, row / data.rows * height + 1, 2, tall - 2)
        if (raster.focus < row || raster.focus > end || tall > 40) {
          pen.fillStyle = raster.ink
          pen.fillText(String(k), width + 11, y)
        }
      }
      row = end
    }
  }

  const axis = (pen, width, height) => {
    pen.font = "11px sans-serif"
    pen.textBaseline = "alphabetic"
    pen.fillStyle = raster.ink
    pen.globalAlpha = 0.75
    const last = panel.steps - 1
    const whole = step => `step ${step} (t = ${panel.t[step].toFixed(2)})`
    const wide = pen.measureText(whole(0)).width + pen.measureText(whole(last)).width + 12
    // Where there is no room for both words and times, the times go: the cursor tells them.
    const said = wide <= width ? whole : step => `step ${step}`
    for (const [step, side, text] of [[0, "left", said(0)], [last, "right", said(last)]]) {
      pen.textAlign = side
      pen.fillText(text, step === 0 ? 0 : width, height + 15)
    }
    pen.globalAlpha = 1
  }

  const place = event => {
    const at = canvas.getBoundingClientRect()
    return [event.clientX - at.left, event.clientY - at.top]
  }
  let from = null
  canvas.onpointerdown = event => {
    const [x, y] = place(event)
    if (x > inner() || y > height) return
    from = [x, y]
    canvas.setPointerCapture(event.pointerId)
  }
  canvas.onpointermove = event => {
    const [x, y] = place(event)
    if (from && Math.abs(y - from[1]) > 4) {
      raster.band = { pane: index, rows: [rowAt(from[1]), rowAt(y)] }
      raster.draw()
    }
    if (x < 0 || x > inner() || y < 0 || y > height) return
    const row = rowAt(y), step = stepAt(x)
    const k = cells[row * panel.steps + step]
    raster.say(`sample ${data.seeds[row]}  ·  step ${step}  ·  t = ${panel.t[step].toFixed(3)}  ·  expert ${k} leads`)
  }
  canvas.onpointerup = event => {
    if (!from) return
    const [x, y] = place(event)
    if (raster.band) {
      const rows = [rowAt(from[1]), rowAt(y)].sort((a, b) => a - b)
      raster.pick({ rows, add: event.shiftKey })
    } else {
      raster.focus = rowAt(y)
      bus.set(Math.round(stepAt(x) / Math.max(panel.steps - 1, 1) * (bus.steps - 1)))
      raster.pick({ rows: [raster.focus, raster.focus], one: true })
    }
    raster.band = null
    from = null
    raster.draw()
  }
  canvas.onpointercancel = () => { from = null; raster.band = null; raster.draw() }
  return { draw }
}
