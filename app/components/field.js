const fields = new WeakMap()
const SEEDS = 21
const TAIL = 9

function numbers(text, Kind) {
  return new Kind(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer)
}

function node(tag, name, text) {
  const one = document.createElement(tag)
  if (name) one.className = name
  if (text !== undefined) one.textContent = text
  return one
}

function rgb(hex) {
  return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16))
}

// 256 colours between the stops of a scale.
function ramp(stops) {
  const colours = stops.map(rgb)
  return Array.from({ length: 256 }, (_, i) => {
    const place = i / 255 * (colours.length - 1)
    const first = Math.min(Math.floor(place), colours.length - 2)
    return colours[first].map((c, j) => Math.round(c + (colours[first + 1][j] - c) * (place - first)))
  })
}

export default function (component) {
  const { data, parentElement, setStateValue } = component
  const root = parentElement.querySelector(".field")
  if (!root || !data) return
  let field = fields.get(parentElement)
  if (!field || field.id !== data.id) {
    field?.stop()
    field = build(root, data)
    fields.set(parentElement, field)
  }
  field.pick = seed => setStateValue("focus", seed)
  field.view(data)
  return () => {
    fields.get(parentElement)?.stop()
    fields.delete(parentElement)
  }
}

function build(root, data) {
  const panes = root.querySelector(".panes")
  const slider = root.querySelector("input[type=range]")
  const play = root.querySelector(".play")
  const speed = root.querySelector(".speed")
  const told = root.querySelector(".told")
  const last = data.frames.length - 1
  const field = { id: data.id, step: 0, focus: null, chosen: new Set(), ground: data.ground, timer: 0, pick() {} }
  panes.replaceChildren()
  const wide = data.panels.length <= 3 ? data.panels.length : data.panels.length % 3 ? 4 : 3
  panes.style.setProperty("--panes", wide)
  panes.dataset.panes = String(wide)
  const all = data.panels.map(panel => pane(panes, data, panel, field))
  field.draw = () => all.forEach(one => one.draw())
  slider.max = last

  const show = step => {
    field.step = Math.max(0, Math.min(last, step))
    slider.value = field.step
    told.textContent = `step ${data.frames[field.step]} / ${data.steps - 1}  ·  t = ${data.t[field.step].toFixed(3)}`
    slider.setAttribute("aria-valuetext", told.textContent)
    root.dataset.step = String(data.frames[field.step])
    field.draw()
    bus.told = root.dataset.step
  }
  bus.listeners.add(show)
  const go = step => bus.set(Math.max(0, Math.min(last, step)))
  const pause = () => {
    clearInterval(field.timer)
    field.timer = 0
    play.textContent = "▶"
    play.setAttribute("aria-label", "play")
  }
  const start = () => {
    if (field.step >= last) go(0)
    play.textContent = "❚❚"
    play.setAttribute("aria-label", "pause")
    clearInterval(field.timer)
    field.timer = setInterval(() => (field.step < last ? go(field.step + 1) : pause()), 1000 / (10 * Number(speed.value)))
  }
  play.onclick = () => (field.timer ? pause() : start())
  speed.onchange = () => field.timer && start()
  slider.oninput = () => { pause(); go(Number(slider.value)) }
  const keys = event => {
    const target = event.composedPath()[0]
    const own = root.contains(target)
    const busy = target.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=radiogroup], [role=grid], canvas[data-testid]")
    if (event.ctrlKey || event.metaKey || event.altKey || (busy && !own)) return
    const moves = { ArrowRight: 1, ArrowLeft: -1, PageUp: 5, PageDown: -5 }
    if (event.key in moves && (own || event.key.startsWith("Arrow"))) { pause(); go(field.step + moves[event.key]) }
    else if (own && event.key === "Home") { pause(); go(0) }
    else if (own && event.key === "End") { pause(); go(last) }
    else if (own && event.key === " " && target !== play) play.onclick()
    else return
    event.preventDefault()
  }
  window.addEventListener("keydown", keys)
  const resized = new ResizeObserver(() => field.draw())
  resized.observe(panes)
  field.view = now => {
    field.focus = now.focus
    field.ground = now.ground
    field.chosen = new Set(now.chosen)
    root.dataset.chosen = String(field.chosen.size)
    key(root, data, field)
    field.draw()
  }
  field.stop = () => {
    pause()
    window.removeEventListener("keydown", keys)
    bus.listeners.delete(show)
    if (bus.listeners.size === 0) bus.told = null
    resized.disconnect()
  }
  const wanted = data.frames.findIndex(frame => frame >= data.step)
  show(bus.adopt(last + 1, data.step == null || wanted < 0 ? Math.round(last * 0.4) : wanted))
  return field
}

// What the colour of the ground means.
function key(root, data, field) {
  const ground = data.grounds[field.ground]
  root.querySelector(".low").textContent = ground.low
  root.querySelector(".high").textContent = ground.high
  root.querySelector(".signs").textContent = data.signs
  const canvas = root.querySelector(".scale")
  canvas.width = 256
  canvas.height = 1
  const pen = canvas.getContext("2d")
  ramp(ground.scale ?? data.scale).forEach(([r, g, b], i) => {
    pen.fillStyle = `rgb(${r},${g},${b})`
    pen.fillRect(i, 0, 1, 1)
  })
}

function pane(panes, data, panel, field) {
  const box = node("figure", "pane")
  const head = node("figcaption", "head")
  const letter = node("span", "letter", panel.letter)
  letter.style.background = panel.colour
  if (panel.on) letter.style.color = panel.on
  head.append(letter, node("span", "label", panel.label))
  const canvas = node("canvas")
  canvas.setAttribute("role", "img")
  canvas.setAttribute("aria-label", panel.alt)
  const note = node("div", "note")
  for (const [name, value] of panel.numbers) {
    const line = node("div", "", `${name} `)
    line.append(node("b", "", value))
    note.append(line)
  }
  box.append(head, canvas, note)
  panes.append(box)

  const n = data.resolution
  const flow = numbers(panel.flow, Int16Array)
  const grounds = Object.fromEntries(Object.entries(panel.grounds).map(([name, text]) => [name, numbers(text, Uint8Array)]))
  const state = numbers(panel.state, Float32Array)
  const twin = numbers(panel.twin, Float32Array)
  const leader = numbers(panel.leader, Int16Array)
  const count = data.seeds.length
  const [left, right, bottom, top] = data.box
  const colours = ramp(panel.scale ?? data.scale)
  const image = node("canvas")
  image.width = image.height = n
  let painted = ""

  const ground = step => {
    const name = `${step} ${field.ground}`
    if (painted === name) return image
    painted = name
    const pen = image.getContext("2d")
    const pixels = pen.createImageData(n, n)
    const values = grounds[field.ground] ?? grounds[Object.keys(grounds)[0]]
    for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
      // Rows of a picture go down, those of the plane up.
      const [r, g, b] = colours[values[(step * n + n - 1 - y) * n + x]]
      pixels.data.set([r, g, b, 255], 4 * (y * n + x))
    }
    pen.putImageData(pixels, 0, 0)
    return image
  }

  // The velocity at a place of the grid [0, n - 1]^2, between its points.
  const at = (step, u, v, out) => {
    const i = Math.max(0, Math.min(n - 2, Math.floor(u))), j = Math.max(0, Math.min(n - 2, Math.floor(v)))
    const a = Math.max(0, Math.min(1, u - i)), b = Math.max(0, Math.min(1, v - j))
    const base = 2 * ((step * n + j) * n + i)
    for (let c = 0; c < 2; c++) {
      const low = flow[base + c] * (1 - a) + flow[base + 2 + c] * a
      const high = flow[base + 2 * n + c] * (1 - a) + flow[base + 2 * n + 2 + c] * a
      out[c] = (low * (1 - b) + high * b) * panel.unit
    }
  }

  const size = () => canvas.clientWidth
  const place = (width, x, y) => [(x - left) / (right - left) * width, (top - y) / (top - bottom) * width]

  // Comets along the flow: thin behind, bright ahead, as long as the way of one stretch of time.
  const comets = (pen, step, width) => {
    const parts = 10, cell = (n - 1) / SEEDS, v = [0, 0]
    const reach = data.reach / parts * (n - 1) / (right - left)
    const longest = 2.4 * cell / parts
    const strokes = Array.from({ length: parts }, () => new Path2D())
    const heads = new Path2D()
    const scale = width / (n - 1)
    for (let a = 0; a < SEEDS; a++) for (let b = 0; b < SEEDS; b++) {
      // Every other row stands between: a plain grid shows its own lines.
      let x = (a + 0.5 + (b % 2 ? 0.25 : -0.25)) * cell, y = (b + 0.5) * cell
      for (let part = 0; part < parts; part++) {
        at(step, x, y, v)
        // Samples move against the velocity, as t falls.
        let dx = -v[0] * reach, dy = -v[1] * reach
        const long = Math.hypot(dx, dy)
        if (long > longest) { dx *= longest / long; dy *= longest / long }
        strokes[part].moveTo(x * scale, width - y * scale)
        x += dx
        y += dy
        strokes[part].lineTo(x * scale, width - y * scale)
      }
      heads.moveTo(x * scale + 1.1, width - y * scale)
      heads.arc(x * scale, width - y * scale, 1.1, 0, 7)
    }
    pen.strokeStyle = pen.fillStyle = data.ink
    pen.lineCap = "round"
    strokes.forEach((path, part) => {
      pen.globalAlpha = 0.06 + 0.5 * (part / parts) ** 1.5
      pen.lineWidth = 0.5 + 1.1 * part / parts
      pen.stroke(path)
    })
    pen.globalAlpha = 0.62
    pen.fill(heads)
    pen.globalAlpha = 1
  }

  const way = (pen, points, i, from, to, width) => {
    pen.beginPath()
    for (let s = from; s <= to; s++) {
      const j = 2 * (s * count + i)
      pen.lineTo(...place(width, points[j], points[j + 1]))
    }
    pen.stroke()
  }

  const dot = (pen, x, y, radius) => {
    pen.beginPath()
    pen.arc(x, y, radius, 0, 7)
  }

  const sample = (pen, step, i, width, mine) => {
    const faded = field.chosen.size && !field.chosen.has(data.seeds[i]) && !mine ? 0.15 : 1
    const k = leader[step * count + i]
    const colour = k >= 0 ? data.colours[k] : data.ink
    const from = mine ? 0 : Math.max(0, step - TAIL)
    const j = 2 * (step * count + i)
    const here = place(width, state[j], state[j + 1])
    const there = place(width, twin[j], twin[j + 1])
    pen.strokeStyle = colour
    pen.globalAlpha = (mine ? 0.95 : 0.55) * faded
    pen.lineWidth = mine ? 2.6 : 1.5
    way(pen, state, i, from, step, width)
    pen.globalAlpha = (mine ? 0.9 : 0.35) * faded
    pen.lineWidth = mine ? 2 : 1
    pen.setLineDash(mine ? [5, 4] : [2, 3])
    way(pen, twin, i, from, step, width)
    pen.setLineDash([])
    pen.globalAlpha = (mine ? 1 : 0.8) * faded
    pen.lineWidth = mine ? 2 : 1.1
    pen.strokeStyle = data.ink
    pen.beginPath()
    pen.moveTo(...here)
    pen.lineTo(...there)
    pen.stroke()
    pen.globalAlpha = faded
    dot(pen, ...there, mine ? 6 : 3.1)
    pen.fillStyle = data.paper
    pen.fill()
    pen.strokeStyle = colour
    pen.lineWidth = mine ? 2.4 : 1.5
    pen.stroke()
    dot(pen, ...here, mine ? 7 : 3.8)
    pen.fillStyle = colour
    pen.fill()
    pen.strokeStyle = mine ? data.ink : data.paper
    pen.lineWidth = mine ? 2 : 1
    pen.stroke()
    pen.globalAlpha = 1
  }

  const draw = () => {
    const width = Math.max(80, size())
    const dense = window.devicePixelRatio || 1
    if (canvas.width !== Math.round(width * dense)) {
      canvas.width = canvas.height = Math.round(width * dense)
      canvas.style.height = `${width}px`
    }
    const pen = canvas.getContext("2d")
    pen.setTransform(dense, 0, 0, dense, 0, 0)
    pen.imageSmoothingEnabled = true
    pen.imageSmoothingQuality = "high"
    const step = Math.round(bus.fraction() * (data.frames.length - 1))
    // Cells are centred on the points of the grid: half a cell lies outside on each side.
    const cell = width / (n - 1)
    pen.drawImage(ground(step), -cell / 2, -cell / 2, width + cell, width + cell)
    comets(pen, step, width)
    data.centres.forEach(([x, y], k) => {
      const radius = Math.max(5, 2 * data.spread / (right - left) * width)
      dot(pen, ...place(width, x, y), radius)
      pen.strokeStyle = data.paper
      pen.globalAlpha = 0.8
      pen.lineWidth = 4
      pen.stroke()
      pen.strokeStyle = data.colours[k % data.colours.length]
      pen.globalAlpha = 1
      pen.lineWidth = 2.2
      pen.stroke()
    })
    for (let i = 0; i < count; i++) if (data.seeds[i] !== field.focus) sample(pen, step, i, width, false)
    const mine = data.seeds.indexOf(field.focus)
    if (mine >= 0) sample(pen, step, mine, width, true)
    canvas.dataset.twin = twinned(step, mine < 0 ? 0 : mine)
  }

  // How far the twin is from its sample, for those who cannot see it.
  const twinned = (step, i) => {
    const j = 2 * (step * count + i)
    return Math.hypot(state[j] - twin[j], state[j + 1] - twin[j + 1]).toFixed(4)
  }

  canvas.onclick = event => {
    const where = canvas.getBoundingClientRect()
    let best = -1, near = 20 ** 2
    for (let i = 0; i < count; i++) {
      const j = 2 * (field.step * count + i)
      const [x, y] = place(where.width, state[j], state[j + 1])
      const d = (event.clientX - where.left - x) ** 2 + (event.clientY - where.top - y) ** 2
      if (d < near) { near = d; best = i }
    }
    if (best < 0) return
    field.focus = data.seeds[best]
    field.draw()
    field.pick(field.focus)
  }
  return { draw }
}
