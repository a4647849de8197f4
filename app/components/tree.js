const trees = new WeakMap()
const SVG = "http://www.w3.org/2000/svg"
const ACCENT = "#FFB000"

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".tree")
  if (!root || !data) return
  trees.get(parentElement)?.stop()
  // A trigger, not a state: the same branch may be clicked again after another came into focus.
  trees.set(parentElement, build(root, data, id => setTriggerValue("leaf", id)))
  return () => {
    trees.get(parentElement)?.stop()
    trees.delete(parentElement)
  }
}

function put(parent, tag, marks, text) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(marks)) made.setAttribute(name, value)
  if (text !== undefined) made.textContent = text
  parent.append(made)
  return made
}

// One tile of a sheet: a window over the whole picture, as SVG has no sprites.
function tile(parent, sheet, count, index, x, y, width, height) {
  const window = put(parent, "svg", {
    x, y, width, height, viewBox: `${index} 0 1 1`, preserveAspectRatio: "none" })
  put(window, "image", { href: sheet, x: 0, y: 0, width: count, height: 1, preserveAspectRatio: "none" })
}

function build(root, data, pick) {
  const svg = root.querySelector("svg")
  const one = { width: 0, stop() {} }
  svg.setAttribute("aria-label", data.alt)
  const draw = () => {
    const width = root.clientWidth
    if (!width || width === one.width) return
    one.width = width
    svg.replaceChildren()
    one.cursor = null
    const height = data.points ? plane(svg, data, width, pick) : strips(svg, data, width, pick, one)
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    svg.style.height = `${height}px`
    mark()
  }
  const mark = () => one.cursor?.(bus.fraction())
  bus.listeners.add(mark)
  const resized = new ResizeObserver(draw)
  resized.observe(root)
  draw()
  one.stop = () => {
    bus.listeners.delete(mark)
    resized.disconnect()
  }
  return one
}

function lane(svg, data, index, pick, x, y, width, height) {
  const own = data.lanes[index]
  const group = put(svg, "g", {
    class: "lane", role: "button", tabindex: "0", "data-run": own.id,
    "aria-pressed": String(own.id === data.leaf), "aria-label": said(data, index) })
  put(group, "rect", { class: "back", x, y, width, height, rx: 8 })
  put(group, "rect", { class: "mark", x, y: y + 6, width: 4, height: height - 12, rx: 2 })
  group.onclick = () => pick(own.id)
  group.onkeydown = event => {
    if (event.key !== "Enter" && event.key !== " ") return
    event.preventDefault()
    pick(own.id)
  }
  return group
}

function said(data, index) {
  const own = data.lanes[index]
  const numbers = own.numbers.map(pair => pair.join(" ")).join(", ")
  return own.parent === null ? `the run: ${own.words}` : `from step ${own.start}: ${own.words}; ${numbers}`
}

function title(data, index) {
  const own = data.lanes[index]
  const letter = String.fromCharCode(65 + index)
  if (own.parent === null) return `${letter} · ${own.words}` + (own.gone ? " (its own parent is gone)" : "")
  return `${letter} · from step ${own.start}: ${own.words}`
}

function strips(svg, data, width, pick, one) {
  const big = width > 860 ? 60 : 46
  const leaf = 2 * big + (width > 860 ? 200 : 166)
  const room = width - leaf - 20
  const fit = Math.max(2, Math.min(data.frames.length, Math.floor(room / 46)))
  const slot = room / fit
  const wide = Math.min(slot - 4, 64)
  const high = wide * data.tile[0] / data.tile[1]
  const row = Math.max(high, big) + 34
  const last = data.steps - 1
  const columns = Array.from({ length: fit }, (_, i) =>
    Math.round((i * (data.frames.length - 1)) / (fit - 1)))
  // Columns are even in width, not in steps: a step lies between the two that enclose it.
  const left = step => {
    const n = columns.findIndex(c => data.frames[c] >= step)
    if (n < 1) return 12 + (n < 0 ? fit - 1 : 0) * slot
    const [before, after] = [data.frames[columns[n - 1]], data.frames[columns[n]]]
    return 12 + (n - 1 + (step - before) / (after - before)) * slot
  }
  const end = width - leaf
  const top = 20
  put(svg, "text", { class: "soft", x: 10, y: 13 }, "predicted clean image, step by step")
  put(svg, "text", { class: "soft", x: end + big / 2, y: 13, "text-anchor": "middle" }, "final")
  put(svg, "text", { class: "soft", x: end + big * 1.5 + 12, y: 13, "text-anchor": "middle" }, "difference")
  const groups = data.lanes.map((_, i) => lane(svg, data, i, pick, 0, top + i * row, width, row - 4))
  // Lines lie below all frames: one that passes a lane on its way down is covered by its pictures.
  const lines = put(svg, "g", { "aria-hidden": "true", "pointer-events": "none" })
  const frames = put(svg, "g", { "aria-hidden": "true", "pointer-events": "none" })
  data.lanes.forEach((own, i) => {
    const y = top + i * row + 24
    const middle = y + high / 2
    const hue = own.colour || "currentColor"
    const mine = columns.map((_, n) => n).filter(n => data.frames[columns[n]] >= own.start)
    const first = mine.length ? 12 + mine[0] * slot : end - 20
    if (own.parent !== null) {
      const from = top + own.parent * row + 24 + high / 2
      const x = left(own.start) - 3
      put(lines, "path", { class: "line", style: `stroke:${hue}`,
        d: `M${x},${from} V${middle - 8} Q${x},${middle} ${Math.min(x + 8, first)},${middle} H${end}` })
    } else put(lines, "path", { class: "line", d: `M12,${middle} H${end}` })
    for (const n of mine) {
      const x = 12 + n * slot
      if (own.sprite) tile(frames, own.sprite, data.frames.length, columns[n], x, y, wide, high)
      put(frames, "rect", { class: "rim", x, y, width: wide, height: high, rx: 2,
        style: own.colour ? `stroke:${own.colour}` : "stroke:none" })
    }
    const near = left(own.start) > room - 220
    put(frames, "text", { class: "words", x: near ? room : left(own.start) + (own.parent === null ? 0 : 6), y: y - 7,
      "text-anchor": near ? "end" : "start" }, title(data, i))
    put(frames, "image", { href: own.final, x: end, y: y - 6, width: big, height: big * data.tile[0] / data.tile[1], preserveAspectRatio: "none" })
    if (own.difference) put(frames, "image", { href: own.difference, x: end + big + 12, y: y - 6, width: big, height: big * data.tile[0] / data.tile[1], preserveAspectRatio: "none" })
    numbers(frames, own, end + 2 * big + 24, y + 6)
    groups[i].onclick = event => {
      const box = svg.getBoundingClientRect()
      const x = (event.clientX - box.left) * width / box.width
      const share = (x - 12 - wide / 2) / ((fit - 1) * slot)
      if (x < room && share > -0.05 && bus.steps > 1) {
        bus.set(Math.max(0, Math.min(bus.steps - 1, Math.round(share * (bus.steps - 1)))))
      }
      pick(own.id)
    }
  })
  const height = top + data.lanes.length * row
  const line = put(svg, "line", { class: "cursor", y1: top, y2: height })
  one.cursor = share => {
    const x = left(share * last) - 3
    line.setAttribute("x1", x)
    line.setAttribute("x2", x)
  }
  return height
}

function numbers(parent, own, x, y) {
  if (own.parent === null) put(parent, "text", { class: "soft", x, y: y + 18 }, "as it was")
  own.numbers.forEach(([name, value], n) => {
    put(parent, "text", { class: "number", x, y: y + n * 18 }, `${value}`)
    put(parent, "text", { class: "soft", x: x + 48, y: y + n * 18 }, name)
  })
}

function plane(svg, data, width, pick) {
  const size = Math.min(width * 0.56, 520)
  const paths = data.lanes.map(own =>
    new Float32Array(Uint8Array.from(atob(own.path), c => c.charCodeAt(0)).buffer))
  const xs = [], ys = []
  for (const path of paths) for (let i = 0; i < path.length; i += 2) { xs.push(path[i]); ys.push(path[i + 1]) }
  for (const [x, y] of data.centres) { xs.push(x); ys.push(y) }
  const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)]
  const span = Math.max(high[0] - low[0], high[1] - low[1], 1e-6) * 1.12
  const at = (x, y) => [
    size / 2 + (x - (low[0] + high[0]) / 2) / span * size,
    size / 2 - (y - (low[1] + high[1]) / 2) / span * size]
  put(svg, "rect", { x: 0, y: 0, width: size, height: size, rx: 8, style: "fill:var(--st-secondary-background-color);opacity:.5" })
  data.centres.forEach(([x, y], k) => {
    const [cx, cy] = at(x, y)
    put(svg, "circle", { cx, cy, r: 13, style: `fill:${data.colours[k]};opacity:.3` })
    put(svg, "text", { class: "soft", x: cx, y: cy + 4, "text-anchor": "middle" }, String(k))
  })
  const bend = (path, from) => {
    let d = ""
    for (let i = from; i < path.length / 2; i++) {
      const [x, y] = at(path[2 * i], path[2 * i + 1])
      d += `${d ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`
    }
    return d
  }
  // The focus comes last, over the others.
  const order = data.lanes.map((_, i) => i).sort((a, b) => (data.lanes[a].id === data.leaf) - (data.lanes[b].id === data.leaf))
  for (const i of order) {
    const own = data.lanes[i], path = paths[i]
    const hue = own.colour || "currentColor"
    const focus = own.id === data.leaf
    const line = put(svg, "path", { class: "line", d: bend(path, own.start), style: `stroke:${hue};stroke-width:${focus ? 4 : 2};cursor:pointer` })
    line.onclick = () => pick(own.id)
    const [sx, sy] = at(path[2 * own.start], path[2 * own.start + 1])
    put(svg, "circle", { cx: sx, cy: sy, r: 4, style: `fill:${hue}` })
    const [ex, ey] = at(path[path.length - 2], path[path.length - 1])
    put(svg, "circle", { cx: ex, cy: ey, r: 9, style: `fill:${focus ? ACCENT : "var(--st-background-color)"};stroke:${hue};stroke-width:2` })
    put(svg, "text", { x: ex, y: ey + 4, "text-anchor": "middle", style: `font-size:11px;font-weight:700;fill:${focus ? "#22272E" : "currentColor"}` }, String.fromCharCode(65 + i))
  }
  const row = 78
  data.lanes.forEach((own, i) => {
    const x = size + 20, y = i * (row + 4)
    const group = lane(svg, data, i, pick, x, y, width - x, row)
    put(group, "text", { class: "words", x: x + 14, y: y + 20 }, title(data, i))
    if (own.colour) put(group, "rect", { x: x + 14, y: y + 28, width: 26, height: 4, rx: 2, style: `fill:${own.colour}` })
    const many = own.numbers.map(([name, value]) => `${value} ${name}`)
    put(group, "text", { class: "number soft", x: x + 14, y: y + 50 }, own.parent === null ? "as it was" : many.join("  ·  "))
  })
  return Math.max(size, data.lanes.length * (row + 4))
}
