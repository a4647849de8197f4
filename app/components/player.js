const states = new WeakMap()

export default function (component) {
  const { data, parentElement, setStateValue } = component
  const root = parentElement.querySelector(".player")
  if (!root || !data) return
  let state = states.get(parentElement)
  if (!state || state.id !== data.id) {
    state?.stop()
    // Other frames of the same runs, as a live view has them, are looked at in the same way.
    state = build(root, state?.mode === undefined ? data : { ...data, mode: state.mode, pair: state.pair.join(",") })
    states.set(parentElement, state)
  }
  state.pick = seed => setStateValue("focus", seed)
  state.tellChosen = seeds => setStateValue("chosen", seeds)
  state.tellPair = pair => setStateValue("pair", pair)
  state.focus = data.focus
  state.axis = data.axis
  state.parts = data.parting
  state.choice.set(data.chosen)
  state.refresh()
  return () => {
    states.get(parentElement)?.stop()
    states.delete(parentElement)
  }
}

function build(root, data) {
  const stage = root.querySelector(".stage")
  const slider = root.querySelector(".time")
  const play = root.querySelector(".play")
  const loop = root.querySelector(".loop")
  const speed = root.querySelector(".speed")
  const told = root.querySelector(".told")
  const last = data.frames.length - 1
  const state = {
    id: data.id, focus: data.focus, axis: data.axis, parts: data.parting, timer: 0, step: 0,
    pick() {}, tellPair() {}, tellChosen() {},
  }
  stage.replaceChildren()
  stage.style.setProperty("--runs", data.runs.length)
  stage.dataset.runs = String(data.runs.length)

  const sources = data.runs.map(run =>
    run.sprite ? source(run, data, () => state.draw()) : cloud(run, data))
  const panels = data.runs.map((run, r) => panel(stage, data, run, sources[r], state))
  slider.max = last

  // Samples by seed, or those first whose two runs part first; those that never do come last.
  const sorted = root.querySelector(".order")
  sorted.value = data.order === "parting" ? "parting" : ""
  sorted.onchange = () => {
    bus.tells.sorted = sorted.value
    state.draw()
  }
  state.choice = choosing(root, data, state)
  state.order = () => {
    const plain = state.choice.kept(data.seeds.map((_, i) => i))
    const steps = state.parts?.steps
    if (!steps || sorted.value !== "parting") return plain
    const rank = i => (steps[i] < 0 ? Infinity : steps[i])
    return plain.sort((a, b) => (rank(a) === rank(b) ? a - b : rank(a) - rank(b)))
  }
  // When a sample's two runs part: a number that fills as soon as they have.
  state.badges = (pen, step, places) => {
    state.choice.corners(pen, places)
    if (!state.parts || (sorted.value !== "parting" && !state.mode)) return
    for (const { i, x, y, width } of places) {
      const at = state.parts.steps[i]
      if (at === undefined || width < 34) continue
      const words = at < 0 ? "–" : String(at)
      const parted = at >= 0 && data.frames[step] >= at
      pen.font = "600 11px sans-serif"
      const wide = pen.measureText(words).width + 8
      pen.globalAlpha = parted ? 1 : 0.72
      pen.fillStyle = parted ? data.accent : "#20262E"
      pen.fillRect(x, y, wide, 15)
      pen.globalAlpha = 1
      pen.fillStyle = parted ? "#20262E" : "#FFFFFF"
      pen.textAlign = "left"
      pen.fillText(words, x + 4, y + 11.5)
    }
  }
  state.choose = seed => {
    if (state.choice.takes(seed)) return
    state.focus = seed
    state.draw()
    state.pick(seed)
  }

  const pair = pairing(root, data, sources, state)
  state.draw = () => {
    if (state.mode) pair.draw(state.step, state.focus)
    else panels.forEach(one => one.draw(state.step, state.focus))
    root.dataset.order = state.order().map(i => data.seeds[i]).join(",")
  }
  state.refresh = () => {
    pair.arrange()
    says()
  }
  const says = () => {
    const words = `step ${data.frames[state.step]} / ${data.steps - 1}`
    const ratio = data.snr?.[state.step]
    const beside = state.axis === "snr" && ratio !== undefined
      ? `SNR = ${Number(ratio.toPrecision(2))}`
      : `t = ${data.t[state.step].toFixed(3)}`
    told.textContent = `${words}  ·  ${beside}`
    slider.setAttribute("aria-valuetext", told.textContent)
  }
  const show = step => {
    state.step = Math.max(0, Math.min(last, step))
    slider.value = state.step
    says()
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
  root.querySelector(".save").onclick = () => {
    const visible = [...root.querySelectorAll(".panel")].filter(box => box.offsetParent)
    const named = box => [...box.querySelectorAll(".head > *")].map(one => one.textContent).join("  ")
    const shown = visible.map(box => ({ canvas: box.querySelector("canvas"), title: named(box) }))
    save(`${data.name}-step-${data.frames[state.step]}`, root, shown)
  }
  slider.oninput = () => { pause(); go(Number(slider.value)) }

  // The whole page listens, but never while somebody types or another control has the arrows.
  const keys = event => {
    const target = event.composedPath()[0]
    const own = root.contains(target)
    const taken = own && target !== slider && target.closest?.("input, select")
    const busy = target.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=radiogroup], [role=grid], canvas[data-testid]")
    if (event.ctrlKey || event.metaKey || event.altKey || taken || (busy && !own)) return
    const moves = { ArrowRight: 1, ArrowLeft: -1, PageUp: 5, PageDown: -5 }
    if (event.key in moves && (own || event.key.startsWith("Arrow"))) {
      pause(); go(state.step + moves[event.key])
    } else if (own && event.key === "Home") { pause(); go(0) }
    else if (own && event.key === "End") { pause(); go(last) }
    else if (own && event.key === " " && target.tagName !== "BUTTON") play.onclick()
    else return
    event.preventDefault()
  }
  window.addEventListener("keydown", keys)
  const resized = new ResizeObserver(() => state.draw())
  resized.observe(root)
  state.stop = () => {
    pause()
    pair.stop()
    state.choice.stop()
    window.removeEventListener("keydown", keys)
    bus.listeners.delete(listener)
    if (bus.listeners.size === 0) bus.told = null
    resized.disconnect()
  }
  pair.arrange()
  const wanted = data.frames.findIndex(frame => frame >= data.step)
  show(bus.adopt(last + 1, data.step == null || wanted < 0 ? last : wanted))
  return state
}

function panel(stage, data, run, frames, state) {
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
    ? pictures(canvas, data, run, frames, state)
    : points(canvas, data, frames, state)
}

function pictures(canvas, data, run, frames, state) {
  const weights = run.weights ? decode(run.weights, Uint8Array) : null
  const experts = run.experts
  // Room for the bar also where there are no experts, so that the rows of all runs are level.
  const bar = data.runs.some(one => one.weights) ? 5 : 0
  let lay = null
  const draw = (step, focus) => {
    if (!frames.ready) return
    const wide = Math.max(80, canvas.clientWidth)
    lay = tiled(data, wide, bar, state.order())
    const [pen] = fitted(canvas, lay.height / wide)
    pen.imageSmoothingEnabled = (lay.places[0]?.width ?? 0) * (window.devicePixelRatio || 1) < data.tile[1]
    for (const { i, x, y, width, height } of lay.places) {
      frames.draw(pen, step, i, x, y, width, height)
      if (weights) {
        let left = x
        for (let k = 0; k < experts; k++) {
          const w = weights[(step * data.seeds.length + i) * experts + k] / 255
          if (!w) continue
          pen.fillStyle = data.colours[k]
          pen.fillRect(left, y + height + 1, width * w, bar - 1)
          left += width * w
        }
      }
      if (data.seeds[i] === focus) {
        pen.strokeStyle = data.accent
        pen.lineWidth = 3
        pen.strokeRect(x + 1.5, y + 1.5, width - 3, height - 3)
      }
    }
    state.badges(pen, step, lay.places)
  }
  canvas.classList.add("pickable")
  canvas.onclick = event => {
    const hit = lay?.under(event.offsetX, event.offsetY)
    if (hit) state.choose(data.seeds[hit.i])
  }
  return { draw }
}

function points(canvas, data, one, state) {
  const draw = (step, focus) => {
    const [pen, width] = fitted(canvas, 1)
    rings(pen, width, data)
    swarm(pen, width, data, one, step, focus, getComputedStyle(canvas).color)
  }
  canvas.classList.add("pickable")
  canvas.onclick = event => {
    const hit = nearest(canvas.clientWidth, data, [one], state.step, event.offsetX, event.offsetY)
    if (hit >= 0) state.choose(data.seeds[hit])
  }
  return { draw }
}
