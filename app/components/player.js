const states = new WeakMap()

function decode(text, Kind) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
  return new Kind(bytes.buffer)
}

function element(tag, name, text) {
  const made = document.createElement(tag)
  if (name) made.className = name
  if (text !== undefined) made.textContent = text
  return made
}

export default function (component) {
  const { data, parentElement, setStateValue } = component
  const root = parentElement.querySelector(".player")
  if (!root || !data) return
  let state = states.get(parentElement)
  if (!state || state.id !== data.id) {
    state?.stop()
    state = build(root, data)
    states.set(parentElement, state)
  }
  state.pick = seed => setStateValue("focus", seed)
  state.focus = data.focus
  state.draw()
  return () => {
    states.get(parentElement)?.stop()
    states.delete(parentElement)
  }
}

function build(root, data) {
  const stage = root.querySelector(".stage")
  const slider = root.querySelector("input[type=range]")
  const play = root.querySelector(".play")
  const loop = root.querySelector(".loop")
  const speed = root.querySelector(".speed")
  const told = root.querySelector(".told")
  const last = data.frames.length - 1
  const state = { id: data.id, focus: data.focus, pick() {}, timer: 0, step: 0 }
  stage.replaceChildren()
  stage.style.setProperty("--runs", data.runs.length)
  stage.dataset.runs = String(data.runs.length)

  const panels = data.runs.map(run => panel(stage, data, run, state))
  slider.max = last

  state.draw = () => panels.forEach(one => one.draw(state.step, state.focus))
  const show = step => {
    state.step = Math.max(0, Math.min(last, step))
    slider.value = state.step
    const words = `step ${data.frames[state.step]} / ${data.steps - 1}`
    told.textContent = `${words}  ·  t = ${data.t[state.step].toFixed(3)}`
    slider.setAttribute("aria-valuetext", told.textContent)
    root.dataset.step = String(data.frames[state.step])
    state.draw()
    bus.told = String(data.frames[state.step])
  }
  const listener = step => show(step)
  bus.listeners.add(listener)
  const go = step => bus.set(Math.max(0, Math.min(last, step)))

  const pause = () => {
    clearInterval(state.timer)
    state.timer = 0
    play.textContent = "▶"
    play.setAttribute("aria-label", "play")
  }
  const start = () => {
    if (state.step >= last) go(0)
    play.textContent = "❚❚"
    play.setAttribute("aria-label", "pause")
    clearInterval(state.timer)
    state.timer = setInterval(() => {
      if (state.step < last) go(state.step + 1)
      else if (loop.getAttribute("aria-pressed") === "true") go(0)
      else pause()
    }, 1000 / (12 * Number(speed.value)))
  }
  play.onclick = () => (state.timer ? pause() : start())
  speed.onchange = () => state.timer && start()
  loop.onclick = () =>
    loop.setAttribute("aria-pressed", String(loop.getAttribute("aria-pressed") !== "true"))
  slider.oninput = () => { pause(); go(Number(slider.value)) }

  // The whole page listens, but never while somebody types or another control has the arrows.
  const keys = event => {
    const target = event.composedPath()[0]
    const own = root.contains(target)
    const busy = target.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=radiogroup], [role=grid], canvas[data-testid]")
    if (event.ctrlKey || event.metaKey || event.altKey || (busy && !own)) return
    const moves = { ArrowRight: 1, ArrowLeft: -1, PageUp: 5, PageDown: -5 }
    if (event.key in moves && (own || event.key.startsWith("Arrow"))) {
      pause(); go(state.step + moves[event.key])
    } else if (own && event.key === "Home") { pause(); go(0) }
    else if (own && event.key === "End") { pause(); go(last) }
    else if (own && event.key === " " && target !== play && target !== loop) play.onclick()
    else return
    event.preventDefault()
  }
  window.addEventListener("keydown", keys)
  const resized = new ResizeObserver(() => state.draw())
  resized.observe(stage)
  state.stop = () => {
    pause()
    window.removeEventListener("keydown", keys)
    bus.listeners.delete(listener)
    if (bus.listeners.size === 0) bus.told = null
    resized.disconnect()
  }
  const wanted = data.frames.findIndex(frame => frame >= data.step)
  show(bus.adopt(last + 1, data.step == null || wanted < 0 ? last : wanted))
  return state
}

function panel(stage, data, run, state) {
  const box = element("figure", "panel")
  const head = element("figcaption", "head")
  if (data.runs.length > 1) {
    const letter = element("span", "letter", run.letter)
    letter.style.background = run.colour
    head.append(letter)
  }
  head.append(element("span", "label", run.label))
  box.append(head)
  const canvas = element("canvas")
  canvas.setAttribute("role", "img")
  canvas.setAttribute("aria-label", run.alt)
  box.append(canvas)
  const note = element("div", "note", run.note)
  box.append(note)
  stage.append(box)
  return run.sprite
    ? pictures(canvas, data, run, state)
    : points(canvas, data, run, state)
}

function fitted(canvas, ratio) {
  const width = Math.max(80, canvas.clientWidth)
  const height = Math.round(width * ratio)
  const dense = window.devicePixelRatio || 1
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense)
    canvas.height = Math.round(height * dense)
    canvas.style.height = `${height}px`
  }
  const pen = canvas.getContext("2d")
  pen.setTransform(dense, 0, 0, dense, 0, 0)
  pen.clearRect(0, 0, width, height)
  return [pen, width, height]
}

function pictures(canvas, data, run, state) {
  const image = new Image()
  const weights = run.weights ? decode(run.weights, Uint8Array) : null
  const experts = run.experts
  const columns = data.columns
  const lines = Math.ceil(data.seeds.length / columns)
  // Room for the bar also where there are no experts, so that the rows of all runs are level.
  const bar = data.runs.some(one => one.weights) ? 5 : 0
  const gap = 6
  const place = width => (width - gap * (columns - 1)) / columns
  const draw = (step, focus) => {
    if (!image.complete || !image.naturalWidth) return
    const shape = data.tile[0] / data.tile[1]
    const wide = Math.max(80, canvas.clientWidth)
    const tile = place(wide)
    const row = tile * shape + bar + gap
    const [pen] = fitted(canvas, (lines * row - gap) / wide)
    pen.imageSmoothingEnabled = tile * (window.devicePixelRatio || 1) < data.tile[1]
    data.seeds.forEach((seed, i) => {
      const x = (i % columns) * (tile + gap)
      const y = Math.floor(i / columns) * row
      pen.drawImage(
        image, i * data.tile[1], step * data.tile[0], data.tile[1], data.tile[0],
        x, y, tile, tile * shape)
      if (weights) {
        let left = x
        for (let k = 0; k < experts; k++) {
          const w = weights[(step * data.seeds.length + i) * experts + k] / 255
          if (!w) continue
          pen.fillStyle = data.colours[k]
          pen.fillRect(left, y + tile * shape + 1, tile * w, bar - 1)
          left += tile * w
        }
      }
      if (seed === focus) {
        pen.strokeStyle = data.accent
        pen.lineWidth = 3
        pen.strokeRect(x + 1.5, y + 1.5, tile - 3, tile * shape - 3)
      }
    })
  }
  image.onload = () => state.draw()
  image.src = run.sprite
  canvas.classList.add("pickable")
  canvas.onclick = event => {
    const box = canvas.getBoundingClientRect()
    const tile = place(box.width)
    const row = tile * data.tile[0] / data.tile[1] + bar + gap
    const i = Math.floor((event.clientY - box.top) / row) * columns
      + Math.floor((event.clientX - box.left) / (tile + gap))
    if (data.seeds[i] === undefined) return
    state.focus = data.seeds[i]
    state.draw()
    state.pick(state.focus)
  }
  return { draw }
}

function points(canvas, data, run, state) {
  const where = decode(run.points, Float32Array)
  const leader = decode(run.leader, Int16Array)
  const count = data.seeds.length
  const [left, right, bottom, top] = data.box
  const size = width => (width - 16) / Math.max(right - left, top - bottom)
  const at = (width, x, y) => [
    width / 2 + (x - (left + right) / 2) * size(width),
    width / 2 - (y - (bottom + top) / 2) * size(width)]
  const draw = (step, focus) => {
    const [pen, width] = fitted(canvas, 1)
    const ink = getComputedStyle(canvas).color
    for (const [k, centre] of data.centres.entries()) {
      const [x, y] = at(width, centre[0], centre[1])
      pen.strokeStyle = data.colours[k]
      pen.globalAlpha = 0.5
      pen.lineWidth = 1.5
      pen.beginPath()
      pen.arc(x, y, Math.max(6, 2 * data.spread * size(width)), 0, 7)
      pen.stroke()
    }
    for (let i = 0; i < count; i++) {
      const mine = data.seeds[i] === focus
      const k = leader[step * count + i]
      pen.fillStyle = pen.strokeStyle = k >= 0 ? data.colours[k] : ink
      pen.globalAlpha = mine ? 0.9 : 0.28
      pen.lineWidth = mine ? 2 : 1
      pen.beginPath()
      for (let s = mine ? 0 : Math.max(0, step - 5); s <= step; s++) {
        const j = 2 * (s * count + i)
        pen.lineTo(...at(width, where[j], where[j + 1]))
      }
      pen.stroke()
      pen.globalAlpha = 0.9
      pen.beginPath()
      const j = 2 * (step * count + i)
      const [x, y] = at(width, where[j], where[j + 1])
      pen.arc(x, y, mine ? 6 : 2.8, 0, 7)
      pen.fill()
      if (mine) { pen.strokeStyle = ink; pen.stroke() }
    }
    pen.globalAlpha = 1
  }
  canvas.classList.add("pickable")
  canvas.onclick = event => {
    const box = canvas.getBoundingClientRect()
    let best = -1
    let near = 24 ** 2
    for (let i = 0; i < count; i++) {
      const j = 2 * (state.step * count + i)
      const [x, y] = at(box.width, where[j], where[j + 1])
      const d = (event.clientX - box.left - x) ** 2 + (event.clientY - box.top - y) ** 2
      if (d < near) { near = d; best = i }
    }
    if (best < 0) return
    state.focus = data.seeds[best]
    state.draw()
    state.pick(state.focus)
  }
  return { draw }
}
