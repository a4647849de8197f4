const asked = new WeakMap()

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".asker")
  if (!root || !data) return
  let one = asked.get(parentElement)
  if (!one || one.id !== data.id) {
    one?.stop()
    one = build(root, data)
    asked.set(parentElement, one)
  }
  one.tell = (name, value) => setTriggerValue(name, value)
  one.choose(data)
  one.begin()
  return () => {
    asked.get(parentElement)?.stop()
    asked.delete(parentElement)
  }
}

function build(root, data) {
  const cards = root.querySelector(".cards")
  const slider = root.querySelector("input")
  const told = root.querySelector(".told")
  const last = data.frames.length - 1
  const experts = data.colours.length
  const weights = data.weights
    ? new Float32Array(Uint8Array.from(atob(data.weights), c => c.charCodeAt(0)).buffer)
    : null
  const image = new Image()
  const one = { id: data.id, tell() {}, step: 0, timer: 0, said: null }
  slider.max = last
  cards.replaceChildren()
  // The mix comes first; it is shown and cannot be chosen.
  const all = ["mix", ...data.colours].map((hue, row) => {
    const card = document.createElement("button")
    card.type = "button"
    card.className = "card"
    card.style.setProperty("--hue", row ? hue : "transparent")
    const pictured = data.sprite && row < data.rows
    if (pictured) {
      const canvas = document.createElement("canvas")
      canvas.height = data.tile[0]
      canvas.width = data.tile[1]
      card.append(canvas)
    }
    const name = document.createElement("span")
    name.className = "name"
    name.append(row ? `expert ${row - 1}` : "mix")
    const weight = document.createElement("span")
    weight.className = "weight"
    name.append(weight)
    const share = document.createElement("span")
    share.className = "share"
    share.append(document.createElement("i"))
    card.append(name, share)
    if (!row) {
      if (!pictured) card.style.display = "none"
      share.style.visibility = "hidden"
      card.disabled = true
    }
    card.onclick = () => {
      settle()
      one.tell("expert", row - 1)
    }
    cards.append(card)
    return card
  })
  const draw = () => {
    all.forEach((card, row) => {
      const canvas = card.querySelector("canvas")
      if (canvas && image.complete && image.naturalWidth) {
        const [high, wide] = data.tile
        canvas.getContext("2d").drawImage(
          image, one.step * wide, row * high, wide, high, 0, 0, wide, high)
      }
      if (!row || !weights) return
      const w = weights[one.step * experts + row - 1]
      card.querySelector(".weight").textContent = w > 0 ? w.toFixed(2) : "–"
      card.querySelector("i").style.width = `${100 * w}%`
      card.setAttribute("aria-label", `expert ${row - 1}, weight ${w.toFixed(2)}`)
    })
  }
  const show = step => {
    one.step = Math.max(0, Math.min(last, step))
    slider.value = one.step
    told.textContent = `step ${data.frames[one.step]} / ${data.steps - 1}  ·  t = ${data.t[one.step].toFixed(3)}`
    slider.setAttribute("aria-valuetext", told.textContent)
    root.dataset.step = String(data.frames[one.step])
    bus.told = String(data.frames[one.step])
    draw()
    // Python learns the step once the cursor rests: what is asked of it names the step.
    clearTimeout(one.timer)
    one.timer = setTimeout(settle, 350)
  }
  const settle = () => {
    clearTimeout(one.timer)
    const now = data.frames[one.step]
    if (one.said === now) return
    one.said = now
    bus.tell()
    one.tell("step", now)
  }
  slider.oninput = () => bus.set(Number(slider.value))
  slider.onchange = settle
  const keys = event => {
    const target = event.composedPath()[0]
    const busy = target.closest?.("input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=radiogroup], [role=grid], canvas[data-testid]")
    if (event.ctrlKey || event.metaKey || event.altKey || busy) return
    const moves = { ArrowRight: 1, ArrowLeft: -1 }
    if (!(event.key in moves)) return
    bus.set(Math.max(0, Math.min(last, one.step + moves[event.key])))
    event.preventDefault()
  }
  window.addEventListener("keydown", keys)
  const listener = step => show(step)
  bus.listeners.add(listener)
  image.onload = draw
  image.src = data.sprite
  one.choose = now => {
    all.forEach((card, row) => {
      if (!row) return
      card.disabled = !now.pick
      card.setAttribute("aria-pressed", String(now.pick && row - 1 === now.expert))
    })
  }
  one.begin = () => {
    if (one.begun) return
    one.begun = true
    one.said = data.step
    const wanted = data.frames.findIndex(frame => frame >= data.step)
    bus.adopt(last + 1, data.step == null || wanted < 0 ? Math.round(last / 2) : wanted)
    // The tree above may have been there before.
    for (const listener of bus.listeners) listener(bus.step)
  }
  one.stop = () => {
    clearTimeout(one.timer)
    window.removeEventListener("keydown", keys)
    bus.listeners.delete(listener)
    if (bus.listeners.size === 0) bus.told = null
  }
  return one
}
